"""What one operation makes of its inputs, in NumPy float64: one file per family of kinds.

The kinds and their attributes are those of the operation graph that ingest reads. Views, such as a
reshape, are not among them.
"""

from __future__ import annotations

import numpy as np

from queries import activations
from queries.evaluation import arithmetic, attention, linear, norms, pooling, recurrent
from queries.evaluation.recurrent import gate_sums, lstm_states
from queries.evaluation.shapes import Array, Attributes, Family, Inputs, Tensors
from store.errors import InvalidArgument

__all__ = ["KINDS", "evaluate", "gate_sums", "lstm_states"]


def _same(_attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    return inputs[0]


KINDS: Family = {
    **arithmetic.FAMILY,
    **attention.FAMILY,
    **linear.FAMILY,
    **norms.FAMILY,
    **pooling.FAMILY,
    **recurrent.FAMILY,
    "dropout": _same,
}


def evaluate(kind: str, attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Computes an operation.

    Parameters
    ----------
    kind
        One of :data:`KINDS`, or an elementwise function of :data:`queries.activations.FUNCTIONS`.
    attributes
        Of the operation; axes are negative.
    inputs
        float64, the batch axis first; that of a parameter may have length 1. For ``lstm_cell``
        those of its ``lstm``, with the attributes and tensors of the latter.
    tensors
        By role, float64, in one layout: weights (targets, sources) of linear and recurrent
        layers, (targets, sources/groups, *kernel) of convolutions, (sources, targets/groups,
        *kernel) of transposed ones, (vocabulary, features) of embeddings.

    Returns
    -------
    numpy.ndarray
        float64, the batch axis first. As in any framework, an overflow is infinite, and what is
        not defined is NaN.

    Raises
    ------
    InvalidArgument
        If the kind is not known, or an embedding's input holds no indices.

    Example
    -------
    >>> evaluate("linear", {}, [np.array([[1.0, 2.0]])], {"weight": np.array([[3.0, 4.0]])})
    array([[11.]])
    """
    with np.errstate(all="ignore"):
        if kind in KINDS:
            return KINDS[kind](attributes, inputs, tensors)
        if kind in activations.FUNCTIONS:
            return activations.call(kind, inputs[0], attributes)
    raise InvalidArgument(f"The operation {kind!r} cannot be computed.")
