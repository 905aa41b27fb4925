"""Random layers: what has weights, windows or states."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ingest.operations import Operation, Parameter
from tests.random_choices import MOST_VALUES, VOCABULARY, Choices, Shape


class Layers(Choices):
    """Each adds an operation and gives the name of its value, or None where it does not fit."""

    def linear(self) -> str | None:
        x = self.value(bool)
        if x is None:
            return None
        before = self.g.shape(x)
        shape = (*before[:-1], self.random.randint(1, 4))
        if prod(shape) > MOST_VALUES:
            return None
        tied = [
            each for each in self.g.operations
            if each.kind == "linear" and each.parameters["weight"].shape[
                each.attributes["layout"] == "target_source"
            ] == before[-1]
        ]  # fmt: skip
        if tied and self.chance(30):
            other = self.random.choice(tied)
            name = f"tied{len(self.g.operations)}"
            shape = (*before[:-1], other.shape[-1])
            self.g.operations.append(
                Operation(name, "linear", (x,), shape, other.parameters, other.attributes)
            )
            return name
        weight = (shape[-1], before[-1])
        first = self.chance(50)
        tensors: dict[str, Shape] = {"weight": weight if first else weight[::-1]}
        if self.chance(60):
            tensors["bias"] = weight[:1]
        layout = "target_source" if first else "source_target"
        return self.g.add("linear", shape, x, tensors=tensors, layout=layout)

    def geometry(self, sizes: Shape, *, most_stride: int = 2) -> dict[str, Any]:
        r = self.random
        return {
            "kernel": tuple(r.randint(1, 3) for _ in sizes),
            "stride": tuple(r.randint(1, most_stride) for _ in sizes),
            "dilation": tuple(1 if self.chance(70) else 2 for _ in sizes),
        }

    def conv(self) -> str | None:
        x = self.value(lambda shape: 2 <= len(shape) <= 4)
        if x is None:
            return None
        channels, *sizes = self.g.shape(x)
        given = self.geometry(tuple(sizes))
        padding = self.padding(given["kernel"])
        places = tuple(
            (size + sum(pair) - step * (kernel - 1) - 1) // jump + 1
            for size, pair, kernel, jump, step in zip(
                sizes, padding, given["kernel"], given["stride"], given["dilation"], strict=True
            )
        )
        each = self.random.randint(1, 3)
        groups = self.random.choice([n for n in range(1, channels + 1) if channels % n == 0])
        shape = (groups * each, *places)
        if min(places) < 1 or prod(shape) > MOST_VALUES:
            return None
        own, kernel = channels // groups, given["kernel"]
        layouts = {
            "target_source": (groups * each, own, *kernel),
            "source_target": (*kernel, own, groups * each),
            **({"depthwise": (*kernel, channels, each)} if own == 1 else {}),
        }
        layout = self.random.choice(list(layouts))
        tensors = {"weight": layouts[layout], **({"bias": shape[:1]} if self.chance(50) else {})}
        return self.g.add(
            "conv", shape, x, tensors=tensors, stride=given["stride"], dilation=given["dilation"],
            padding=padding, groups=groups, layout=layout,
        )  # fmt: skip

    def conv_transposed(self) -> str | None:
        x = self.value(lambda shape: 2 <= len(shape) <= 3)
        if x is None:
            return None
        channels, *sizes = self.g.shape(x)
        given = self.geometry(tuple(sizes))
        padding = self.padding(given["kernel"])
        more = tuple(self.random.randrange(jump) for jump in given["stride"])
        places = tuple(
            (size - 1) * jump + step * (kernel - 1) + 1 - sum(pair) + extra
            for size, pair, kernel, jump, step, extra in zip(
                sizes, padding, given["kernel"], given["stride"], given["dilation"], more,
                strict=True,
            )
        )  # fmt: skip
        each = self.random.randint(1, 2)
        groups = self.random.choice([n for n in range(1, channels + 1) if channels % n == 0])
        shape = (groups * each, *places)
        if min(places) < 1 or prod(shape) > MOST_VALUES:
            return None
        tensors: dict[str, Shape] = {"weight": (channels, each, *given["kernel"])}
        if self.chance(50):
            tensors["bias"] = shape[:1]
        return self.g.add(
            "conv_transposed", shape, x, tensors=tensors, stride=given["stride"],
            dilation=given["dilation"], padding=padding, output_padding=more, groups=groups,
            layout="source_target",
        )  # fmt: skip

    def padding(self, kernel: Shape, *, most: int | None = None) -> tuple[tuple[int, int], ...]:
        limits = [size if most is None else min(most, size // 2) for size in kernel]
        r = self.random
        return tuple((r.randint(0, limit), r.randint(0, limit)) for limit in limits)

    def embedding(self) -> str | None:
        r = self.random
        shape = r.choice([(3,), (1,), (2, 2), ()])
        if self.tables and self.chance(40):
            ids = r.choice(self.tables)
            shape = self.g.shape(ids)
        elif self.chance(25):
            ids = f"ids{len(self.g.operations)}"
            tensor = Parameter.of(ids, self.g.random.integers(0, VOCABULARY, size=shape))
            self.g.parameters.append(tensor)
            self.g.operations.append(Operation(ids, "parameter", (), shape, {"value": tensor}))
        else:
            ids = self.g.add("input", shape, integers=True)
            if shape == (3,) and self.chance(30):
                ids = self.g.add("slice", (2,), ids, axis=-1, start=1, stop=3, step=1)
                shape = (2,)
        self.tables.append(ids)
        width = r.randint(1, 4)
        return self.g.add(
            "embedding", (*shape, width), ids, tensors={"weight": (VOCABULARY, width)}
        )

    def norm(self) -> str | None:
        r = self.random
        kind = r.choice(["batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm",
                         "prelu"])  # fmt: skip
        x = self.value(lambda shape: len(shape) >= (2 if kind in ("group_norm", "instance_norm")
                                                    else 1))  # fmt: skip
        if x is None:
            return None
        shape = self.g.shape(x)
        tensors: dict[str, Shape] = {}
        more: dict[str, Any] = {} if kind == "prelu" else {"epsilon": 1e-2}
        if kind in ("layer_norm", "rms_norm"):
            axes = tuple(range(-r.randint(1, len(shape)), 0))
            if self.chance(20):
                axes = (r.randrange(-len(shape), 0),)
            more["axes"], own = axes, tuple(shape[axis] for axis in axes)
        else:
            axis = -len(shape)
            if kind in ("batch_norm", "prelu"):
                axis = more["axis"] = r.randrange(-len(shape), 0)
            own = (shape[axis],)
            if kind == "group_norm":
                more["groups"] = r.choice([n for n in range(1, own[0] + 1) if own[0] % n == 0])
        if kind == "prelu":
            tensors["weight"] = own if self.chance(70) else (1,)
        elif self.chance(60):
            tensors["weight"] = own
            if kind != "rms_norm" and self.chance(80):
                tensors["bias"] = own
        if kind == "batch_norm":
            tensors |= {"mean": own, "variance": own}
        return self.g.add(kind, shape, x, tensors=tensors, **more)

    def pool(self) -> str | None:
        dimensions = self.random.randint(1, 2)
        x = self.value(lambda shape: len(shape) > dimensions)
        if x is None:
            return None
        before = self.g.shape(x)
        given = self.geometry(before[-dimensions:])
        kind = self.random.choice(["max_pool", "average_pool"])
        if kind == "average_pool":
            given["dilation"] = (1,) * dimensions
        padding = self.padding(given["kernel"], most=1)
        places = tuple(
            (size + sum(pair) - step * (kernel - 1) - 1) // jump + 1
            for size, pair, kernel, jump, step in zip(
                before[-dimensions:], padding, given["kernel"], given["stride"], given["dilation"],
                strict=True,
            )
        )  # fmt: skip
        if min(places) < 1:
            return None
        if kind == "average_pool":
            del given["dilation"]
            more: dict[str, Any] = {"count_padding": self.chance(50)}
        else:
            more = {}
        shape = (*before[:-dimensions], *places)
        return self.g.add(kind, shape, x, padding=padding, **given, **more)

    def recurrent(self) -> str | None:
        x = self.value(lambda shape: len(shape) == 2 and prod(shape) <= 24)
        if x is None:
            return None
        r = self.random
        kind = r.choice(["rnn", "lstm", "gru"])
        steps, features = self.g.shape(x)
        hidden = r.randint(1, 3)
        letters = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}[kind]
        many = len(letters) * hidden
        attributes: dict[str, Any] = {"reverse": self.chance(40), "layout": "target_source"}
        if kind == "rnn":
            attributes["activation"] = r.choice(["tanh", "relu"])
        else:
            attributes["gates"] = tuple(r.sample(letters, len(letters)))
        if kind == "gru":
            attributes["reset_after"] = self.chance(50)
        tensors: dict[str, Shape] = {"weight_ih": (many, features), "weight_hh": (many, hidden)}
        if self.chance(30):
            attributes["layout"] = "source_target"
            tensors = {role: size[::-1] for role, size in tensors.items()}
        if self.chance(30):
            attributes["biases_joined"] = True
            tensors["bias_ih"] = r.choice([(2 * many,), (2, many)])
        else:
            tensors |= {role: (many,) for role in ("bias_ih", "bias_hh") if self.chance(60)}
        directions = 0
        if self.chance(30):
            directions = r.randint(1, 2)
            attributes["direction_index"] = r.randrange(directions)
            tensors = {role: (directions, *size) for role, size in tensors.items()}
        initial = []
        if self.chance(40):
            initial = [self.state(x, hidden) for _ in range(r.randint(1, 1 + (kind == "lstm")))]
        made = self.g.add(kind, (steps, hidden), x, *initial, tensors=tensors, **attributes)
        if directions == 2 and self.chance(50):
            # Its twin, with the other half of the same tensors.
            own = self.g.operations[-1]
            other = {**attributes, "direction_index": 1 - own.attributes["direction_index"]}
            twin = f"twin{len(self.g.operations)}"
            self.g.operations.append(
                Operation(twin, kind, own.inputs, own.shape, own.parameters, other)
            )
            self.values.append(twin)
        if kind == "lstm":
            self.lstms.append(made)
        return made

    def state(self, x: str, hidden: int) -> str:
        if self.chance(30):
            return self.constant((hidden,))
        if self.g.shape(x)[1] == hidden and self.chance(50):
            one = self.g.add("slice", (1, hidden), x, axis=-2, start=0, stop=1, step=1)
            return self.g.add("reshape", (hidden,), one)
        fitting = self.value(lambda shape: shape == (hidden,))
        return fitting or self.g.add("input", (hidden,))

    def cells(self) -> str | None:
        if not self.lstms:
            return None
        lstm = self.random.choice(self.lstms)
        return self.g.add("lstm_cell", self.g.shape(lstm), lstm)

    def attention(self) -> str | None:
        x = self.value(lambda shape: 2 <= len(shape) <= 3 and prod(shape) <= 24)
        if x is None:
            return None
        r = self.random
        shape = self.g.shape(x)
        if len(shape) == 3:
            parts = [x, x, x]
            heads = keys = shape[0]
        else:
            heads, keys = r.choice([(2, 2), (2, 1), (1, 1)])
            parts = [self.split(x, count, r.choice([1, 2]) if number == 2 else 2)
                     for number, count in enumerate((heads, keys, keys))]  # fmt: skip
        query, key, value = (self.g.shape(part) for part in parts)
        more = []
        if self.chance(30):
            lead = r.choice([(), (1,), (heads,)])
            shape = (*lead, query[1], key[1])
            computed = self.value(lambda other: other == shape)
            more.append(computed or self.mask(shape))
        return self.g.add(
            "attention", (heads, query[1], value[2]), *parts, *more,
            scale=0.7, causal=self.chance(40),
        )  # fmt: skip

    def mask(self, shape: Shape) -> str:
        """One that hides some keys, if not all."""
        hidden = self.g.random.random(shape) < 0.4
        hidden[..., 0] = False
        name = f"mask{len(self.g.operations)}"
        tensor = Parameter.of(name, np.where(hidden, -np.inf, 0.5).astype(np.float32))
        self.g.parameters.append(tensor)
        self.g.operations.append(Operation(name, "parameter", (), shape, {"value": tensor}))
        return name

    def split(self, x: str, heads: int, each: int) -> str:
        """A matrix whose features are divided among heads."""
        steps, _ = self.g.shape(x)
        made = self.g.linear(x, heads * each, bias=self.chance(50))
        self.values.append(made)
        shaped = self.g.add("reshape", (steps, heads, each), made)
        return self.g.add("permute", (heads, steps, each), shaped, axes=(-2, -3, -1))
