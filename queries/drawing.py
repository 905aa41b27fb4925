"""What a picture of a network shows: a few neurons of each layer, the strongest links between them.

A picture of millions of links is a black square. So the server picks what is drawn, reads no more
than the links of the picked neurons, and sends exactly what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

from queries import scope
from queries.options import one_of, positive
from queries.picking import USUAL, Drawn, Picked, picked
from queries.question import question
from queries.scope import Place
from queries.subgraph import SIGN_NUMBERS, SIGNS, Sign
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

MOST_LINKS: Final = 20_000
"""Lines in one picture."""

# From `neuron` to what its own links tell: nothing else of the network is read.
_OWN_LINKS = """
CALL (neuron) {
    MATCH (neuron)<-[link:LINK]-()
    RETURN sum(link.weight) AS received, count(link) AS in_degree
}
CALL (neuron) {
    MATCH (neuron)-[link:LINK]->() RETURN sum(link.weight) AS sent, count(link) AS out_degree
}
"""

DRAWN_NEURONS = Query(
    "drawn_neurons",
    "Place, bias, strength and degrees of some neurons.",
    f"""
UNWIND $drawn AS id
MATCH (neuron:Neuron {{id: id}})
{_OWN_LINKS.strip()}
RETURN neuron.id AS id, neuron.step AS step, neuron.channel AS channel, neuron.depth AS depth,
       neuron.row AS `row`, neuron.col AS col, neuron.bias AS bias, received AS `in`, sent AS out,
       received + sent AS total, in_degree, out_degree
ORDER BY id
""",
    (
        "id", "step", "channel", "depth", "row", "col", "bias", "in", "out", "total", "in_degree",
        "out_degree",
    ),
)  # fmt: skip

_NEURON_COLUMNS = (
    "layer", "layer_index", "size", "neuron", "id", "step", "channel", "depth", "row", "col",
    "bias", "in", "out", "total", "in_degree", "out_degree", "value",
)  # fmt: skip


@question(
    columns=_NEURON_COLUMNS, example={"network": "tiny", "per_layer": 2, "column": "in"},
    survives=None,
)  # fmt: skip
def drawn_neurons(database: Database, network: str, *, of: Drawn = USUAL) -> Table:
    """A few neurons of each layer, for a picture: where they stand, and what is measured on them.

    Parameters
    ----------
    of
        Which neurons, and what is measured.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``size`` (neurons that the layer has), ``neuron`` (index),
        ``id`` (text: it may pass 2**53), ``step``, ``channel``, ``depth``, ``row``, ``col`` (in an
        unrolled view, where it has them), ``bias`` (signed, or None), ``in``, ``out``,
        ``total`` (strength: signed sums of its learned links), ``in_degree``, ``out_degree``
        (learned links), ``value`` (what the measure says of it; None where nothing); in order of
        layers and neurons.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option cannot be, or too many neurons would be drawn.

    References
    ----------
    Neurons coloured by strength as in La Malfa et al., arXiv 2209.05488.

    Example
    -------
    >>> drawn_neurons(database, "mnist", of=Drawn(per_layer=9))         # doctest: +SKIP
    """
    chosen = picked(database, network, of)
    table = database.read(DRAWN_NEURONS, drawn=chosen.ids, row_cap=len(chosen.ids))
    scope.unchanged(database, network, chosen.layers)
    rows = []
    for row in table.rows:
        layer = scope.layer_of(chosen.layers, row[0])
        value = row[9] if chosen.values is None else chosen.values.get(row[0])
        place = [layer.name, layer.index, layer.size, row[0] - layer.first, str(row[0])]
        rows.append([*place, *row[1:], value])
    return _answered(database, chosen, [table], _NEURON_COLUMNS, rows)


Kind = Literal["LINK", "WIRE"]


def _drawn_links(kind: Kind) -> Query:
    # Of each two layers the neurons are given that fewer links must be looked at from: wide layers
    # are never gone through. The other end is asked of the link: as a pattern of its own the
    # planner would look for it by its id, and then for links between each two.
    return Query(
        f"drawn_{kind.lower()}s",
        f"The {kind} relationships of greatest magnitude between some neurons.",
        f"""
