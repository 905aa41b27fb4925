"""What differs between two networks, by layer, by neuron and by link."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.options import positive
from queries.pairing import PairedLayer, Pairing, paired_layer, pairing
from queries.question import question
from queries.weights import LINKS_INTO_LAYER
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

Array = NDArray[np.float64]

COLUMNS: Final = (
    "layer", "layer_index", "status", "links", "mean", "max", "norm", "relative_norm", "cosine",
    "bias_max",
)  # fmt: skip


@question(columns=COLUMNS, example={"network": "step-0", "other": "step-1"}, survives=None)
def difference(
    database: Database,
    network: str,
    other: str,
    *,
    matched: bool = False,
    changed_only: bool = False,
) -> Table:
    """What differs between two networks, layer by layer.

    Layers are compared by their names, links by their ends. Computed by NumPy on the links of both,
    read in columns layer by layer.

    Parameters
    ----------
    other
        Name of the other network.
    matched
        Compare neurons as `weightome match` paired them, so that a permuted copy differs in
        nothing; otherwise by their index.
    changed_only
        Leave out layers that are the same.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``status`` (`same`; `changed`; `resized`: another number of
        neurons; `rewired`: links between other neurons; `only_here`; `only_there`), ``links``
        (compared), ``mean`` (of other - network, signed), ``max`` (greatest magnitude of a
        difference), ``norm`` (L2 of the differences), ``relative_norm`` (norm / norm of the
        network's weights), ``cosine`` (similarity of both, -1..1), ``bias_max`` (greatest magnitude
        of a bias' difference); None where nothing is to compare.

    Raises
    ------
    NotFound
        If a network does not exist, or they were not matched.

    References
    ----------
    Ainsworth et al., "Git re-basin: merging models modulo permutation symmetries",
    arXiv 2209.04836.

    Example
    -------
    >>> difference(database, "mnist", "mnist-pruned", changed_only=True).rows  # doctest: +SKIP
    [['fc1', 1, 'changed', 156800, 0.0, 0.1, 3.2, 0.4, 0.92, 0.0]]
    """
    started = time.perf_counter()
    pair = pairing(database, network, other, matched=matched)
    rows: list[list[Any]] = []
    for layer in pair.here.layers:
        twin = pair.there.by_name(layer.name)
        if twin is None:
            rows.append([layer.name, layer.index, "only_here", *[None] * 7])
        elif twin.size != layer.size:
            rows.append([layer.name, layer.index, "resized", *[None] * 7])
        else:
            read = paired_layer(database, pair, layer, twin)
            rows.append([layer.name, layer.index, *_compared(read)])
    here = {layer.name for layer in pair.here.layers}
    rows += [
        [layer.name, layer.index, "only_there", *[None] * 7]
        for layer in pair.there.layers
        if layer.name not in here
    ]
    _unchanged(database, pair)
    if changed_only:
        rows = [row for row in rows if row[2] != "same"]
    return _told(database, COLUMNS, rows, pair, started)


def _compared(read: PairedLayer | None) -> list[Any]:
    if read is None:
        return ["rewired", *[None] * 7]
    bias = float(np.abs(read.bias_after - read.bias_before).max(initial=0.0))
    bias_max = bias if len(read.bias_before) else None
    change = read.after - read.before
    status = "changed" if change.any() or bias else "same"
    if not len(change):
        return [status, 0, *[None] * 5, bias_max]
    before, after = float(np.linalg.norm(read.before)), float(np.linalg.norm(read.after))
    norm = float(np.linalg.norm(change))
    cosine = float(read.before @ read.after / before / after) if before and after else None
    return [
        *(status, len(change), float(change.mean()), float(np.abs(change).max()), norm),
        *(norm / before if before else None, cosine, bias_max),
    ]


NEURON_COLUMNS: Final = (
    "layer", "layer_index", "neuron", "other_neuron", "norm", "strength_difference",
    "bias_difference",
)  # fmt: skip


@question(columns=NEURON_COLUMNS, example={"network": "step-0", "other": "step-1"}, survives=None)
def neuron_difference(
    database: Database,
    network: str,
    other: str,
    *,
    layer: str | None = None,
    matched: bool = False,
) -> Table:
    """What differs between two networks, neuron by neuron.

    Computed by NumPy on the incoming links of both, read in columns layer by layer. Layers that
    have other neurons or links in the other network are left out, and a note names them.

    Parameters
    ----------
    other
        Name of the other network.
    layer
        Only neurons of this layer.
    matched
        Compare neurons as `weightome match` paired them; otherwise by their index.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``other_neuron`` (its counterpart's index),
        ``norm`` (L2 of the differences of its incoming weights, >= 0), ``strength_difference``
        (their sum, signed: other - network), ``bias_difference`` (signed, or None); greatest norm
        first.

    Raises
    ------
    NotFound
        If a network or the layer does not exist, or they were not matched.

    References
    ----------
    Ainsworth et al., arXiv 2209.04836.

    Example
    -------
    >>> neuron_difference(database, "mnist", "mnist-finetuned").rows[0][:3]  # doctest: +SKIP
    ['fc1', 1, 17]
    """
    started = time.perf_counter()
    pair = pairing(database, network, other, matched=matched)
    wanted = pair.here.layers if layer is None else [scope.place(pair.here.layers, layer)]
    rows: list[list[Any]] = []
    left_out: list[str] = []
    for each in wanted:
        twin = pair.there.by_name(each.name)
        read = None
        if twin is not None and twin.size == each.size:
            read = paired_layer(database, pair, each, twin)
        if twin is None or read is None:
            left_out.append(each.name)
            continue
        start = each.first - pair.here.first
        change = read.after - read.before
        norms = np.sqrt(np.bincount(read.targets - start, change**2, minlength=each.size))
        sums = np.bincount(read.targets - start, change, minlength=each.size)
        biases: list[Any] = [None] * each.size
        if len(read.bias_before):
            biases = (read.bias_after - read.bias_before).tolist()
        if not len(change) and not len(read.bias_before):
            continue
        counterparts = pair.counterpart[start : start + each.size] - (twin.first - pair.there.first)
        rows += [
            [each.name, each.index, neuron, counterpart, norm, total, bias]
            for neuron, (counterpart, norm, total, bias) in enumerate(
                zip(counterparts.tolist(), norms.tolist(), sums.tolist(), biases, strict=True)
            )
        ]
    _unchanged(database, pair)
    rows.sort(key=lambda row: (-row[4], row[1], row[2]))
    notes = (f"Not comparable, and left out: {', '.join(left_out)}.",) if left_out else ()
    return _told(database, NEURON_COLUMNS, rows, pair, started, notes)


LINK_COLUMNS: Final = ("source", "target", "before", "after", "change")


@question(
    columns=LINK_COLUMNS,
    example={"network": "step-0", "other": "step-1", "layer": "fc1"},
    survives=None,
)
def link_difference(
    database: Database, network: str, other: str, layer: str, *, k: int = 20, matched: bool = False
) -> Table:
    """The links into a layer that differ most between two networks.

    Computed by NumPy on the links of both, read in columns.

    Parameters
    ----------
    other
        Name of the other network.
    layer
        The layer that the links end in.
    k
        How many.
    matched
        Compare neurons as `weightome match` paired them; otherwise by their index.

    Returns
    -------
    Table
        ``source``, ``target`` (``layer/index`` in the network), ``before`` and ``after`` (weight in
        the network and in the other), ``change`` (their difference, signed); greatest magnitude
        first. Links that are the same have no row.

    Raises
    ------
    NotFound
        If a network or the layer does not exist, or they were not matched.
    InvalidArgument
        If the layer has other neurons or links in the other network.

    References
    ----------
    Ainsworth et al., arXiv 2209.04836.

    Example
    -------
    >>> link_difference(database, "mnist", "mnist-finetuned", "fc1", k=1).rows  # doctest: +SKIP
    [['input/380', 'fc1/12', 0.1, 0.9, 0.8]]
    """
    positive("k", k)
    started = time.perf_counter()
    pair = pairing(database, network, other, matched=matched)
    mine, twin = scope.place(pair.here.layers, layer), scope.place(pair.there.layers, layer)
    read = paired_layer(database, pair, mine, twin) if mine.size == twin.size else None
    if read is None:
        raise InvalidArgument(
            f"Layer {layer!r} has other neurons or links in {other!r}, so its links do not pair."
        )
    _unchanged(database, pair)
    change = read.after - read.before
    most = np.argsort(-np.abs(change), kind="stable")[:k]
    rows: list[list[Any]] = [
        [
            scope.address(pair.here.layers, pair.here.first + int(read.sources[place])),
            scope.address(pair.here.layers, pair.here.first + int(read.targets[place])),
            *(float(read.before[place]), float(read.after[place]), float(change[place])),
        ]
        for place in most
        if change[place] != 0
    ]
    return _told(database, LINK_COLUMNS, rows, pair, started)


def _unchanged(database: Database, pair: Pairing) -> None:
    scope.unchanged(database, pair.here.name, pair.here.layers)
    scope.unchanged(database, pair.there.name, pair.there.layers)


def _told(
    database: Database,
    columns: tuple[str, ...],
    rows: list[list[Any]],
    pair: Pairing,
    started: float,
    notes: tuple[str, ...] = (),
) -> Table:
    return Table(
        columns,
        rows,
        LINKS_INTO_LAYER.cypher.strip(),
        {"other": scope.whole(pair.there.layers), **scope.whole(pair.here.layers)},
        took_ms=(time.perf_counter() - started) * 1000,
        notes=notes,
    ).cut(database.row_cap)
