"""Random operation graphs over all kinds of the contract, small, and valid by construction."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from random import Random
from typing import Any

import numpy as np

from ingest.operations import OperationGraph
from tests.random_choices import MOST_VALUES, Shape
from tests.random_layers import Layers

# Continuous, so that the last bit of a sum decides nothing, and tame.
_FUNCTIONS: dict[str, dict[str, Any]] = {
    "abs": {}, "gelu": {}, "relu": {}, "sigmoid": {}, "sin": {}, "tanh": {}, "silu": {},
    "leaky_relu": {"negative_slope": 0.2}, "times": {"factor": -0.5}, "plus": {"amount": 2.0},
    "clip": {"low": -1.0, "high": 1.5}, "elu": {"alpha": 1.0},
}  # fmt: skip


class Walk(Layers):
    """Adds operations to a graph, each of values that are there already."""

    def reduce(self) -> str | None:
        x = self.value(bool)
        if x is None:
            return None
        shape = self.g.shape(x)
        axes = tuple(axis for axis in range(-len(shape), 0) if self.chance(50)) or (-1,)
        keep = self.chance(50)
        kept = (1,) if keep else ()
        after = [
            (size,) if number - len(shape) not in axes else kept
            for number, size in enumerate(shape)
        ]
        function = self.random.choice(["mean", "sum", "max", "min", "product", "l1", "l2"])
        return self.g.add(
            "reduce", tuple(size for part in after for size in part), x,
            function=function, axes=axes, keep=keep,
        )  # fmt: skip

    def arithmetic(self) -> str | None:
        x = self.value()
        if x is None:
            return None
        kind = self.random.choice(
            ["add", "add", "product", "product", "subtract", "divide", "maximum", "minimum"]
        )
        shape = self.g.shape(x)
        others = [self.operand(x)]
        if kind in ("add", "product") and self.chance(25):
            others.append(self.operand(x))
        if kind == "divide":
            away = self.g.add("abs", self.g.shape(others[0]), others[0])
            others = [self.g.add("plus", self.g.shape(away), away, amount=1.0)]
        operands = [x, *others]
        if self.chance(30) and kind != "divide":
            self.random.shuffle(operands)
        shape = np.broadcast_shapes(*(self.g.shape(name) for name in operands))
        return None if prod(shape) > MOST_VALUES else self.g.add(kind, shape, *operands)

    def operand(self, x: str) -> str:
        """Something that broadcasts with a value: itself, another, or a constant."""
        shape = self.g.shape(x)
        if self.chance(15):
            return x
        if self.chance(50):
            own = tuple(1 if self.chance(35) else size for size in shape)
            own = own[self.random.randrange(len(own) + 1) :]
            return self.cut_constant(own, integers=self.chance(20))

        def fits(other: Shape) -> bool:
            return all(
                1 in (a, b) or a == b for a, b in zip(shape[::-1], other[::-1], strict=False)
            )

        return self.value(fits) or x

    def matmul(self) -> str | None:
        x = self.value(lambda shape: len(shape) >= 2)
        if x is None:
            return None
        *lead, m, k = self.g.shape(x)
        match self.random.randrange(3):
            case 0:
                axes = (*range(-len(lead) - 2, -2), -1, -2)
                other = self.g.add("permute", (*lead, k, m), x, axes=axes)
            case 1:
                n = self.random.randint(1, 3)
                other = self.cut_constant((*lead, k, n) if self.chance(40) else (k, n))
            case _:
                other = self.value(lambda shape: len(shape) == 2 and shape[0] == k) or ""
        if not other:
            return None
        if self.chance(20) and self.g.shape(other)[-1] == m:
            x, other = other, x
        one, two = self.g.shape(x), self.g.shape(other)
        lead = [*np.broadcast_shapes(one[:-2], two[:-2])]
        shape = (*lead, one[-2], two[-1])
        return None if prod(shape) > MOST_VALUES else self.g.add("matmul", shape, x, other)

    def activation(self) -> str | None:
        x = self.value()
        if x is None:
            return None
        shape = self.g.shape(x)
        if shape and self.chance(25):
            kind = self.random.choice(["softmax", "log_softmax"])
            if self.chance(50):
                return self.g.add(kind, shape, x)
            return self.g.add(kind, shape, x, axis=self.random.randrange(-len(shape), 0))
        kind = self.random.choice(list(_FUNCTIONS))
        return self.g.add(kind, shape, x, **_FUNCTIONS[kind])

    def rearranged(self) -> str | None:
        kinds = ["identity", "reshape", "flatten", "expand", "permute", "slice", "take", "pad"]
        kind = self.random.choice(kinds)
        x = self.value(bool) if kind in kinds[4:] else self.value()
        if x is None:
            return None
        shape = self.g.shape(x)
        more: dict[str, Any] = {}
        after = [*shape]
        axis = self.random.randrange(-len(shape), 0) if shape else 0
        match kind:
            case "reshape":
                after = [*self.factors(prod(shape))]
            case "flatten":
                after = [prod(shape)]
            case "expand":
                after = [2 if size == 1 and self.chance(60) else size for size in shape]
                if self.chance(30) and len(after) < 4:
                    after.insert(0, self.random.randint(1, 2))
            case "permute":
                axes = self.random.sample(range(-len(shape), 0), len(shape))
                more["axes"], after = tuple(axes), [shape[axis] for axis in axes]
            case "slice":
                start = self.random.randrange(shape[axis])
                stop = self.random.randint(start + 1, shape[axis])
                step = self.random.randint(1, 2)
                more = {"axis": axis, "start": start, "stop": stop, "step": step}
                after[axis] = len(range(start, stop, step))
            case "take":
                count = self.random.randint(1, shape[axis] + 1)
                indices = tuple(self.random.randrange(shape[axis]) for _ in range(count))
                more = {"axis": axis, "indices": indices}
                after[axis] = count
            case "pad":
                mode = self.random.choice(["zeros", "reflect", "replicate", "circular"])
                most = [min(2, size - (mode == "reflect")) for size in shape]
                pairs = [
                    (self.random.randint(0, limit), self.random.randint(0, limit))
                    if self.chance(50) else (0, 0)
                    for limit in most
                ]  # fmt: skip
                more = {"padding": tuple(pairs), "mode": mode}
                after = [size + sum(pair) for size, pair in zip(shape, pairs, strict=True)]
        if prod(after) > MOST_VALUES:
            return None
        return self.g.add(kind, tuple(after), x, **more)

    def concat(self) -> str | None:
        x = self.value(bool)
        if x is None:
            return None
        shape = self.g.shape(x)
        axis = self.random.randrange(-len(shape), 0)
        rest = [*shape]
        rest[axis] = 0

        def fits(other: Shape) -> bool:
            if len(other) != len(shape):
                return False
            return all(size in (0, own) for size, own in zip(rest, other, strict=True))

        parts = [x, self.value(fits) or x]
        if self.chance(25):
            own = [*shape]
            own[axis] = self.random.randint(1, 2)
            parts.append(self.cut_constant(tuple(own)))
        self.random.shuffle(parts)
        rest[axis] = sum(self.g.shape(part)[axis] for part in parts)
        return (
            None
            if prod(rest) > MOST_VALUES
            else self.g.add("concat", tuple(rest), *parts, axis=axis)
        )

    def graph(self, steps: int) -> OperationGraph:
        """At most so many operations, with those that they need beside them."""
        shapes: Sequence[Shape] = [
            (5,), (4, 3), (2, 5), (2, 4, 3), (1, 3, 4), (2, 2, 2, 2), (1,), (3, 1),
        ]  # fmt: skip
        for _ in range(1 + self.chance(20)):
            self.values.append(self.g.add("input", self.random.choice(shapes)))
        ways = [
            self.linear, self.conv, self.conv_transposed, self.embedding, self.norm, self.pool,
            self.reduce, self.arithmetic, self.matmul, self.attention, self.recurrent, self.cells,
            self.activation, self.rearranged, self.concat, self.linear, self.arithmetic,
            self.activation, self.rearranged, self.rearranged,
        ]  # fmt: skip
        for _ in range(steps):
            made = self.random.choice(ways)()
            if made is not None:
                self.values.append(made)
        if not any("weight" in role for o in self.g.operations for role in o.parameters):
            self.values.append(self.linear() or self.embedding() or "")
        return self.g.done(*self.outputs())

    def outputs(self) -> list[str]:
        """Sometimes the ends of the graph, sometimes any values, one of them twice perhaps."""
        if self.chance(50):
            return []
        if self.chance(10):
            self.values.append(self.constant((3,)))
        return [self.random.choice(self.values) for _ in range(self.random.randint(1, 3))]


def random_graph(random: Random, steps: int = 8) -> OperationGraph:
    """A graph of at most so many random operations; it may hold nothing learned."""
    return Walk(random).graph(random.randint(2, steps))
