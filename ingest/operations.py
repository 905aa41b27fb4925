"""The neutral operation graph: what every reader yields and every layer family takes.

A reader knows one file format and no graph; a layer family knows one kind of operation and no
file format. Between them stands this: operations with shapes, attributes, parameter tensors and
edges, in NumPy terms only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameter:
    """One learned tensor, read in slices so that it need not lie in memory.

    Parameters
    ----------
    name
        Its key in the state dict.
    aliases
        Further keys of the same tensor, where the model ties weights.
    shape, dtype
        As stored in the file; dtype in NumPy's or torch's word, such as ``float32``.
    read
        ``read(start, stop)`` gives entries start..stop of the first axis as an array. Floats
        come as float32 or float64 with the value that the file holds.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[int, int], NDArray[Any]] = field(repr=False, compare=False)
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of scalars."""
        return int(np.prod(self.shape, dtype=np.int64))

    def array(self) -> NDArray[Any]:
        """The whole tensor, in its shape."""
        return self.read(0, self.shape[0]) if self.shape else self.read(0, 1).reshape(())

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> Parameter:
        """A parameter over an array that is already in memory."""
        flat = array.reshape(1) if array.ndim == 0 else array
        return cls(name, array.shape, str(array.dtype), lambda start, stop: flat[start:stop])


@dataclass(frozen=True)
class Operation:
    """One step of the network.

    Parameters
    ----------
    name
        Unique in the graph: the ``named_modules()`` path, the ONNX node name, ...
    kind
        In lower case: ``input``, ``linear``, ``relu``, ``dropout``, ``flatten``, ...
    inputs
        Names of the operations whose outputs it takes, in argument order.
    shape
        Shape of its output, without the batch axis.
    parameters
        Its tensors by role. ``linear``: ``weight``, and ``bias`` where it has one.
    attributes
        ``linear``: ``layout`` is ``"target_source"`` (torch) or ``"source_target"`` (Keras).
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OperationGraph:
    """A model: its operations in topological order, and its tensors in the file's order.

    Parameters
    ----------
    operations
        Every operation stands after those it takes from.
    parameters
        All tensors of the state dict, in its order; each one belongs to some operation.
    source
        Where it came from, such as ``safetensors`` or ``torch.nn.Module``.
    """

    operations: tuple[Operation, ...]
    parameters: tuple[Parameter, ...]
    source: str
