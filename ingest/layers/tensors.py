"""The network's tensors while it is being built: where each lies, and what neurons hold of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ingest.network import Scalars
from ingest.operations import Parameter
from store.errors import UnsupportedOperation

# A tensor that no link or neuron holds is kept as one property; a longer one would be a burden.
MOST_KEPT = 2_000_000


class Tensors:
    """All tensors, in the order of the flat parameter vector."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        self._indices = {tensor.name: index for index, tensor in enumerate(parameters)}
        self._ends = list(accumulate(tensor.size for tensor in parameters))
        self._held: dict[str, NDArray[np.bool_] | None] = {}
        self._kept: set[int] = set()

    def index(self, parameter: Parameter) -> int:
        """Its place among the tensors."""
        return self._indices[parameter.name]

    def position(self, parameter: Parameter) -> int:
        """Where a tensor begins in the flat parameter vector."""
        return self._ends[self.index(parameter)] - parameter.size

    def hold(self, parameter: Parameter, entries: NDArray[np.int64] | None = None) -> None:
        """Notes that links or neurons hold a tensor, or some entries of it in flat order."""
        if entries is None:
            self._held[parameter.name] = None
            return
        held = self._held.setdefault(parameter.name, np.zeros(parameter.size, dtype=np.bool_))
        if held is not None:
            held[entries] = True

    def keep(self, indices: Iterable[int]) -> None:
        """Notes that the store keeps these whole, since an operation takes their values."""
        self._kept.update(indices)

    def scalars(self, params: NDArray[np.int64]) -> Scalars:
        """Values of entries of the flat parameter vector, to be kept on neurons."""
        values = np.empty(params.size)
        places = np.searchsorted(self._ends, params, side="right")
        for place in np.unique(places).tolist():
            parameter = self._parameters[place]
            inside = places == place
            entries = params[inside] - self.position(parameter)
            values[inside] = parameter.array().reshape(-1)[entries]
            self.hold(parameter, entries)
        return Scalars(values, params)

    def float_at(self, index: int) -> bool:
        """Whether neurons and links can hold a tensor: they hold finite floats alone."""
        parameter = self._parameters[index]
        return "float" in parameter.dtype and bool(np.isfinite(parameter.array()).all())

    def kept(self) -> tuple[int, ...]:
        """Indices of those that are kept whole, once all operations are in the network.

        Raises
        ------
        UnsupportedOperation
            If one of them is too long.
        """
        found = tuple(
            index
            for index, parameter in enumerate(self._parameters)
            if index in self._kept or not self._complete(parameter)
        )
        for index in found:
            parameter = self._parameters[index]
            if parameter.size > MOST_KEPT:
                raise UnsupportedOperation(
                    f"The tensor {parameter.name!r} ({parameter.size:,} values) takes no part in "
                    "the model's output or only with some of its values, and Weightome drops no "
                    "tensor: remove it from the model first."
                )
        return found

    def _complete(self, parameter: Parameter) -> bool:
        if parameter.name not in self._held:
            return False
        held = self._held[parameter.name]
        return held is None or bool(held.all())
