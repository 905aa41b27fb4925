"""ONNX's matrix products: with a matrix of the file a linear layer, else of two values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from ingest.operations import Parameter
from ingest.readers.onnx.elementwise import aligned, broadcast
from ingest.readers.onnx.nodes import Constant, Held, Node, OneHot, Value
from ingest.readers.onnx.walk import Handler, Walk, opaque


def gemm(node: Node, walk: Walk) -> Sequence[Value]:
    """A linear layer, whose bias may have any shape that can be stretched to the result's."""
    for key in ("alpha", "beta"):
        node.only(key, 1.0)
    node.only("transA", 0)
    transposed = bool(node.whole("transB", 0))
    held = node.held(0)
    if held.batch == 1:
        node.mixes()
    matrix, bias = node.constant(1, "weight"), node.value(2) if node.has(2) else None
    targets = node.shape[1]
    joined = isinstance(bias, Constant) and bias.shape == (targets,)
    name = node.name if bias is None or joined else f"{node.name}.product"
    weight, layout = stored_matrix(walk, matrix, transposed)
    parameters = {"weight": weight}
    if joined and isinstance(bias, Constant):
        parameters["bias"] = walk.parameter(bias)
    found = linear(walk, held, targets, parameters, layout, name)
    if bias is not None and not joined:
        found = broadcast(node, walk, "add", [found, bias], node.shape, node.name)
    return [found]


def stored_matrix(walk: Walk, matrix: Constant, transposed: bool) -> tuple[Parameter, str]:
    """The tensor of a matrix and its layout; one that the graph transposes stays what it was."""
    if matrix.parameter is None and matrix.transposed is not None:
        return matrix.transposed, "source_target" if transposed else "target_source"
    return walk.parameter(matrix), "target_source" if transposed else "source_target"


def linear(
    walk: Walk,
    held: Held,
    targets: int,
    parameters: Mapping[str, Parameter],
    layout: str,
    name: str,
) -> Held:
    """A linear layer along the last axis, which is not the batch's."""
    return walk.emit(
        name,
        "linear",
        [held],
        (*held.shape[:-1], targets),
        held.batch,
        parameters=parameters,
        attributes={"layout": layout},
    )


def matmul(node: Node, walk: Walk) -> Sequence[Value]:
    given = node.inputs[0]
    if isinstance(given, OneHot):
        return [_looked_up(node, walk, given)]
    one, other = node.value(0), node.value(1)
    if isinstance(one, Held) and isinstance(other, Constant) and len(other.shape) == 2:
        if one.axis(-1) is None:
            node.mixes()
        weight, layout = stored_matrix(walk, other, transposed=False)
        return [linear(walk, one, other.shape[1], {"weight": weight}, layout, node.name)]
    if len(one.shape) < 2 or len(other.shape) < 2:
        raise node.refused(" with a vector")
    return [_of_two(node, walk, one, other)]


def _of_two(node: Node, walk: Walk, one: Held | Constant, other: Held | Constant) -> Held:
    shape = node.shape
    if isinstance(one, Held) and one.batch == len(one.shape) - 2:
        # Each row is a sample by itself, unless the other matrix is one of the samples too.
        if isinstance(other, Held) and other.batch is not None:
            node.mixes()
        one = walk.reshaped(one, one.shape, None, f"{node.name}.rows")
        operands, _ = aligned(node, walk, [one, other], len(shape))
        found = walk.emit(f"{node.name}.product", "matmul", operands, shape, None)
        return walk.reshaped(found, shape, len(shape) - 2, node.name)
    held = [value for value in (one, other) if isinstance(value, Held)]
    if any(value.batch is not None and value.batch >= len(value.shape) - 2 for value in held):
        node.mixes()
    operands, batch = aligned(node, walk, [one, other], len(shape))
    return walk.emit(node.name, "matmul", operands, shape, batch)


def _looked_up(node: Node, walk: Walk, given: OneHot) -> Held:
    """Rows of a matrix: the product with rows of zeros and a one."""
    table = node.constant(1, "weight")
    if len(table.shape) != 2 or table.shape[0] != given.depth:
        raise given.error
    return embedding(node, walk, given.ids, table)


def embedding(node: Node, walk: Walk, ids: Held, table: Constant) -> Held:
    """Rows of a matrix, by their numbers."""
    return walk.emit(
        node.name,
        "embedding",
        [ids],
        (*ids.shape, table.shape[1]),
        ids.batch,
        element=table.type,
        parameters={"weight": walk.parameter(table)},
    )


def one_hot(node: Node, _: Walk) -> Sequence[Value]:
    """Integers as rows of zeros and a one, along the last axis."""
    ids, depth = node.held(0), node.constant(1, "depth").scalar()
    off, on = node.constant(2, "values").load().reshape(-1)
    if node.whole("axis", -1) not in (-1, len(ids.shape)) or (off, on) != (0, 1):
        raise node.refused()
    if not ids.integers:
        raise node.refused(" of floats")
    return [OneHot(node.refused(), ids, int(depth), node.type)]


def equal(node: Node, walk: Walk) -> Sequence[Value]:
    """Comparison of integers with 0, 1, 2, ... along a new axis, as exporters write one-hot."""
    ids = _compared(node, walk)
    if ids is None:
        return opaque(node, walk)
    return [OneHot(node.refused(), ids, node.shape[-1], node.type)]


