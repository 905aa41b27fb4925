"""The weights from one layer to another as an image: a matrix of at most so many cells."""

from __future__ import annotations

from typing import Final, Literal, get_args

from queries import scope
from queries.options import one_of, positive
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

MOST_CELLS: Final = 65_536
"""Cells of one answer: 256 x 256."""

Of = Literal["mean", "absolute", "greatest"]
OFS: Final[tuple[Of, ...]] = get_args(Of)

# Cell `row` of n holds the neurons from row * size / n on, rounded up: those whose index * n / size
# is that row, rounded down. The source is asked of the link: as a pattern of its own the planner
# would look for it by its id, and then for links between each two neurons.
WEIGHT_MATRIX = Query(
    "weight_matrix",
    "Weights between two layers, gathered in cells of neighbouring neurons.",
    """
MATCH (target:Neuron) WHERE $target_first <= target.id < $target_end
WITH target, (target.id - $target_first) * $across / $target_size AS column
MATCH (target)<-[link:LINK|WIRE]-() WHERE type(link) IN $types
WITH column, startNode(link).id AS source, link.weight AS weight
WHERE $source_first <= source < $source_end
WITH (source - $source_first) * $down / $source_size AS row, column, weight
WITH row, column, count(weight) AS links, avg(weight) AS mean, avg(abs(weight)) AS absolute,
     min(weight) AS least, max(weight) AS greatest
RETURN row, column, (row * $source_size + $down - 1) / $down AS source_first,
       ((row + 1) * $source_size + $down - 1) / $down - 1 AS source_last,
       (column * $target_size + $across - 1) / $across AS target_first,
       ((column + 1) * $target_size + $across - 1) / $across - 1 AS target_last,
       CASE $of WHEN 'mean' THEN mean WHEN 'absolute' THEN absolute
                ELSE CASE WHEN abs(least) > abs(greatest) THEN least ELSE greatest END
       END AS value,
       links, least, greatest
ORDER BY row, column
""",
    (
        "row", "column", "source_first", "source_last", "target_first", "target_last", "value",
        "links", "least", "greatest",
    ),
)  # fmt: skip


@question(
    columns=WEIGHT_MATRIX.columns,
    example={"network": "tiny", "source": "input", "target": "fc1", "columns": 2},
    survives=None,
    kept=True,
)
def weight_matrix(
    database: Database,
    network: str,
    source: str,
    target: str,
    *,
    rows: int = 128,
    columns: int = 128,
    of: Of = "mean",
    wires: bool = False,
) -> Table:
    """The weights from one layer to another, gathered in at most so many cells.

    Parameters
    ----------
    source, target
        Names of the two layers.
    rows
        The source's neurons make at most so many rows.
    columns
        The target's neurons make at most so many columns.
    of
        Value of a cell: `mean` of its weights, mean of their `absolute` values, or the one of
        `greatest` magnitude, signed.
    wires
        Count fixed links (residual sums, pools, gates) too.

    Returns
    -------
    Table
        ``row``, ``column`` (of the cell, from 0), ``source_first``, ``source_last``,
        ``target_first``, ``target_last`` (indices of its first and last neuron in either layer),
        ``value`` (see `of`), ``links`` (that it holds), ``least``, ``greatest`` (weight, signed);
        by row and column. A cell without links has no row. Of several links between two neurons,
        as a convolution has them, each counts.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option cannot be, or there would be more than 65,536 cells.

    References
    ----------
    The weight matrix of a layer as in La Malfa et al., arXiv 2110.02628.

    Example
    -------
    >>> weight_matrix(database, "mnist", "input", "fc1", rows=28, columns=20)  # doctest: +SKIP
    """
    one_of("of", of, OFS)
    positive("rows", rows, MOST_CELLS)
    positive("columns", columns, MOST_CELLS)
    layers = scope.places(database, network)
    start, end = scope.place(layers, source), scope.place(layers, target)
    rows, columns = min(rows, start.size), min(columns, end.size)
    if rows * columns > MOST_CELLS:
        raise InvalidArgument(
            f"{rows} x {columns} cells are too many: at most {MOST_CELLS} are answered."
        )
    table = database.read(
        WEIGHT_MATRIX,
        source_first=start.first,
        source_end=start.ids.stop,
        source_size=start.size,
        target_first=end.first,
        target_end=end.ids.stop,
        target_size=end.size,
        down=rows,
        across=columns,
        types=scope.link_types(wires),
        of=of,
        row_cap=MOST_CELLS,
    )
    scope.unchanged(database, network, layers)
    return table
