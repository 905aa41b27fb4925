"""Products of values with values: attention, and matrices that are both computed.

What mixes the values depends on the data, so there is no learned link: fixed links of weight 1
tell what can reach what. Queries and keys give one neuron per head (unrolled: one per pair of
positions), the scores; values and scores give the attention's own neurons.
"""

from __future__ import annotations

import numpy as np

from ingest.layers.building import Building, Families
from ingest.layers.neurons import Neurons, varying
from ingest.layers.values import Value
from ingest.operations import Operation

# What stands between a matrix and attention without making other neurons of its.
_PASSED = (
    "activation", "add", "copy", "layer_norm", "product", "rms_norm", "scale", "shift", "subtract",
)  # fmt: skip


def matmul(operation: Operation, building: Building) -> None:
    """A layer of the products of two computed matrices."""
    one, other = building.value(operation), building.value(operation, 1)
    for value in (one, other):
        if value.params is not None:
            building.keep(value)
    building.give(
        operation, _product(operation.name, "matmul", building, [one, other], operation.shape)
    )


def _product(
    name: str,
    kind: str,
    building: Building,
    takes: list[Value],
    shape: tuple[int, ...],
    **properties: object,
) -> Value:
    """Places (..., m, n) of (..., m, k) and (..., k, n), the first two that it takes."""
    one, other = takes[0].neurons, takes[1].neurons
    lead = shape[:-2]
    one = np.broadcast_to(one, (*lead, *one.shape[-2:]))
    other = np.broadcast_to(other, (*lead, *other.shape[-2:]))
    last = len(shape) - 1
    standing = {axis for axis in (*varying(one), *varying(other)) if axis < last - 1}
    standing |= {last - 1} & set(varying(one)) | {last} & set(varying(other))
    placed = building.place(name, kind, shape, sorted(standing), takes=takes, **properties)
    into = placed.neurons[..., :, None, :]
    _wire(building, placed, one[..., :, :, None], into, 0)
    _wire(building, placed, other[..., None, :, :], into, 1)
    return placed


def _wire(building: Building, placed: Value, one: Neurons, into: Neurons, argument: int) -> None:
    """Wires that leave out axes along which neither side differs, before they are spread."""
    apart = {*varying(one), *varying(into)}
    cut = tuple(slice(None) if axis in apart else slice(0, 1) for axis in range(one.ndim))
    sizes = tuple(slice(None) if axis in apart else slice(0, 1) for axis in range(into.ndim))
    building.wire(placed, one[cut], into[sizes], argument=argument)


def attention(operation: Operation, building: Building) -> None:
    """Scores of queries and keys, and the values that they mix."""
    query, key, value = (building.source(operation, number) for number in range(3))
    heads, steps, _ = query.shape
    _tell_roles(building, {"q": query, "k": key, "v": value}, heads)
    key, value = (_repeated(each, heads) for each in (key, value))
    key = _turned(key)
    takes = [query, key]
    if len(operation.inputs) > 3:
        mask = building.value(operation, 3)
        if mask.params is not None:
            building.keep(mask)
        takes.append(mask)
    scores = _product(
        building.fresh(f"{operation.name}.scores"),
        "attention_scores",
        building,
        takes,
        (heads, steps, key.shape[-1]),
        attributes={
            "scale": float(operation.attributes["scale"]),
            "causal": bool(operation.attributes.get("causal", False)),
        },
        activation="softmax",
    )
    for mask in takes[2:]:
        if mask.params is None:
            lead = (1,) * (len(scores.shape) - len(mask.shape))
            moved = mask.neurons.reshape(lead + mask.shape)
            building.wire(scores, moved, scores.neurons, argument=2)
    placed = _product(operation.name, "attention", building, [scores, value], operation.shape)
    placed_heads = np.broadcast_to(np.arange(heads)[:, None, None], placed.shape)
    index = building.layer_of(placed)
    first = int(placed.neurons.min())
    of_neurons = np.zeros(building.size(placed), dtype=np.int64)
    of_neurons[placed.neurons.reshape(-1) - first] = placed_heads.reshape(-1)
    building.change(index, heads=tuple(of_neurons.tolist()))
    building.give(operation, placed)


def _repeated(value: Value, heads: int) -> Value:
    """Keys or values of fewer heads, each for as many heads of queries as share it."""
    times = heads // value.shape[0]
    if times == 1:
        return value
    indices = tuple(head // times for head in range(heads))
    return Value(("take", value.view, -3, indices), value.neurons.take(indices, axis=0))


def _turned(value: Value) -> Value:
    return Value(("permute", value.view, (-3, -1, -2)), value.neurons.swapaxes(-1, -2))


def _tell_roles(building: Building, parts: dict[str, Value], heads: int) -> None:
    """Notes on the neurons of the layers that give queries, keys and values what they are for.

    A layer that gives other things too keeps no role for those; one that gives the same neuron to
    several gets the first. What only moves or turns values (rotary positions, norms) is passed.
    """
    found: dict[int, tuple[list[str], list[int]]] = {}
    for role, value in parts.items():
        times = heads // value.shape[0]
        for head in range(value.shape[0]):
            for index, inside in _linear_before(building, value.neurons[head]).items():
                size = building.layer(index).size
                roles, numbers = found.setdefault(index, ([""] * size, [-1] * size))
                for neuron in inside.tolist():
                    if not roles[neuron]:
                        roles[neuron], numbers[neuron] = role, head * times
    for index, (roles, numbers) in found.items():
        building.change(index, roles=tuple(roles), heads=tuple(numbers))


def _linear_before(building: Building, neurons: Neurons) -> dict[int, Neurons]:
    """The linear layers that neurons belong to or are made of, each with its own of them."""
    found: dict[int, Neurons] = {}
    waiting = building.holders(neurons)
    while waiting:
        # What leads into a layer stands before it, so that each is come to once.
        index = max(waiting)
        inside = waiting.pop(index)
        kind = building.layer(index).kind
        if kind == "linear":
            found[index] = inside
        elif kind in _PASSED:
            for source, more in building.holders(building.before(index, inside)).items():
                waiting[source] = np.union1d(waiting.get(source, more), more)
    return found


FAMILY: Families = {"matmul": matmul, "attention": attention}