def _compared(node: Node, walk: Walk) -> Held | None:
    """The integers that are compared, without the new axis along which they are all the same."""
    match [node.value(0), node.value(1)]:
        case [Held() as held, Constant() as numbers] | [Constant() as numbers, Held() as held]:
            shape = node.shape
        case _:
            return None
    if not shape or not held.integers or held.shape not in (shape, (*shape[:-1], 1)):
        return None
    if numbers.size != shape[-1] or numbers.integers != tuple(range(shape[-1])):
        return None
    if numbers.shape[-1:] != shape[-1:] or held.axis(-1) is None:
        return None
    source = walk.operations[held.operation]
    if held.shape == shape:
        if source.kind != "expand":
            return None
        source = walk.operations[source.inputs[0]]
    if source.shape != (*held.sample[:-1], 1):
        return None
    single = Held(source.name, (*shape[:-1], 1), held.batch, held.type)
    return walk.reshaped(single, shape[:-1], single.batch, f"{node.name}.reshape")


# -- Einstein's notation -------------------------------------------------------------------------


def einsum(node: Node, walk: Walk) -> Sequence[Value]:
    """A product of two values that is one of matrices, once their axes are in order."""
    equation = node.text("equation", "").replace(" ", "")
    terms, arrow, out = equation.partition("->")
    letters = terms.split(",")
    if not arrow:
        out = "".join(sorted(letter for letter in terms if terms.count(letter) == 1))
    refused = node.refused(f" of {equation[:40]!r}")
    every = [*letters, out]
    if len(letters) != 2 or any(not (term + "a").isalpha() for term in every):
        raise refused
    if any(len(set(term)) != len(term) for term in every):
        raise refused
    values = [node.value(0), node.value(1)]
    places = {
        term[value.batch]
        for term, value in zip(letters, values, strict=True)
        if isinstance(value, Held) and value.batch is not None
    }
    sample = "".join(places)
    if len(places) > 1 or (sample and sample not in out):
        node.mixes()
    operands: list[tuple[str, Held | Constant]] = []
    for term, value in zip(letters, values, strict=True):
        at = term.index(sample) if sample and sample in term else None
        if at is not None and value.shape[at] != 1:
            node.mixes()
        if at is not None or isinstance(value, Held):
            held = walk.operand(value, at, node.name) if isinstance(value, Constant) else value
            held = walk.reshaped(held, held.shape, at, f"{node.name}.sample")
            operands.append((term.replace(sample, "") if sample else term, walk.plain(held)))
        else:
            operands.append((term, value))
    inner = out.replace(sample, "") if sample else out
    found = _contracted(node, walk, operands, inner, refused)
    return [Held(found.operation, node.shape, out.index(sample) if sample else None, found.type)]


def _contracted(
    node: Node,
    walk: Walk,
    operands: Sequence[tuple[str, Held | Constant]],
    out: str,
    refused: Exception,
) -> Held:
    """The product without the batch axis: a linear layer, or one of two values."""
    (one, first), (other, second) = operands
    lengths = dict(zip(one, first.shape, strict=True))
    if any(lengths.setdefault(*each) != each[1] for each in zip(other, second.shape, strict=True)):
        raise refused
    shared = [letter for letter in one if letter in other and letter in out]
    summed = [letter for letter in one if letter in other and letter not in out]
    left = [letter for letter in one if letter not in other]
    right = [letter for letter in other if letter not in one]
    whole = [*shared, *left, *right]
    if not summed or sorted(whole) != sorted(out):
        raise refused

    def ordered(term: str, value: Held | Constant, groups: Sequence[list[str]], name: str) -> Held:
        """The shared axes and then those of each group as one axis."""
        held = value if isinstance(value, Held) else walk.operand(value, None, node.name)
        order = [term.index(letter) for letter in (*shared, *groups[0], *groups[1])]
        turned = walk.permuted(held, order, f"{node.name}.{name}")
        shape = [lengths[letter] for letter in shared]
        shape += [prod(lengths[letter] for letter in group) for group in groups]
        return walk.reshaped(turned, tuple(shape), None, f"{node.name}.{name}")

    matrix = len(summed) == len(right) == 1 and not shared
    if isinstance(first, Held) and isinstance(second, Constant) and matrix:
        order = [one.index(letter) for letter in (*left, *summed)]
        given = walk.permuted(first, order, f"{node.name}.first")
        weight, layout = stored_matrix(walk, second, transposed=other[1] == summed[0])
        found = linear(
            walk, given, lengths[right[0]], {"weight": weight}, layout, f"{node.name}.linear"
        )
        return walk.permuted(found, [whole.index(letter) for letter in out], node.name)
    rows = ordered(one, first, (left, summed), "first")
    columns = ordered(other, second, (summed, right), "second")
    shape = (*rows.shape[:-1], columns.shape[-1])
    product = walk.emit(f"{node.name}.product", "matmul", [rows, columns], shape, None)
    apart = tuple(lengths[letter] for letter in whole)
    found = walk.reshaped(product, apart, None, f"{node.name}.reshape")
    return walk.permuted(found, [whole.index(letter) for letter in out], node.name)


TABLE: Mapping[str, Handler] = {
    "Einsum": einsum,
    "Equal": equal,
    "Gemm": gemm,
    "MatMul": matmul,
    "OneHot": one_hot,
}
