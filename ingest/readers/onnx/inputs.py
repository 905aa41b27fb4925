"""The inputs of an ONNX model for one sample: their shapes, and which axis is the batch's.

In a file any axis may have a name instead of a length. The batch axis of the first input is the
one whose name says so (``batch``, ``batch_size``), else the first. Further inputs have it where
they have the same name, or an unknown length as it has; where its length is 1, any axis of length
1; where it is another one, the same axis if that has the same length. An input shape with as many
axes as the file's says that there is no batch axis: all of them belong to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from ingest.readers.onnx.nodes import Shape
from ingest.readers.onnx.tensors import TYPES
from ingest.readers.wording import damaged, reason
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation

_LONGEST_AXIS = 2**31

# A length, a name, or neither.
_Axis = int | str | None


@dataclass(frozen=True)
class Input:
    """An input for one sample.

    Parameters
    ----------
    name
        In the file.
    shape
        As ONNX has it, the batch axis with length 1.
    batch
        Which axis that is; None if there is none.
    type
        Number of its element type.
    """

    name: str
    shape: Shape
    batch: int | None
    type: int


@dataclass(frozen=True)
class Inputs:
    """All inputs of a model.

    Parameters
    ----------
    inputs
        In the file's order.
    samples
        How many the file takes at once, as the length of its first input's batch axis says: 1 if
        it has no such axis, None if it takes any number.
    """

    inputs: tuple[Input, ...]
    samples: int | None


def read_inputs(
    infos: Sequence[onnx.ValueInfoProto], input_shape: Shape | None, path: Path
) -> Inputs:
    """The inputs of a model, with their lengths resolved.

    Parameters
    ----------
    infos
        The graph's inputs, without those that are initializers.
    input_shape
        Of a sample of the first input, with the batch axis if it has as many axes as the file's.
    path
        The file, for errors.

    Raises
    ------
    UnsupportedOperation
        If there is no input, or one that is no tensor of numbers.
    ShapeMismatch
        If `input_shape` is not one of the file's input.
    InvalidArgument
        If the file does not tell a length and `input_shape` neither.
    """
    if not infos:
        raise UnsupportedOperation("The model takes no tensor, so there is nothing to ingest.")
    told = [_axes(info, path) for info in infos]
    first, asked = told[0], input_shape
    if first is None and asked is None:
        raise _dynamic(infos[0].name, "an unknown shape")
    axes: list[_Axis] = [None] * (len(asked or ()) + 1) if first is None else first
    whole = asked is not None and len(asked) == len(axes)
    batch = None if whole else _batch_axis(axes)
    shape, known = _resolved(infos[0].name, axes, batch, asked)
    found = [Input(infos[0].name, shape, batch, _type(infos[0]))]
    mark = None if batch is None else axes[batch]
    for info, others in zip(infos[1:], told[1:], strict=True):
        if others is None:
            raise _dynamic(info.name, "an unknown shape")
        place = None if batch is None else _same_axis(axes, batch, others)
        lengths = [known.get(axis, axis) if isinstance(axis, str) else axis for axis in others]
        further, _ = _resolved(info.name, lengths, place, None)
        found.append(Input(info.name, further, place, _type(info)))
    return Inputs(tuple(found), _samples(mark) if batch is not None else 1)


def _samples(mark: _Axis) -> int | None:
    return mark if isinstance(mark, int) else None


def _axes(info: onnx.ValueInfoProto, path: Path) -> list[_Axis] | None:
    """Lengths and names of the axes; None if not even their number is known."""
    if info.type.WhichOneof("value") != "tensor_type":
        raise UnsupportedOperation(
            f"The input {info.name[:200]!r} of {path.name!r} is no tensor, and Weightome ingests "
            "models that take tensors."
        )
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    found: list[_Axis] = []
    for dim in tensor.shape.dim:
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0:
            if dim.dim_value > _LONGEST_AXIS:
                raise damaged(path, f"the input {info.name[:80]!r} has an axis of {dim.dim_value}")
            found.append(dim.dim_value)
        else:
            found.append(dim.dim_param or None)
    return found


def _type(info: onnx.ValueInfoProto) -> int:
    kind = info.type.tensor_type.elem_type
    if kind not in TYPES:
        raise UnsupportedOperation(
            f"The input {info.name[:200]!r} holds neither floats nor integers, which Weightome "
            "cannot ingest."
        )
    return kind


def _batch_axis(axes: Sequence[_Axis]) -> int | None:
    """Which axis of the first input is the batch's."""
    for place, axis in enumerate(axes):
        if isinstance(axis, str) and "batch" in axis.lower():
            return place
    # A vector of a known length is a sample.
    alone = len(axes) == 1 and isinstance(axes[0], int)
    return None if alone or not axes else 0


def _same_axis(first: Sequence[_Axis], batch: int, axes: Sequence[_Axis]) -> int | None:
    """Which axis of a further input is the batch's, if any."""
    mark = first[batch]
    if isinstance(mark, int) and mark > 1:
        # Lengths may be the same by chance.
        return batch if len(axes) == len(first) and axes[batch] == mark else None
    return next((place for place, axis in enumerate(axes) if axis == mark), None)


def _resolved(
    name: str, axes: Sequence[_Axis], batch: int | None, asked: Shape | None
) -> tuple[Shape, dict[str, int]]:
    """Lengths of all axes for one sample, and what the names among them stand for."""
    places = [place for place in range(len(axes)) if place != batch]
    shown = tuple("?" if axis is None else axis for axis in axes)
    if asked is not None and len(asked) != len(places):
        raise ShapeMismatch(
            f"The input {name[:200]!r} has the shape {_text(shown)}, which {asked} does not fit: "
            "pass input_shape without the batch axis."
        )
    lengths: dict[int, int] = {} if batch is None else {batch: 1}
    known: dict[str, int] = {}
    for number, place in enumerate(places):
        axis = axes[place]
        length = axis if asked is None else asked[number]
        if not isinstance(length, int):
            raise _dynamic(name, f"the shape {_text(shown)}")
        if (isinstance(axis, int) and length != axis) or (
            isinstance(axis, str) and known.setdefault(axis, length) != length
        ):
            raise ShapeMismatch(
                f"The input {name[:200]!r} has the shape {_text(shown)}, not {asked}."
            )
        lengths[place] = length
    return tuple(lengths[place] for place in range(len(axes))), known


def _text(shape: Sequence[int | str]) -> str:
    return reason("(" + ", ".join(str(axis) for axis in shape) + ")")


def _dynamic(name: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"The input {name[:200]!r} has {what}, and dynamic shapes must be told: pass --input-shape "
        "(input_shape), without the batch axis."
    )
