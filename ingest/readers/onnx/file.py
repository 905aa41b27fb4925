"""An ``.onnx`` file: its graph as operations, its tensors where they lie in the file."""

from __future__ import annotations

from pathlib import Path

from ingest.operations import OperationGraph
from ingest.readers.onnx.wire import is_onnx, without_tensors
from ingest.readers.wording import damaged, reason
from store.errors import InvalidArgument, UnreadableModel

__all__ = ["is_onnx", "read_onnx"]


def read_onnx(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads an ONNX model.

    Parameters
    ----------
    path
        Of the file; it and the files that hold its external data stay mapped while its
        parameters are in use.
    input_shape
        Of one sample of the first input, without the batch axis; needed where the file gives other
        axes a name instead of a length. With as many axes as the file's input has, it says that
        none of them is a batch axis.
    activation
        None: the file tells them.

    Returns
    -------
    OperationGraph
        Operations are called by their node's name, or that of its result. The parameters are the
        file's initializers in their order; after them come tensors of ``Constant`` nodes, and
        those that constant nodes compute, where an operation takes them.

    Raises
    ------
    UnreadableModel
        If the file is damaged, or a tensor lies outside of its folder.
    UnsupportedOperation
        If an operator cannot be ingested.
    ShapeMismatch
        If nodes do not fit each other, or `input_shape` not the file's input.
    InvalidName, InvalidWeights
        If a tensor's name cannot be shown, or it holds neither floats, integers nor truth values.
    InvalidArgument
        If the file does not tell a shape and `input_shape` neither, or an activation is given.

    Example
    -------
    >>> read_onnx(Path("model.onnx"), None, None).source                # doctest: +SKIP
    'onnx'
    """
    if activation is not None:
        raise InvalidArgument("An ONNX file tells its activations itself: pass none.")
    try:
        from ingest.readers.onnx.model import graph
    except ImportError as error:
        raise UnreadableModel(
            "Reading an ONNX file needs onnx: pip install 'weightome[onnx]'."
        ) from error
    message, spans = without_tensors(path)
    try:
        return graph(message, spans, input_shape, path)
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError,
        RecursionError, OSError,
    ) as error:  # fmt: skip
        raise damaged(path, f"its graph is not as ONNX has it ({reason(error)})") from error
