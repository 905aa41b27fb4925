"""torch tensors -> parameters; and torch itself, which is loaded only where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ingest.operations import Parameter
from ingest.readers.wording import FLOATS, check_tensor
from store import schema
from store.errors import InvalidWeights, UnreadableModel

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

# Types of counters, positions and masks, which are kept beside the weights.
WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8")

# The first whose weights_only loading we trust with a file of unknown origin.
OLDEST = (2, 10)


def trusted_torch() -> ModuleType:
    """torch, for opening a file.

    Raises
    ------
    UnreadableModel
        If torch is missing or too old.
    """
    try:
        import torch
    except ImportError as error:
        raise UnreadableModel(
            "Reading a PyTorch file needs torch: pip install 'weightome[torch]'."
        ) from error
    version = str(torch.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise UnreadableModel(
            f"torch {version} cannot be trusted with a file, and 2.10 or later can: pip install "
            "--upgrade 'weightome[torch]'."
        )
    return torch


def parameters(tensors: Mapping[Any, Any]) -> list[Parameter]:
    """The tensors of a state dict in its order, each one once: further keys are aliases.

    Raises
    ------
    UnreadableModel
        If an entry is not a tensor with values.
    """
    found: dict[object, Parameter] = {}
    for key, tensor in tensors.items():
        _check(key, tensor)
        identity = _identity(tensor) if tensor.numel() else key
        first = found.get(identity)
        found[identity] = (
            _parameter(key, tensor)
            if first is None
            else replace(first, aliases=(*first.aliases, key))
        )
    return list(found.values())


def check_floats(found: Iterable[Parameter]) -> None:
    """Refuses tensors that hold neither floats nor, as buffers do, integers or truth values.

    Raises
    ------
    InvalidName, InvalidWeights
    """
    for parameter in found:
        for key in (parameter.name, *parameter.aliases):
            if parameter.dtype in WHOLE:
                schema.valid_name(key, "tensor")
            else:
                check_tensor(key, parameter.dtype)


def _check(key: object, tensor: object) -> None:
    import torch

    if not isinstance(key, str):
        raise UnreadableModel(f"A key of the state dict is {str(key)[:80]!r}, not a text.")
    if not isinstance(tensor, torch.Tensor):
        raise UnreadableModel(f"The entry {key[:80]!r} is a {type(tensor).__name__}, not a tensor.")
    if torch.nn.parameter.is_lazy(tensor):
        raise InvalidWeights(
            f"The tensor {key[:80]!r} has no values yet: run the lazy module once first."
        )
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise InvalidWeights(f"The tensor {key[:80]!r} is sparse, quantized or nested, not dense.")
    if tensor.device.type == "meta":
        raise InvalidWeights(f"The tensor {key[:80]!r} lies on the meta device, without values.")
    # Also guards against a file whose strides show few stored bytes as a huge matrix.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InvalidWeights(f"The tensor {key[:80]!r} has more entries than stored values.")


def _identity(tensor: torch.Tensor) -> object:
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def _parameter(key: str, tensor: torch.Tensor) -> Parameter:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Parameter(key, tuple(tensor.shape), dtype, _rows(tensor.detach(), dtype))


def _rows(tensor: torch.Tensor, dtype: str) -> Callable[[int, int], NDArray[Any]]:
    """Reads entries of a tensor's first axis, from wherever it lies, and no others."""
    whole = tensor if tensor.ndim else tensor.reshape(1)

    def read(start: int, stop: int) -> NDArray[Any]:
        block = whole[start:stop].cpu()
        if dtype in FLOATS[:2]:
            # NumPy has no bfloat16; a float32 holds every value of both half formats.
            block = block.float()
        elif dtype in WHOLE and dtype != "bool":
            block = block.long()
        array: NDArray[Any] = block.numpy()
        return array

    return read
