"""Hugging Face checkpoints: ``config.json`` tells the architecture of a file of weights.

The architecture is built from the configuration by our own code, one module per family, with
neither the library nor torch; nothing that lies beside the configuration is run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeAlias, cast

from ingest.operations import Operation, OperationGraph
from ingest.readers.huggingface.building import Builder
from ingest.readers.huggingface.files import config_of, load_config, load_tensors
from store.errors import InputError, InvalidArgument, UnsupportedOperation

Family: TypeAlias = Callable[[Builder, tuple[int, ...] | None], list[Operation]]

# model_type -> module and function.
FAMILIES = {
    "bert": ("bert", "bert"),
    "distilbert": ("bert", "distilbert"),
    "gpt2": ("gpt2", "gpt2"),
    "roberta": ("bert", "roberta"),
    "vit": ("vit", "vit"),
}


def has_config(path: Path) -> bool:
    """Whether a path is that of a checkpoint with a configuration.

    Parameters
    ----------
    path
        A folder that holds a ``config.json``, that file itself, or a ``.safetensors`` file beside
        a configuration of a known model type: beside another one it may be anything.
    """
    try:
        if path.is_dir() or path.name == "config.json":
            return config_of(path).is_file()
        if path.suffix.lower() != ".safetensors" or not config_of(path).is_file():
            return False
        return load_config(path).values.get("model_type") in FAMILIES
    except (InputError, OSError, ValueError, TypeError):
        return False


def read_pretrained(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a checkpoint of a known model type.

    Dropout is left out, and every token is attended to, as with an attention mask of ones.

    Parameters
    ----------
    path
        The checkpoint's folder, its ``config.json``, or a ``.safetensors`` file beside that; in a
        folder ``model.safetensors`` is read, or the files that its index names.
    input_shape
        For a model of language the number of tokens, ``(T,)``; default: 16, or as many as there
        are positions, if these are fewer. Images have the configuration's own shape.
    activation
        None, since the configuration tells them.

    Returns
    -------
    OperationGraph
        Named as in the state dict. Its outputs are the last hidden state, what the pooler gives
        where there is one, and the logits of those heads that the family's function lists and
        whose weights are there. Its parameters are all tensors of the checkpoint, those that no
        operation uses included.

    Raises
    ------
    UnreadableModel
        If a file or a tensor is missing or damaged.
    UnsupportedOperation
        If the model type, or an option of the configuration, is not known.
    ShapeMismatch
        If a tensor has another shape than the configuration calls for.
    InvalidArgument
        If an activation is passed, or an input shape that the model does not take.
    InvalidWeights
        If a weight is not of floats.

    Example
    -------
    >>> read_pretrained(Path("bert-base-uncased"), (8,), None).outputs   # doctest: +SKIP
    ('bert.encoder.layer.11.output.LayerNorm', 'bert.pooler.activation', 'cls.predictions.decoder',
     'cls.seq_relationship')
    """
    config = load_config(path)
    if activation is not None:
        raise InvalidArgument(
            f"The file {config.path.name!r} tells the model's activations: pass none."
        )
    config.refuse("quantization_config")
    model_type = config.text("model_type", "")
    if model_type not in FAMILIES:
        raise UnsupportedOperation(
            f"The file {config.path.name!r} is of the model type {model_type[:80]!r}, which "
            f"Weightome cannot ingest; it knows {', '.join(FAMILIES)}."
        )
    name, function = FAMILIES[model_type]
    family = cast(Family, getattr(import_module(f"ingest.readers.huggingface.{name}"), function))
    builder = Builder(config, load_tensors(path))
    return builder.graph(family(builder, input_shape))
