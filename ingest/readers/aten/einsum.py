"""Products along any axes, as an equation of letters says: one matrix product and its views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from ingest.readers.aten.calls import Call
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import shape_of
from ingest.readers.aten.products import layer, multiplied, part_of
from ingest.readers.aten.walk import Results, Rule, Walk, shape_held

# What three dots stand for, from the last axis on.
_DOTS = "ZYXWVUTS"


def einsum(call: Call, walk: Walk) -> Results:
    """A product of two tensors."""
    tensors = call.arguments["tensors"]
    left, right, output = _words(call, [shape_held(walk.find(call, each)) for each in tensors])
    summed = [letter for letter in left if letter in right and letter not in output]
    both = [letter for letter in left if letter in right and letter in output]
    of_left = [letter for letter in left if letter not in right]
    of_right = [letter for letter in right if letter not in left]
    if {*of_left, *of_right, *both} != set(output):
        raise call.refused(" that sums over an axis of one tensor")
    one = _ordered(call, walk, walk.value(call, tensors[0]), left, [*both, *of_left, *summed])
    weight = part_of(call, walk, tensors[1], 2)
    if weight is not None and len(summed) == len(of_right) == 1:
        target_first = (right[1] == summed[0]) != weight.transposed
        made = layer(call, walk, one, weight, None, target_first=target_first)
        if made is not None:
            return _ordered(call, walk, made, [*of_left, *of_right], output)
    other = _ordered(call, walk, walk.value(call, tensors[1]), right, [*both, *summed, *of_right])
    sizes = dict(zip([*both, *of_left, *summed], shape_of(one.axes), strict=True))
    sizes |= dict(zip([*both, *summed, *of_right], shape_of(other.axes), strict=True))

    def lengths(*groups: Sequence[str]) -> list[int]:
        merged = [prod(sizes[letter] for letter in group) for group in groups]
        return [*(sizes[letter] for letter in both), *merged]

    one = walk.reshape(call, one, lengths(of_left, summed), part="left")
    other = walk.reshape(call, other, lengths(summed, of_right), part="right")
    product = multiplied(call, walk, one, other, part="matmul")
    order = [*both, *of_left, *of_right]
    whole = walk.reshape(call, product, [sizes[letter] for letter in order], part="reshape")
    return _ordered(call, walk, whole, order, output)


def _words(call: Call, shapes: Sequence[tuple[int, ...]]) -> tuple[str, str, str]:
    """The letters of both tensors and of their product."""
    equation = str(call.arguments["equation"]).replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    words = inputs.split(",")
    if not arrow or len(words) != 2 or len(shapes) != 2:
        raise call.refused(f" of {equation!r}")
    hidden = [
        len(shape) - len(word.replace("...", "")) if "..." in word else 0
        for word, shape in zip(words, shapes, strict=True)
    ]
    if max(hidden) > len(_DOTS) or min(hidden) < 0:
        raise call.refused(f" of {equation!r}")
    left, right = (
        word.replace("...", _DOTS[:count][::-1]) for word, count in zip(words, hidden, strict=True)
    )
    output = output.replace("...", _DOTS[: max(hidden)][::-1])
    for word in (left, right, output):
        if not word.isalpha() or len(set(word)) != len(word):
            raise call.refused(f" of {equation!r}")
    return left, right, output


def _ordered(
    call: Call, walk: Walk, value: Value, letters: Sequence[str], order: Sequence[str]
) -> Value:
    places = [letters.index(letter) for letter in order]
    return walk.permute(call, value, places, part="permute")


EINSUM: Mapping[str, Rule] = {"einsum.default": einsum}