UNWIND $ways AS way
CALL (way) {{
    CALL (way) {{
        UNWIND way.outward AS id
        MATCH (source:Neuron {{id: id}})-[link:{kind}]->()
        WITH source, link, endNode(link) AS target, way
        WHERE way.first <= target.id < way.end AND target.id IN $drawn
        RETURN source, link, target
        UNION ALL
        UNWIND way.inward AS id
        MATCH (target:Neuron {{id: id}})<-[link:{kind}]-()
        WITH startNode(link) AS source, link, target, way
        WHERE way.first <= source.id < way.end AND source.id IN $drawn
        RETURN source, link, target
    }}
    WITH source, link, target
    WHERE link.weight <> 0.0 AND abs(link.weight) >= $least
      AND ($sign = 0.0 OR link.weight * $sign > 0.0)
    RETURN source, link, target
    ORDER BY abs(link.weight) DESC, source.id, target.id, link.position LIMIT $each
}}
RETURN source.id AS source, target.id AS target, link.weight AS weight, '{kind}' AS kind
ORDER BY abs(weight) DESC, source, target, link.position LIMIT $k
""",
        ("source", "target", "weight", "kind"),
    )


DRAWN_LINKS = _drawn_links("LINK")
DRAWN_WIRES = _drawn_links("WIRE")

_LINK_COLUMNS = (
    "source", "source_index", "source_neuron", "target", "target_index", "target_neuron", "weight",
    "kind",
)  # fmt: skip


@question(
    columns=_LINK_COLUMNS, example={"network": "tiny", "k": 3, "per_layer": 2}, survives=None
)  # fmt: skip
def drawn_links(
    database: Database,
    network: str,
    *,
    of: Drawn = USUAL,
    k: int = 300,
    evenly: bool = False,
    least: float = 0.0,
    sign: Sign = "both",
    wires: bool = False,
) -> Table:
    """The strongest links between the neurons of a picture.

    Parameters
    ----------
    of
        Which neurons, as `drawn-neurons` picks them with the same options.
    k
        So many links, at most, those of the greatest magnitude.
    evenly
        Share them out evenly among each two layers, of which every one shows its strongest.
    least
        Only links with a magnitude of at least this. Links of weight 0 are never drawn.
    sign
        Only links of this sign: `both`, `positive` or `negative`.
    wires
        Fixed links (residual sums, pools, gates) too, so many more of them at most.

    Returns
    -------
    Table
        ``source``, ``source_index`` (layer and its index), ``source_neuron`` (index in the layer),
        ``target``, ``target_index``, ``target_neuron``, ``weight`` (signed), ``kind`` (`LINK` or
        `WIRE`); strongest first, fixed links last.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option cannot be, or too many neurons or links would be drawn.

    References
    ----------
    Links by sign and magnitude as in La Malfa et al., arXiv 2209.05488.

    Example
    -------
    >>> drawn_links(database, "mnist", k=1)                             # doctest: +SKIP
    """
    positive("k", k, MOST_LINKS)
    one_of("sign", sign, SIGNS)
    if not (math.isfinite(least) and least >= 0):
        raise InvalidArgument(f"least cannot be {least}: give a magnitude of 0 or more.")
    chosen = picked(database, network, of)
    ways = _ways(chosen)
    asked: dict[str, Any] = {
        "drawn": chosen.ids,
        "least": least,
        "sign": SIGN_NUMBERS[sign],
        "k": k,
        "each": max(1, k // max(1, len(ways))) if evenly else k,
    }
    tables = [database.read(DRAWN_LINKS, ways=ways, row_cap=k, **asked)]
    if wires:
        within = _ways(chosen, within=True)
        tables.append(database.read(DRAWN_WIRES, ways=within, row_cap=k, **asked))
    scope.unchanged(database, network, chosen.layers)
    rows = [
        [*_place(chosen.layers, source), *_place(chosen.layers, target), weight, kind]
        for table in tables
        for source, target, weight, kind in table.rows
    ]
    return _answered(database, chosen, tables, _LINK_COLUMNS, rows)


def _ways(of: Picked, *, within: bool = False) -> list[dict[str, Any]]:
    """For each two layers of which one feeds the other: whose links to look at, and where to.

    Parameters
    ----------
    within
        Inside each layer too: the cells of an unrolled recurrent one are wired to each other.
    """
    chosen = {layer.index: (layer, indices) for layer, indices in of.chosen}
    ways = []
    for target, into in of.chosen:
        feeding = {*target.fed_by, target.index} if within else set(target.fed_by)
        for index in sorted(feeding & chosen.keys()):
            source, out_of = chosen[index]
            outward = len(out_of) * target.size <= len(into) * source.size
            here, there, indices = (source, target, out_of) if outward else (target, source, into)
            ids = [here.first + index for index in indices]
            ways.append(
                {
                    "outward": ids if outward else [],
                    "inward": [] if outward else ids,
                    "first": there.first,
                    "end": there.ids.stop,
                }
            )
    return ways


def _place(layers: list[Place], neuron: int) -> tuple[str, int, int]:
    layer = scope.layer_of(layers, neuron)
    return layer.name, layer.index, neuron - layer.first


def _answered(
    database: Database,
    of: Picked,
    tables: Sequence[Table],
    columns: tuple[str, ...],
    rows: list[list[Any]],
) -> Table:
    ran = [*([] if of.asked is None else [of.asked]), *tables]
    return Table(
        columns,
        rows,
        ";\n\n".join(table.cypher for table in ran),
        {name: value for table in ran for name, value in table.parameters.items()},
        took_ms=sum(table.took_ms for table in ran),
        notes=() if of.asked is None else of.asked.notes,
    ).cut(database.row_cap)


NEURON_CARD = Query(
    "neuron_card",
    "What is known of one neuron without its links, and their numbers and sums.",
    f"""
