"""Keras' MultiHeadAttention: four matrices and an attention of all heads at once.

Keras keeps a matrix as (features, heads, size): row by row these are the entries of a plain one,
under another shape, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from ingest.readers.keras.layers import Family
from ingest.readers.keras.values import Shape, Step, Value, reshaped
from ingest.readers.wording import reason


def attention(step: Step) -> Value:
    """Query, key and value from sequences, attention, and a matrix of what all heads give."""
    query, key, value = _sequences(step)
    for option in ("use_gate", "sliding_window"):
        if step.config.get(option):
            raise step.refused(f" with {option}")
    if step.config.get("attention_axes") not in (None, 1, [1]):
        raise step.refused(f" over the axes {reason(step.config['attention_axes'])}")
    heads, size = step.whole("num_heads"), step.whole("key_dim")
    wide = size if step.config.get("value_dim") is None else step.whole("value_dim")
    operations = step.operations
    parts = [
        _heads(step, role, one, heads, width)
        for role, one, width in (("query", query, size), ("key", key, size), ("value", value, wide))
    ]
    steps = query.shape[0]
    attended = operations.add(
        step.name,
        "attention",
        parts,
        (heads, steps, wide),
        scale=1 / sqrt(size),
        causal=_option(step, "use_causal_mask"),
    )
    together = operations.add(
        f"{step.name}.steps", "permute", [attended], (steps, heads, wide), axes=(-2, -3, -1)
    )
    flat = operations.add(f"{step.name}.joined", "reshape", [together], (steps, heads * wide))
    targets = _targets(step, query)
    made = _linear(step, "output", flat, (heads, wide), (targets,), steps)
    return Value((steps, targets), made)


def _sequences(step: Step) -> tuple[Value, Value, Value]:
    """Query, key and value; the key is the value where it is not told."""
    given = dict(zip(("query", "value", "key"), step.inputs, strict=False))
    for name, values in step.named.items():
        if name not in ("query", "value", "key") or len(values) != 1 or name in given:
            raise step.refused(f" with the argument {name[:80]!r}")
        given[name] = values[0]
    if len(step.inputs) > 3 or not {"query", "value"} <= given.keys():
        raise step.refused(f" of {len(step.inputs)} inputs")
    for value in given.values():
        step.unmasked(value)
        if len(value.shape) != 2:
            raise step.misfit(f"takes sequences of vectors, not the shape {value.shape}")
    key = given.get("key", given["value"])
    if key.shape[0] != given["value"].shape[0]:
        raise step.misfit(f"has {key.shape[0]} keys for {given['value'].shape[0]} values")
    return given["query"], key, given["value"]


def _option(step: Step, name: str) -> bool:
    value = step.call.options.get(name, False)
    if not isinstance(value, bool):
        raise step.refused(f" with the argument {name} {reason(value)!r}")
    return value


def _targets(step: Step, query: Value) -> int:
    told = step.config.get("output_shape")
    if told is None:
        return query.shape[1]
    sizes = told if isinstance(told, list) else [told]
    if len(sizes) != 1 or type(sizes[0]) is not int or sizes[0] < 1:
        raise step.refused(f" with the output_shape {reason(told)}")
    return int(sizes[0])


def _heads(step: Step, role: str, value: Value, heads: int, size: int) -> str:
    """One of the three sequences, apart for each head."""
    steps, features = value.shape
    given = step.operations.in_order(value, step.name)
    made = _linear(step, role, given, (features,), (heads, size), steps)
    parted = step.operations.add(
        f"{step.name}.{role}.parted", "reshape", [made], (steps, heads, size)
    )
    return step.operations.add(
        f"{step.name}.{role}.heads", "permute", [parted], (heads, steps, size), axes=(-2, -3, -1)
    )


def _linear(step: Step, role: str, given: str, sources: Shape, targets: Shape, steps: int) -> str:
    """A matrix whose two sides Keras keeps as several axes each."""
    kernel = step.fitting(f"{role}/kernel", (*sources, *targets))
    rows = 1
    for size in sources:
        rows *= size
    columns = kernel.size // rows
    parameters = {"weight": reshaped(kernel, (rows, columns))}
    if f"{role}/bias" in step.weights:
        parameters["bias"] = reshaped(step.fitting(f"{role}/bias", targets), (columns,))
    return step.operations.add(
        f"{step.name}.{role}",
        "linear",
        [given],
        (steps, columns),
        parameters,
        layout="source_target",
    )


FAMILIES: Mapping[str, Family] = {"MultiHeadAttention": attention}
