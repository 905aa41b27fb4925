"""Operations without learned weights: between values, and over axes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce as fold

import numpy as np

from queries.evaluation.shapes import (
    Array,
    Attributes,
    Evaluator,
    Family,
    Inputs,
    Tensors,
    aligned,
)
from store.errors import InvalidArgument

_REDUCTIONS: Mapping[str, Callable[..., Array]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "product": np.prod,
    "l1": lambda values, **over: np.sum(np.abs(values), **over),
    "l2": lambda values, **over: np.sqrt(np.sum(values**2, **over)),
}


def reduce(attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    """One value from all those along some axes."""
    function = _REDUCTIONS.get(attributes["function"])
    if function is None:
        raise InvalidArgument(f"The reduction {attributes['function']!r} cannot be computed.")
    return function(inputs[0], axis=tuple(attributes["axes"]), keepdims=attributes["keep"])


def _between(function: Callable[[Array, Array], Array]) -> Evaluator:
    """A function of two values, taken from the first input to the last."""

    def evaluator(_attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
        return fold(function, aligned(inputs))

    return evaluator


FAMILY: Family = {
    "add": _between(np.add),
    "product": _between(np.multiply),
    "subtract": _between(np.subtract),
    "divide": _between(np.divide),
    "maximum": _between(np.maximum),
    "minimum": _between(np.minimum),
    "power": _between(np.power),
    "reduce": reduce,
}
