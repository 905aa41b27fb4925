"""Weights without a graph: accepted when, and only when, their matrices chain in one way.

Which layer follows which is told by three things: the shapes, which must fit; numbers in names
(``fc2`` stands after ``fc1``, ``fc10`` after ``fc9``); and the order in the file, where the
format keeps the order in which the layers were defined. Nothing is guessed: two orders that both
fit, say of square matrices with names that hold no number, are refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

from ingest.layers.activation import UNKNOWN
from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers.wording import Names
from store.errors import ShapeMismatch, UnsupportedOperation

INSTEAD = "ingest the live module instead, which knows its graph"

# Steps of the search for a second order; only a crafted file needs more.
MOST_STEPS = 100_000

_WRAPPERS = ("_orig_mod.", "module.")


@dataclass(frozen=True)
class Matrix:
    """A dense layer: its name, its weight and, where it has one, its bias."""

    name: str
    weight: Parameter
    bias: Parameter | None = None
    target_first: bool = True

    @property
    def sources(self) -> int:
        """Values that it takes."""
        return self.weight.shape[1 if self.target_first else 0]

    @property
    def targets(self) -> int:
        """Values that it gives."""
        return self.weight.shape[0 if self.target_first else 1]


def paired(parameters: Iterable[Parameter], path: Path) -> list[Matrix]:
    """The matrices of a state dict with their biases, in its order.

    Parameters
    ----------
    parameters
        Named ``X.weight`` and ``X.bias``; the layer is called X, without the ``module.`` or
        ``_orig_mod.`` of a wrapped model where all keys have it.
    path
        The file, for errors.

    Raises
    ------
    ShapeMismatch
        If a weight is not a matrix.
    UnsupportedOperation
        If a tensor is neither weight nor bias of a dense layer.
    """
    tensors = {key: tensor for tensor in parameters for key in (tensor.name, *tensor.aliases)}
    stems: dict[str, dict[str, Parameter]] = {}
    for key, tensor in tensors.items():
        stem, _, role = key.rpartition(".")
        if role == "weight" and len(tensor.shape) != 2:
            raise ShapeMismatch(
                f"The tensor {key!r} of {path.name!r} has the shape {tensor.shape}, but without a "
                f"graph only matrices can be chained: {INSTEAD}."
            )
        if role not in ("weight", "bias"):
            raise _not_dense(key, path)
        stems.setdefault(stem, {})[role] = tensor
    wrapped = _wrapped(stems)
    matrices = []
    for stem, roles in stems.items():
        if "weight" not in roles:
            raise _not_dense(f"{stem}.bias".lstrip("."), path)
        name = stem[wrapped:].lstrip(".") or "linear"
        matrices.append(Matrix(name, roles["weight"], roles.get("bias")))
    return matrices


def _not_dense(key: str, path: Path) -> UnsupportedOperation:
    return UnsupportedOperation(
        f"The tensor {key!r} of {path.name!r} is neither weight nor bias of a dense layer: "
        f"{INSTEAD}."
    )


def _wrapped(stems: Iterable[str]) -> int:
    """Length of the prefix that wrappers of the whole model put before all keys."""
    length, dotted = 0, [stem + "." for stem in stems]
    while found := [
        wrapper
        for wrapper in _WRAPPERS
        if dotted and all(stem.startswith(wrapper, length) for stem in dotted)
    ]:
        length += len(found[0])
    return length


def chain(
    matrices: Sequence[Matrix],
    parameters: Sequence[Parameter],
    path: Path,
    *,
    source: str,
    ordered: bool,
    input_shape: tuple[int, ...] | None,
    activation: str | None,
) -> OperationGraph:
    """A graph in which each matrix feeds the next.

    Parameters
    ----------
    matrices, parameters
        In the file's order.
    path, source
        The file, for errors, and its format.
    ordered
        Whether the file's order is that in which the layers were defined.
    input_shape, activation
        As for :func:`ingest.readers.read`.

    Raises
    ------
    UnsupportedOperation
        If there is no matrix.
    ShapeMismatch
        If no order of the matrices fits, or more than one does, or not the input shape.
    """
    if not matrices:
        raise UnsupportedOperation(f"The file {path.name!r} holds no dense layer.")
    layers = _in_order(matrices, path, ordered)
    shape = (layers[0].sources,) if input_shape is None else input_shape
    if prod(shape) != layers[0].sources:
        raise ShapeMismatch(
            f"The input shape {shape} has {prod(shape)} values, but "
            f"{_told(layers[0])} takes {layers[0].sources}."
        )
    names = Names()
    operations = [Operation(Names.INPUT, "input", shape=shape)]
    if len(shape) > 1:
        flat = Operation(names.take("flatten"), "flatten", (Names.INPUT,), (prod(shape),))
        operations.append(flat)
    for number, layer in enumerate(layers, 1):
        name, size = names.take(layer.name), (layer.targets,)
        parameters_of = {"weight": layer.weight}
        if layer.bias is not None:
            parameters_of["bias"] = layer.bias
        layout = "target_source" if layer.target_first else "source_target"
        linear = Operation(
            name, "linear", (operations[-1].name,), size, parameters_of, {"layout": layout}
        )
        kind = UNKNOWN if activation is None or number == len(layers) else activation
        after = Operation(names.take(f"{name}.activation"), kind, (name,), size)
        operations += [linear, after]
    return OperationGraph(tuple(operations), tuple(parameters), source)


def _in_order(matrices: Sequence[Matrix], path: Path, ordered: bool) -> list[Matrix]:
    """The matrices in the one order in which they chain."""
    after = _numbered(matrices)
    found, complete = _orders(matrices, after)
    if ordered and _misfit(matrices) is None:
        if not found or all(early < late for early, late in after.items()):
            return list(matrices)
        found = [list(range(len(matrices))), *found]
    if len(found) == 1 and complete:
        return [matrices[index] for index in found[0]]
    if found:
        told = " or ".join(
            " -> ".join(matrices[index].name for index in order[:8]) for order in found[:2]
        )
        raise ShapeMismatch(
            f"The matrices of {path.name!r} fit in more than one order, such as {told}, and "
            f"neither their names nor the file tell which is meant: {INSTEAD}."
        )
    likely = matrices if ordered else sorted(matrices, key=lambda matrix: _natural(matrix.name))
    first, second = _misfit(likely) or (likely[0], likely[-1])
    raise ShapeMismatch(
        f"The matrices of {path.name!r} do not chain: {_told(first)} gives {first.targets} values "
        f"and {_told(second)} takes {second.sources}; {INSTEAD}."
    )


def _told(matrix: Matrix) -> str:
    return f"{matrix.weight.name!r} {matrix.weight.shape}"


def _misfit(matrices: Sequence[Matrix]) -> tuple[Matrix, Matrix] | None:
    """The first two neighbours that do not fit."""
    return next(((a, b) for a, b in pairwise(matrices) if a.targets != b.sources), None)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which 2 stands before 10."""
    return [
        (1, int(part), part) if part.isdecimal() else (2, 0, part)
        for part in re.split("([0-9]+)", name)
        if part
    ]