MATCH (neuron:Neuron {{id: $id}})<-[:HAS_NEURON]-(layer:Layer)
{_OWN_LINKS.strip()}
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron,
       layer.kind AS kind, layer.activation AS activation, neuron.role AS role,
       neuron.head AS head,
       [place IN [neuron.step, neuron.channel, neuron.depth, neuron.row, neuron.col]
           WHERE place IS NOT NULL] AS place,
       neuron.bias AS bias, received AS `in`, sent AS out, received + sent AS total, in_degree,
       out_degree, COUNT {{ (neuron)<-[:WIRE]-() }} AS wires_in,
       COUNT {{ (neuron)-[:WIRE]->() }} AS wires_out
""",
    (
        "layer", "layer_index", "neuron", "kind", "activation", "role", "head", "place", "bias",
        "in", "out", "total", "in_degree", "out_degree", "wires_in", "wires_out",
    ),
)  # fmt: skip


@question(
    columns=NEURON_CARD.columns,
    example={"network": "tiny", "neuron": "fc1/1"},
    survives=("permutation",),
)
def neuron_card(database: Database, network: str, neuron: str) -> Table:
    """What is known of one neuron: its place, bias, strength and numbers of links.

    Parameters
    ----------
    neuron
        `LAYER/INDEX`.

    Returns
    -------
    Table
        One row: ``layer``, ``layer_index``, ``neuron`` (index), ``kind`` and ``activation`` (of
        the layer), ``role`` (`q`, `k`, `v`, `o` or a gate's letter), ``head`` (of attention),
        ``place`` (in an unrolled view: step, channel, depth, row, column, as far as it has them),
        ``bias`` (signed, or None), ``in``, ``out``, ``total`` (strength: signed sums of its
        learned links), ``in_degree``, ``out_degree`` (learned links), ``wires_in``, ``wires_out``
        (fixed links).

    Raises
    ------
    NotFound
        If the network, the layer or the neuron does not exist.
    InvalidArgument
        If the address names a whole layer.

    References
    ----------
    Strength as in La Malfa et al., arXiv 2110.02628.

    Example
    -------
    >>> neuron_card(database, "mnist", "fc1/12").records()[0]["total"]  # doctest: +SKIP
    -1.73
    """
    layers = scope.places(database, network)
    table = database.read(NEURON_CARD, id=scope.one_neuron(layers, neuron))
    scope.unchanged(database, network, layers)
    return table
