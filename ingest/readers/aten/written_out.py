"""Attention that a program writes out: products of queries and keys, a softmax, and one more.

``nn.MultiheadAttention`` does so where it also gives its weights, and many models do by hand. It
says the same as attention does, but for the many steps; and a causal mask is written out as a
tensor with infinite entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.operations import Operation
from ingest.readers.aten.attention import is_causal
from ingest.readers.aten.constants import LONGEST

_LAST_TWO_SWAPPED = (-3, -1, -2)


def with_attention(operations: Sequence[Operation], outputs: Collection[str]) -> list[Operation]:
    """The operations, where written-out attention is one operation.

    What led to it stays, and is left out later. Where something else takes the scores or the
    weights too, it remains written out, unless its mask is causal.

    Parameters
    ----------
    operations
        That lead to an output.
    outputs
        Names of the operations that are outputs.
    """
    by_name = {operation.name: operation for operation in operations}
    uses = Counter([*outputs, *(name for each in operations for name in each.inputs)])
    return [_Pattern(by_name, uses).attention(operation) for operation in operations]


@dataclass(frozen=True)
class _Pattern:
    """Looks for attention behind a product.

    Parameters
    ----------
    by_name
        All operations.
    uses
        How often each is taken.
    """

    by_name: Mapping[str, Operation]
    uses: Mapping[str, int]

    def attention(self, product: Operation) -> Operation:
        """The operation that a product of weights and values stands for, or itself."""
        if product.kind != "matmul":
            return product
        weights, values = (self.by_name[name] for name in product.inputs)
        inner = [weights]
        while weights.kind == "dropout":
            weights = self.by_name[weights.inputs[0]]
            inner.append(weights)
        if weights.kind != "softmax" or weights.attributes.get("axis", -1) != -1:
            return product
        scores = self.by_name[weights.inputs[0]]
        inner.append(scores)
        mask = None
        if scores.kind == "add" and len(scores.inputs) == 2:
            scores, mask = self._unmasked(scores)
            inner.append(scores)
        causal = mask is not None and self._is_causal(mask)
        if not causal and any(self.uses[each.name] > 1 for each in inner):
            return product
        scores, scale = self._unscaled(scores)
        taken = self._multiplied(scores, values)
        if taken is None:
            return product
        queries, keys, more = taken
        names = [queries.name, keys.name, values.name]
        if mask is not None and not causal:
            names.append(mask.name)
        attributes = {"scale": scale * more, "causal": causal}
        return replace(product, kind="attention", inputs=tuple(names), attributes=attributes)

    def _unmasked(self, masked: Operation) -> tuple[Operation, Operation | None]:
        """The scores, and the stored tensor that is added to them; itself if none is."""
        one, other = (self.by_name[name] for name in masked.inputs)
        for scores, mask in ((one, other), (other, one)):
            if scores.shape == masked.shape and self._origin(mask).kind == "parameter":
                return scores, mask
        return masked, None

    def _origin(self, value: Operation) -> Operation:
        while value.kind == "reshape":
            value = self.by_name[value.inputs[0]]
        return value

    def _is_causal(self, mask: Operation) -> bool:
        tensor = self._origin(mask).parameters["value"]
        return tensor.size <= LONGEST and is_causal(tensor.array())

    def _unscaled(self, value: Operation) -> tuple[Operation, float]:
        """What was multiplied by numbers, and their product."""
        scale = 1.0
        while value.kind == "times":
            scale *= value.attributes["factor"]
            value = self.by_name[value.inputs[0]]
        return value, scale

    def _multiplied(
        self, scores: Operation, values: Operation
    ) -> tuple[Operation, Operation, float] | None:
        """The queries and keys of which scores are the products, and what multiplies them."""
        if scores.kind != "matmul":
            return None
        queries, turned = (self.by_name[name] for name in scores.inputs)
        if turned.kind != "permute" or turned.attributes["axes"] != _LAST_TWO_SWAPPED:
            return None
        queries, of_queries = self._unscaled(queries)
        keys, of_keys = self._unscaled(self.by_name[turned.inputs[0]])
        heads = {each.shape[0] for each in (queries, keys, values) if len(each.shape) == 3}
        if len(heads) != 1 or any(len(each.shape) != 3 for each in (queries, keys, values)):
            return None
        return queries, keys, of_queries * of_keys
