"""Operations of transformers, built from a configuration and named as in the state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers.huggingface.config import Config
from ingest.readers.wording import Names, check_tensor
from store.errors import InvalidArgument, ShapeMismatch, UnreadableModel

# Tokens of the input where none are asked for.
TOKENS = 16

# Hugging Face's word -> kind and attributes.
ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gelu": ("gelu", {}),
    "gelu_accurate": ("gelu", {"approximate": "tanh"}),
    "gelu_new": ("gelu", {"approximate": "tanh"}),
    "gelu_python": ("gelu", {}),
    "gelu_python_tanh": ("gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("gelu", {"approximate": "tanh"}),
    "hardswish": ("hardswish", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.01}),
    "linear": ("identity", {}),
    "mish": ("mish", {}),
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
}


class Builder:
    """Collects the operations of one model.

    Parameters
    ----------
    config
        Its configuration.
    tensors
        All tensors of the checkpoint.
    """

    def __init__(self, config: Config, tensors: Sequence[Parameter]) -> None:
        self.config = config
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self._operations: list[Operation] = []

    def graph(self, outputs: Iterable[Operation]) -> OperationGraph:
        """The whole model."""
        return OperationGraph(
            tuple(self._operations),
            tuple(self._tensors.values()),
            "Hugging Face checkpoint",
            tuple(output.name for output in outputs),
        )

    def prefix(self, prefix: str, probe: str) -> str:
        """What the keys of the base model begin with: nothing, where it was saved without a head.

        Parameters
        ----------
        prefix
            As of a model with a head.
        probe
            A key of the base model.
        """
        return prefix if prefix + probe in self._tensors else ""

    def has(self, key: str) -> bool:
        """Whether the checkpoint holds a tensor."""
        return key in self._tensors

    def tensor(self, key: str, shape: tuple[int, ...]) -> Parameter:
        """A tensor of floats that must be there.

        Raises
        ------
        UnreadableModel, ShapeMismatch, InvalidWeights
        """
        found = self._tensors.get(key)
        if found is None:
            raise self._missing(key)
        if found.shape != shape:
            raise ShapeMismatch(
                f"The tensor {key!r} has the shape {found.shape}, but "
                f"{self.config.path.name!r} calls for {shape}."
            )
        check_tensor(key, found.dtype)
        return found

    def add(
        self,
        name: str,
        kind: str,
        inputs: Sequence[Operation],
        shape: tuple[int, ...],
        parameters: Mapping[str, Parameter] | None = None,
        **attributes: Any,
    ) -> Operation:
        """Any operation; its name must be its own."""
        made = Operation(
            name,
            kind,
            tuple(operation.name for operation in inputs),
            shape,
            parameters or {},
            attributes,
        )
        self._operations.append(made)
        return made

    def input(self, shape: tuple[int, ...], *, integers: bool) -> Operation:
        """The model's input."""
        return self.add(Names.INPUT, "input", (), shape, integers=integers)

    def tokens(self, input_shape: tuple[int, ...] | None, positions: int) -> Operation:
        """The input of a model of language: token numbers.

        Raises
        ------
        InvalidArgument
            If the shape is not a number of tokens for which there are positions.
        UnreadableModel
            If there is no position at all.
        """
        if positions < 1:
            raise UnreadableModel(
                f"The file {self.config.path.name!r} leaves no position for a token."
            )
        shape = (min(TOKENS, positions),) if input_shape is None else input_shape
        if len(shape) != 1 or shape[0] > positions:
            raise InvalidArgument(
                f"The model takes token numbers, so its input shape is their number, from (1,) to "
                f"({positions},), not {shape}."
            )
        return self.input(shape, integers=True)

    def embedding(self, stem: str, source: Operation, table: tuple[int, int]) -> Operation:
        """Looks a table's rows up."""
        weight = self.tensor(f"{stem}.weight", table)
        return self.add(stem, "embedding", [source], (*source.shape, table[1]), {"weight": weight})

    def operand(self, name: str, shape: tuple[int, ...]) -> Operation:
        """A tensor with a batch axis of 1 that is an operand itself."""
        return self.add(name, "parameter", (), shape, {"value": self.tensor(name, (1, *shape))})

    def rows(self, stem: str, table: tuple[int, int], start: int, stop: int) -> Operation:
        """Rows of an embedding's table that do not depend on the input; the table stays whole."""
        weight = self.tensor(f"{stem}.weight", table)
        whole = self.add(stem, "parameter", (), table, {"value": weight})
        return self.cut(f"{stem}.rows", whole, -2, start, stop)

    def linear(
        self,
        stem: str,
        source: Operation,
        targets: int,
        *,
        layout: str = "target_source",
        bias: bool = True,
    ) -> Operation:
        """``stem.weight`` and ``stem.bias`` along the last axis."""
        sources = source.shape[-1]
        shape = (targets, sources) if layout == "target_source" else (sources, targets)
        tensors = {"weight": self.tensor(f"{stem}.weight", shape)}
        if bias:
            tensors["bias"] = self.tensor(f"{stem}.bias", (targets,))
        return self.projection(stem, source, tensors, targets, layout)

    def labels(self, stem: str, source: Operation) -> list[Operation]:
        """A linear head with as many outputs as its weight has rows, where it is in the file."""
        if not self.has(f"{stem}.weight"):
            return []
        shape = self._tensors[f"{stem}.weight"].shape
        return [self.linear(stem, source, shape[0] if shape else 1)]

    def projection(
        self,
        name: str,
        source: Operation,
        tensors: Mapping[str, Parameter],
        targets: int,
        layout: str = "target_source",
    ) -> Operation:
        """A linear operation over tensors that are already at hand."""
        return self.add(
            name, "linear", [source], (*source.shape[:-1], targets), tensors, layout=layout
        )

    def check_tied(self, key: str) -> None:
        """Refuses a head without a weight of its own in a model that does not tie it.

        Raises
        ------
        UnreadableModel
        """
        if not self.config.flag("tie_word_embeddings", True):
            raise self._missing(key)

    def layer_norm(self, stem: str, source: Operation, epsilon: float) -> Operation:
        """Over the last axis; the first releases of BERT call weight and bias gamma and beta."""
        old = f"{stem}.gamma" in self._tensors
        weight, bias = ("gamma", "beta") if old else ("weight", "bias")
        size = source.shape[-1:]
        tensors = {
            "weight": self.tensor(f"{stem}.{weight}", size),
            "bias": self.tensor(f"{stem}.{bias}", size),
        }
        return self.add(
            stem, "layer_norm", [source], source.shape, tensors, epsilon=epsilon, axes=(-1,)
        )

    def activation(self, name: str, source: Operation, option: str, default: str) -> Operation:
        """The function that an option of the configuration names.

        Raises
        ------
        UnsupportedOperation
            If there is none of that name.
        """
        word = self.config.text(option, default)
        if word not in ACTIVATIONS:
            raise self.config.unsupported(option)
        kind, attributes = ACTIVATIONS[word]
        return self.add(name, kind, [source], source.shape, **attributes)

    def sum(self, name: str, *terms: Operation) -> Operation:
        """Elementwise; the first has the shape of the result."""
        return self.add(name, "add", terms, terms[0].shape)

    def cut(self, name: str, source: Operation, axis: int, start: int, stop: int) -> Operation:
        """Entries start..stop of one axis."""
        shape = list(source.shape)
        shape[axis] = stop - start
        return self.add(
            name, "slice", [source], tuple(shape), axis=axis, start=start, stop=stop, step=1
        )

    def first(self, name: str, source: Operation) -> Operation:
        """The first token of a sequence."""
        row = self.cut(f"{name}.rows", source, -2, 0, 1)
        return self.add(name, "reshape", [row], row.shape[-1:])

    def attention(
        self,
        name: str,
        projections: tuple[Operation, Operation, Operation],
        heads: int,
        *,
        scale: float,
        causal: bool = False,
    ) -> Operation:
        """Of queries, keys and values, each (tokens, features), in heads that lie side by side."""
        tokens, features = projections[0].shape
        parts = []
        for projection in projections:
            shape = (tokens, heads, features // heads)
            split = self.add(f"{projection.name}.split", "reshape", [projection], shape)
            parts.append(self._swapped(f"{projection.name}.heads", split))
        attended = self.add(name, "attention", parts, parts[0].shape, scale=scale, causal=causal)
        merged = self._swapped(f"{name}.tokens", attended)
        return self.add(f"{name}.merge", "reshape", [merged], (tokens, prod(merged.shape[1:])))

    def _missing(self, key: str) -> UnreadableModel:
        return UnreadableModel(
            f"The checkpoint has no tensor {key!r}, which its {self.config.path.name!r} calls for."
        )

    def _swapped(self, name: str, source: Operation) -> Operation:
        """(tokens, heads, ...) <-> (heads, tokens, ...)."""
        one, other, features = source.shape
        return self.add(name, "permute", [source], (other, one, features), axes=(-2, -3, -1))


def head_size(config: Config, features: int, heads: int) -> int:
    """Features of one attention head.

    Raises
    ------
    UnreadableModel
        If the heads do not share the features evenly.
    """
    if features % heads:
        raise UnreadableModel(
            f"The file {config.path.name!r} gives {heads} attention heads to {features} features, "
            "which they cannot share evenly."
        )
    return features // heads
