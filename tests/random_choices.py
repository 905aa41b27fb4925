"""What random operation graphs are made with: choices, and operands of a shape."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from ingest.operations import Operation, Parameter
from tests.graphs import Graph

Shape: TypeAlias = tuple[int, ...]

MOST_VALUES = 60
VOCABULARY = 5


class Choices:
    """Adds operations to a graph, each of values that are there already.

    Parameters
    ----------
    random
        Decides everything, and takes small numbers for simple choices.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.g = Graph(random.randrange(1000))
        self.values: list[str] = []
        self.lstms: list[str] = []
        self.tables: list[str] = []

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) >= 100 - percent

    def value(self, fits: Callable[[Shape], bool] = lambda shape: True) -> str | None:
        """A value whose shape fits, of the last ones more often."""
        found = [name for name in self.values if fits(self.g.shape(name))]
        if not found:
            return None
        return found[-1] if self.chance(60) else self.random.choice(found)

    def constant(self, shape: Shape, *, integers: bool = False) -> str:
        """A tensor as an operand; in the file it may have a batch axis of 1."""
        stored = (1, *shape) if self.chance(20) else shape
        name = f"constant{len(self.g.operations)}"
        tensor = self.g.tensor(f"{name}.value", *stored)
        if integers:
            tensor = self.g.parameters[-1] = Parameter.of(
                f"{name}.value", self.g.random.integers(-1, 3, size=stored)
            )
        self.g.operations.append(Operation(name, "parameter", (), shape, {"value": tensor}))
        return name

    def cut_constant(self, shape: Shape, *, integers: bool = False) -> str:
        """The same, perhaps as a part of a longer tensor, or one repeated or padded."""
        if not shape or not self.chance(30):
            return self.constant(shape, integers=integers)
        axis = self.random.randrange(-len(shape), 0)
        size = shape[axis]
        around = [*shape]
        match self.random.randrange(3):
            case 0:
                around[axis] = size + 2
                one = self.constant(tuple(around), integers=integers)
                return self.g.add("slice", shape, one, axis=axis, start=1, stop=size + 1, step=1)
            case 1:
                one = self.constant(shape)
                indices = tuple(self.random.randrange(size) for _ in range(size))
                return self.g.add("take", shape, one, axis=axis, indices=indices)
            case _ if size > 1:
                around[axis] = size - 1
                one = self.constant(tuple(around))
                padding = [(0, 0)] * len(shape)
                padding[axis] = (1, 0)
                return self.g.add("pad", shape, one, padding=tuple(padding), mode="zeros")
        return self.constant(shape)

    def factors(self, size: int) -> Shape:
        """A shape of that many values."""
        shape: list[int] = []
        while size > 1 and len(shape) < 3:
            divisors = [each for each in range(2, size + 1) if size % each == 0]
            shape.append(self.random.choice(divisors) if len(shape) < 2 else size)
            size //= shape[-1]
        if self.chance(20):
            shape.insert(self.random.randrange(len(shape) + 1), 1)
        return (*shape, size) if size > 1 else tuple(shape) or (1,)
