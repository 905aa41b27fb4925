"""Operation graphs in which one thing does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from ingest.operations import Operation, OperationGraph, Parameter
from tests.random_choices import Shape


def broken(graph: OperationGraph, random: Random) -> OperationGraph:
    """The same graph with one shape, number, input or tensor of an operation changed."""
    operations = list(graph.operations)
    place = random.randrange(len(operations))
    one = operations[place]
    parameters = list(graph.parameters)
    changes: list[Callable[[], Operation]] = [
        lambda: replace(one, shape=_changed(one.shape, random)),
        lambda: replace(one, inputs=_others(one.inputs, operations[:place], random)),
    ]
    numbers = [key for key, held in one.attributes.items() if _numbers(held)]
    if numbers:
        key = random.choice(numbers)
        held = _changed_number(one.attributes[key], random)
        changes += 2 * [lambda: replace(one, attributes={**one.attributes, key: held})]
    if one.parameters:
        role = random.choice(list(one.parameters))
        old = one.parameters[role]
        shape = _changed(old.shape, random)
        new = Parameter.of(old.name, np.ones(shape, dtype=np.float32))

        def other_tensor() -> Operation:
            index = [tensor.name for tensor in parameters].index(old.name)
            parameters[index] = new
            return replace(one, parameters={**one.parameters, role: new})

        changes += 2 * [other_tensor]
    operations[place] = random.choice(changes)()
    return replace(graph, operations=tuple(operations), parameters=tuple(parameters))


def _numbers(held: Any) -> bool:
    return isinstance(held, int | tuple) and not isinstance(held, bool)


def _changed_number(held: Any, random: Random) -> Any:
    if isinstance(held, int):
        return held + random.choice([-3, -2, -1, 1, 2, 3, 5])
    if not held or isinstance(held[0], str):
        return held[::-1]
    place = random.randrange(len(held))
    return (*held[:place], _changed_number(held[place], random), *held[place + 1 :])


def _changed(shape: Shape, random: Random) -> Shape:
    if not shape or random.randrange(4) == 0:
        return random.choice([(), (2,), (*shape, 1), shape[1:], shape[::-1], (0, *shape)])
    place = random.randrange(len(shape))
    return (*shape[:place], max(0, shape[place] + random.choice([-1, 1, 2])), *shape[place + 1 :])


def _others(names: tuple[str, ...], before: list[Operation], random: Random) -> tuple[str, ...]:
    known = [operation.name for operation in before] or ["nowhere"]
    if not names or random.randrange(4) == 0:
        return random.choice([names[:-1], (*names, random.choice(known)), ("nowhere",)])
    place = random.randrange(len(names))
    return (*names[:place], random.choice(known), *names[place + 1 :])
