"""Operation graphs for tests, one family each, built by hand: no reader stands between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Operation, OperationGraph, Parameter


class Graph:
    """Adds operations one by one; weights are random and the same in each run."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.operations: list[Operation] = []
        self.parameters: list[Parameter] = []

    def tensor(self, name: str, *shape: int, positive: bool = False) -> Parameter:
        """A parameter of normal float32 values."""
        values = self.random.normal(size=shape).astype(np.float32) / 2
        found = Parameter.of(name, np.abs(values) + 0.5 if positive else values)
        self.parameters.append(found)
        return found

    def add(
        self,
        kind: str,
        shape: tuple[int, ...],
        *inputs: str,
        tensors: Mapping[str, tuple[int, ...]] | None = None,
        name: str | None = None,
        **attributes: Any,
    ) -> str:
        """An operation whose parameters are new tensors of the given shapes; gives its name."""
        chosen = name or f"{kind}{len(self.operations)}"
        parameters = {
            role: self.tensor(f"{chosen}.{role}", *size, positive=role == "variance")
            for role, size in (tensors or {}).items()
        }
        self.operations.append(Operation(chosen, kind, inputs, shape, parameters, attributes))
        return chosen

    def done(self, *outputs: str) -> OperationGraph:
        """The whole graph."""
        return OperationGraph(
            tuple(self.operations), tuple(self.parameters), "test", tuple(outputs)
        )

    def conv(
        self, source: str, before: tuple[int, ...], targets: int, kernel: int, **more: Any
    ) -> str:
        """A two-dimensional convolution with a bias, of whatever geometry."""
        stride, dilation = more.get("stride", (1, 1)), more.get("dilation", (1, 1))
        padding = more.get("padding", ((0, 0), (0, 0)))
        groups = more.get("groups", 1)
        places = tuple(
            (size + sum(pad) - step * (kernel - 1) - 1) // jump + 1
            for size, pad, step, jump in zip(before[1:], padding, dilation, stride, strict=True)
        )
        weight = (targets, before[0] // groups, kernel, kernel)
        return self.add(
            "conv", (targets, *places), source,
            tensors={"weight": weight, "bias": (targets,)},
            stride=stride, padding=padding, dilation=dilation, groups=groups,
            layout="target_source",
        )  # fmt: skip

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an operation's output."""
        return next(each.shape for each in self.operations if each.name == name)

    def linear(
        self, source: str, targets: int, *, bias: bool = True, name: str | None = None
    ) -> str:
        """Along the last axis, as torch stores it."""
        before = self.shape(source)
        tensors = {"weight": (targets, before[-1]), **({"bias": (targets,)} if bias else {})}
        return self.add(
            "linear", (*before[:-1], targets), source, tensors=tensors, name=name,
            layout="target_source",
        )  # fmt: skip


def samples(graph: OperationGraph, count: int, vocabulary: int) -> dict[str, NDArray[np.float64]]:
    """The same random samples each time, for each input; integers are below `vocabulary`."""
    random = np.random.default_rng(7)
    found = {}
    for operation in graph.operations:
        if operation.kind == "input":
            shape = (count, *operation.shape)
            integers = operation.attributes.get("integers")
            found[operation.name] = (
                random.integers(0, vocabulary, size=shape).astype(np.float64)
                if integers
                else random.normal(size=shape)
            )
    return found


def convolutions() -> OperationGraph:
    """Strides, dilation, groups and uneven padding, then a matrix over all places."""
    g = Graph(1)
    x = g.add("input", (2, 7, 6), name="input")
    a = g.conv(x, (2, 7, 6), 4, 3, padding=((1, 0), (2, 1)), stride=(2, 1))
    r = g.add("relu", g.shape(a), a)
    b = g.conv(r, g.shape(r), 6, 2, groups=2, dilation=(1, 2), padding=((1, 1), (1, 1)))
    p = g.add(
        "max_pool", (6, g.shape(b)[1] // 2, g.shape(b)[2] // 2), b,
        kernel=(2, 2), stride=(2, 2), dilation=(1, 1), padding=((0, 0), (0, 0)),
    )  # fmt: skip
    f = g.add("flatten", (prod(g.shape(p)),), p)
    return g.done(g.linear(f, 3))


def transposed() -> OperationGraph:
    """A transposed convolution with groups, then an average pool that does not count padding."""
    g = Graph(2)
    x = g.add("input", (4, 3, 4), name="input")
    a = g.add(
        "conv_transposed", (6, 7, 9), x, tensors={"weight": (4, 3, 3, 2), "bias": (6,)},
        stride=(2, 2), padding=((0, 1), (0, 0)), output_padding=(1, 1), dilation=(1, 1), groups=2,
        layout="source_target",
    )  # fmt: skip
    t = g.add("tanh", g.shape(a), a)
    p = g.add(
        "average_pool", (6, 4, 5), t,
        kernel=(3, 2), stride=(2, 2), padding=((1, 1), (0, 1)), count_padding=False,
    )  # fmt: skip
    m = g.add("reduce", (6,), p, function="mean", axes=(-2, -1), keep=False)
    return g.done(g.linear(m, 2))


def keras_kernels() -> OperationGraph:
    """Kernels as Keras stores them: places first, depthwise too."""
    g = Graph(3)
    x = g.add("input", (2, 5, 5), name="input")
    a = g.add(
        "conv", (4, 5, 5), x, tensors={"weight": (3, 3, 2, 4), "bias": (4,)}, stride=(1, 1),
        padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1, layout="source_target",
    )  # fmt: skip
    b = g.add(
        "conv", (8, 3, 3), a, tensors={"weight": (3, 3, 4, 2)}, stride=(1, 1),
        padding=((0, 0), (0, 0)), dilation=(1, 1), groups=4, layout="depthwise",
    )  # fmt: skip
    n = g.add(
        "batch_norm", (8, 3, 3), b, epsilon=1e-3, axis=-3,
        tensors={"weight": (8,), "bias": (8,), "mean": (8,), "variance": (8,)},
    )  # fmt: skip
    e = g.add("permute", (3, 3, 8), n, axes=(-2, -1, -3))
    f = g.add("flatten", (72,), e)
    return g.done(
        g.add("linear", (3,), f, tensors={"weight": (72, 3), "bias": (3,)}, layout="source_target")
    )


def residual() -> OperationGraph:
    """A block with a shortcut, batch norms, and a global pool."""
    g = Graph(4)
    x = g.add("input", (1, 6, 6), name="input")
    stem = g.conv(x, (1, 6, 6), 4, 3, padding=((1, 1), (1, 1)))
    norm = {"weight": (4,), "bias": (4,), "mean": (4,), "variance": (4,)}
    b = g.add("batch_norm", (4, 6, 6), stem, tensors=norm, epsilon=1e-5, axis=-3)
    r = g.add("relu", (4, 6, 6), b)
    c = g.conv(r, (4, 6, 6), 4, 3, padding=((1, 1), (1, 1)))
    d = g.add("batch_norm", (4, 6, 6), c, tensors=norm, epsilon=1e-5, axis=-3)
    s = g.add("add", (4, 6, 6), d, r)
    t = g.add("relu", (4, 6, 6), s)
    p = g.add("prelu", (4, 6, 6), t, tensors={"weight": (4,)}, axis=-3)
    q = g.add("reduce", (4, 1, 1), p, function="mean", axes=(-2, -1), keep=True)
    f = g.add("flatten", (4,), q)
    return g.done(g.linear(f, 3))


def transformer(*, heads: int = 2, key_heads: int = 2, mask: bool = False) -> OperationGraph:
    """Tokens with position embeddings, attention with residuals and norms, in pre-norm style."""
    g = Graph(5)
    steps, width, each = 5, 8, 8 // heads
    ids = g.add("input", (steps,), name="input", integers=True)
    e = g.add("embedding", (steps, width), ids, tensors={"weight": (11, width)}, name="wte")
    table = g.add("parameter", (7, width), tensors={"value": (7, width)}, name="wpe")
    used = g.add("slice", (steps, width), table, axis=-2, start=0, stop=steps, step=1)
    x = g.add("add", (steps, width), e, used)
    n = g.add(
        "layer_norm", (steps, width), x, tensors={"weight": (width,), "bias": (width,)},
        epsilon=1e-5, axes=(-1,),
    )  # fmt: skip

    def split(source: str, count: int) -> str:
        shaped = g.add("reshape", (steps, count, each), source)
        return g.add("permute", (count, steps, each), shaped, axes=(-2, -3, -1))

    q = split(g.linear(n, heads * each, name="q"), heads)
    k = split(g.linear(n, key_heads * each, name="k"), key_heads)
    v = split(g.linear(n, key_heads * each, name="v"), key_heads)
    more = []
    if mask:
        values = np.where(np.eye(steps) > 0, 0.0, -np.inf).astype(np.float32)
        values[:, 0] = 0.25
        tensor = Parameter.of("mask", values)
        g.parameters.append(tensor)
        g.operations.append(Operation("mask", "parameter", (), (steps, steps), {"value": tensor}))
        more = ["mask"]
    a = g.add("attention", (heads, steps, each), q, k, v, *more, scale=each**-0.5, causal=not mask)
    back = g.add("permute", (steps, heads, each), a, axes=(-2, -3, -1))
    joined = g.add("reshape", (steps, width), back)
    y = g.add("add", (steps, width), g.linear(joined, width, name="o"), x)
    m = g.add("rms_norm", (steps, width), y, tensors={"weight": (width,)}, epsilon=1e-6, axes=(-1,))
    up = g.add("gelu", (steps, 12), g.linear(m, 12, name="up"))
    z = g.add("add", (steps, width), g.linear(up, width, name="down"), y)
    last = g.add("slice", (1, width), z, axis=-2, start=steps - 1, stop=steps, step=1)
    flat = g.add("reshape", (width,), last)
    return g.done(g.linear(flat, 3, name="head"))


def grouped_queries() -> OperationGraph:
    """Two heads of queries for each of keys and values."""
    return transformer(heads=4, key_heads=2)


def masked() -> OperationGraph:
    """An additive mask that holds infinities."""
    return transformer(mask=True)


def class_token() -> OperationGraph:
    """Patches of an image with a class token before them: a vision transformer's beginning."""
    g = Graph(6)
    x = g.add("input", (2, 4, 4), name="input")
    c = g.conv(x, (2, 4, 4), 6, 2, stride=(2, 2))
    f = g.add("reshape", (6, 4), c)
    t = g.add("permute", (4, 6), f, axes=(-1, -2))
    token = g.add("parameter", (1, 6), tensors={"value": (1, 1, 6)}, name="cls")
    s = g.add("concat", (5, 6), token, t, axis=-2)
    table = g.add("parameter", (5, 6), tensors={"value": (1, 5, 6)}, name="pos")
    p = g.add("add", (5, 6), s, table)
    h = g.add("gelu", (5, 7), g.linear(p, 7))
    scale = g.add("parameter", (7,), tensors={"value": (7,)}, name="gamma")
    m = g.add("product", (5, 7), h, scale)
    first = g.add("reshape", (7,), g.add("slice", (1, 7), m, axis=-2, start=0, stop=1, step=1))
    return g.done(g.linear(first, 2))


def mixer() -> OperationGraph:
    """A matrix along the tokens: what stood at positions must become neurons."""
    g = Graph(7)
    x = g.add("input", (4, 3), name="input")
    a = g.linear(x, 5)
    t = g.add("permute", (5, 4), a, axes=(-1, -2))
    b = g.add("relu", (5, 6), g.linear(t, 6))
    u = g.add("permute", (6, 5), b, axes=(-1, -2))
    return g.done(g.linear(u, 2))


def gated() -> OperationGraph:
    """A gated linear unit, quotients and extremes of two branches, and a function used twice."""
    g = Graph(8)
    x = g.add("input", (3, 4), name="input")
    a = g.linear(x, 10)
    one = g.add("slice", (3, 5), a, axis=-1, start=0, stop=5, step=1)
    other = g.add("slice", (3, 5), a, axis=-1, start=5, stop=10, step=1)
    gate = g.add("sigmoid", (3, 5), other)
    b = g.add("product", (3, 5), one, gate)
    c = g.add("subtract", (3, 5), b, one)
    d = g.add("plus", (3, 5), g.add("abs", (3, 5), c), amount=2.0)
    e = g.add("divide", (3, 5), b, d)
    f = g.add("maximum", (3, 5), e, c)
    h = g.add("product", (3, 5), f, f)
    k = g.add("concat", (3, 10), h, e, axis=-1)
    s = g.add("softmax", (3, 10), k)
    return g.done(g.linear(s, 3), gate)


def deep_sets() -> OperationGraph:
    """Equivariant layers: a matrix for each element, another for the mean of all."""
    g = Graph(9)
    x = g.add("input", (6, 4), name="input")
    for number, width in enumerate((8, 2)):
        before = g.shape(x)[-1]
        one = g.linear(x, width, name=f"each{number}")
        mean = g.add("reduce", (1, before), x, function="mean", axes=(-2,), keep=True)
        other = g.linear(mean, width, bias=False, name=f"all{number}")
        x = g.add("add", (6, width), one, other)
        if not number:
            x = g.add("relu", (6, width), x)
    return g.done(x)


def _recurrent(kind: str, g: Graph, x: str, hidden: int, *initial: str, **more: Any) -> str:
    steps, before = g.shape(x)
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind] * hidden
    letters: dict[str, dict[str, Any]] = {
        "rnn": {"activation": "tanh"},
        "lstm": {"gates": ("i", "f", "g", "o")},
        "gru": {"gates": ("r", "z", "n"), "reset_after": True},
    }
    attributes = {"layout": "target_source", "reverse": False, **letters[kind], **more}
    return g.add(
        kind, (steps, hidden), x, *initial,
        tensors={"weight_ih": (gates, before), "weight_hh": (gates, hidden),
                 "bias_ih": (gates,), "bias_hh": (gates,)},
        **attributes,
    )  # fmt: skip


def lstm() -> OperationGraph:
    """Two directions side by side, a second stack, and the cells of the last."""
    g = Graph(10)
    x = g.add("input", (4, 3), name="input")
    forth, back = (_recurrent("lstm", g, x, 3, reverse=reverse) for reverse in (False, True))
    # Not a part of the layer, whose states go back as they are.
    forth = g.add("relu", (4, 3), forth)
    both = g.add("concat", (4, 6), forth, back, axis=-1)
    second = _recurrent("lstm", g, both, 2)
    cells = g.add("lstm_cell", (4, 2), second)
    s = g.add("slice", (1, 2), second, axis=-2, start=3, stop=4, step=1)
    return g.done(g.linear(g.add("reshape", (2,), s), 2), cells)


def gru() -> OperationGraph:
    """The reset gate after the product, and (backwards) before it, with Keras' joined biases."""
    g = Graph(11)
    x = g.add("input", (3, 4), name="input")
    first = _recurrent("gru", g, x, 3)
    second = g.add(
        "gru", (3, 2), first, layout="source_target", reverse=True, gates=("z", "r", "n"),
        reset_after=False, biases_joined=True,
        tensors={"weight_ih": (3, 6), "weight_hh": (2, 6), "bias_ih": (2, 6)},
    )  # fmt: skip
    return g.done(second)


def with_states() -> OperationGraph:
    """A plain recurrent layer and an LSTM that begin from given states."""
    g = Graph(12)
    x = g.add("input", (3, 2), name="input")
    h = g.add("input", (4,), name="h")
    c = g.add("input", (4,), name="c")
    a = _recurrent("rnn", g, x, 4, h, activation="relu")
    return g.done(_recurrent("lstm", g, a, 4, h, c))


def padded() -> OperationGraph:
    """Padding of all kinds before convolutions in one dimension, flips and nearest upsampling."""
    g = Graph(13)
    x = g.add("input", (2, 6), name="input")
    a = g.add("pad", (2, 9), x, padding=((0, 0), (2, 1)), mode="reflect")
    b = g.add(
        "conv", (3, 7), a, tensors={"weight": (3, 2, 3)}, stride=(1,), padding=((0, 0),),
        dilation=(1,), groups=1, layout="target_source",
    )  # fmt: skip
    c = g.add("pad", (3, 10), b, padding=((0, 0), (1, 2)), mode="zeros")
    d = g.add("take", (3, 20), c, axis=-1, indices=tuple(i // 2 for i in range(20)))
    e = g.add(
        "conv", (2, 10), d, tensors={"weight": (2, 3, 2), "bias": (2,)}, stride=(2,),
        padding=((0, 0),), dilation=(1,), groups=1, layout="target_source",
    )  # fmt: skip
    f = g.add("take", (2, 10), e, axis=-1, indices=tuple(reversed(range(10))))
    n = g.add(
        "group_norm", (2, 10), f, groups=2, epsilon=1e-5, tensors={"weight": (2,), "bias": (2,)}
    )
    m = g.add("instance_norm", (2, 10), n, epsilon=1e-5)
    return g.done(m)


def products() -> OperationGraph:
    """Attention written out: products of computed matrices, with softmax between."""
    g = Graph(14)
    x = g.add("input", (4, 6), name="input")
    q, k, v = (g.linear(x, 6, bias=False, name=name) for name in "abc")
    turned = g.add("permute", (6, 4), k, axes=(-1, -2))
    scores = g.add("matmul", (4, 4), q, turned)
    scaled = g.add("times", (4, 4), scores, factor=6**-0.5)
    mixed = g.add("matmul", (4, 6), g.add("softmax", (4, 4), scaled), v)
    return g.done(g.linear(mixed, 3))


GRAPHS: dict[str, Callable[[], OperationGraph]] = {
    each.__name__: each
    for each in (
        convolutions, transposed, keras_kernels, residual, transformer, grouped_queries, masked,
        class_token, mixer, gated, deep_sets, lstm, gru, with_states, padded, products,
    )
}  # fmt: skip
