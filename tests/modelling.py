"""What the small models of tests are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# Samples of each example.
SAMPLES = 3

Example: TypeAlias = tuple[nn.Module, NDArray[Any]]


def prepared(module: nn.Module, *shape: int, vocabulary: int = 0, seed: int = 0) -> Example:
    """The module in eval mode with random weights and running statistics, and an input for it.

    Parameters
    ----------
    shape
        Of one sample.
    vocabulary
        If not 0, the input holds integers below it.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=random))
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=random))
    if vocabulary:
        example = torch.randint(vocabulary, (SAMPLES, *shape), generator=random)
    else:
        example = torch.randn(SAMPLES, *shape, generator=random)
    return module.eval(), example.numpy()


class Function(nn.Module):
    """Modules and tensors under names, and whatever forward a test wants of them."""

    def __init__(self, compute: Callable[..., Any], **members: Any) -> None:
        super().__init__()
        self.compute = compute
        for name, member in members.items():
            if isinstance(member, Tensor) and not isinstance(member, nn.Parameter):
                self.register_buffer(name, member)
            else:
                setattr(self, name, member)

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(self, *inputs)


def parameter(*shape: int) -> nn.Parameter:
    """A learned tensor."""
    return nn.Parameter(torch.ones(shape))
