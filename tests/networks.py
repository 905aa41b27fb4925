"""Networks for tests, built straight on the seam: no reader stands between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.network import DenseLinks, Layer, LinkBlock, Network, Scalars, SparseLinks
from ingest.operations import Parameter


def dense_network(
    matrices: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]] | None = None,
    names: Sequence[str] | None = None,
    activations: Sequence[str] | None = None,
) -> Network:
    """A chain of dense layers; matrices are sources x targets, as in the design."""
    names = names or [f"fc{number + 1}" for number in range(len(matrices))]
    layers = [Layer("input", "input", (matrices[0].shape[0],))]
    links: list[DenseLinks] = []
    parameters: list[Parameter] = []
    first = 0
    for number, (name, matrix) in enumerate(zip(names, matrices, strict=True)):
        # Stored target-first, as torch does, so that strides matter.
        weight = Parameter.of(f"{name}.weight", np.ascontiguousarray(matrix.T))
        links.append(DenseLinks(number, number + 1, weight, first, True))
        parameters.append(weight)
        first += weight.size
        bias = None if biases is None else np.asarray(biases[number])
        layers.append(
            Layer(
                name,
                "linear",
                (matrix.shape[1],),
                activation="identity" if activations is None else activations[number],
                takes=(("layer", number),),
                scalars={}
                if bias is None
                else {"bias": Scalars(bias.astype(np.float64), first + np.arange(bias.size))},
                sources=(number,),
            )
        )
        if bias is not None:
            parameters.append(Parameter.of(f"{name}.bias", bias))
            first += bias.size
    return Network(
        tuple(layers),
        tuple(links),
        tuple(parameters),
        outputs=(("layer", len(matrices)),),
        source="test",
    )


def hand_checkable() -> Network:
    """The design's example, section 3."""
    return dense_network(
        [np.array([[1.0, -2, 3], [4, 5, -6]]), np.array([[1.0, 2], [-3, 4], [5, -6]])],
        [np.array([0.1, 0.2, 0.3]), np.array([0.5, -0.5])],
    )


def mixed() -> Network:
    """Dense links, learned ones that each name their own ends, and fixed ones."""
    chance = np.random.default_rng(6)
    dense = dense_network(
        [chance.normal(size=size).astype("f4") for size in ((100, 120), (120, 90))],
        [chance.normal(size=size).astype("f4") for size in (120, 90)],
    )

    def own_ends(learned: bool) -> Iterator[LinkBlock]:
        source, target = np.nonzero(chance_of(learned) < 0.2)
        weights = np.random.default_rng(8).normal(size=source.size)
        params = np.arange(source.size) if learned else None
        yield LinkBlock(source, 220 + target, weights, params)

    def chance_of(learned: bool) -> NDArray[np.float64]:
        return np.random.default_rng(int(learned)).random((100, 90))

    sparse = [
        SparseLinks(2, int((chance_of(learned) < 0.2).sum()), learned, partial(own_ends, learned))
        for learned in (True, False)
    ]
    return replace(dense, links=(*dense.links, *sparse))