def _numbered(matrices: Sequence[Matrix]) -> dict[int, int]:
    """For each matrix the one that must come after it: alike in name, with the next number."""
    alike: dict[str, list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        alike[re.sub("[0-9]+", "#", matrix.name)].append(index)
    return {
        early: late
        for group in alike.values()
        for early, late in pairwise(sorted(group, key=lambda index: _natural(matrices[index].name)))
    }


def _orders(matrices: Sequence[Matrix], after: dict[int, int]) -> tuple[list[list[int]], bool]:
    """Up to two orders in which all matrices chain, and whether the search came to its end.

    Depth first, with a stack of its own: a file may hold more layers than Python may call.
    """
    found: list[list[int]] = []
    order: list[int] = []
    # Matrices that may come next as far as their names go.
    free = set(range(len(matrices))) - set(after.values())
    branches = [iter(sorted(free))]
    steps = 0
    while branches:
        index = next(branches[-1], None)
        if index is None:
            branches.pop()
            if order:
                free.discard(after.get(order[-1], -1))
                free.add(order.pop())
            continue
        order.append(index)
        free.remove(index)
        if index in after:
            free.add(after[index])
        if len(order) == len(matrices):
            found.append(order.copy())
            if len(found) == 2:
                break
        steps += 1 + len(free)
        if steps > MOST_STEPS + len(matrices):
            return found, False
        size = matrices[index].targets
        branches.append(iter(sorted(other for other in free if matrices[other].sources == size)))
    return found, True
