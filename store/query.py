"""A :class:`Query` is a named, documented Cypher text; a :class:`Table` is what it answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from store.values import plain

if TYPE_CHECKING:
    import pandas

_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Query:
    """A named question to the graph.

    Parameters
    ----------
    name
        What the question is called; unique within the project.
    doc
        One sentence: what it answers.
    cypher
        The text that is sent. User values reach it as ``$parameters`` only.
    columns
        Names of the returned columns, in order; empty for a query that only writes.

    Example
    -------
    >>> Query("one", "The number one.", "RETURN $x AS x", ("x",)).parameters
    frozenset({'x'})
    """

    name: str
    doc: str
    cypher: str
    columns: tuple[str, ...] = ()

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that the text asks for."""
        return frozenset(_PARAMETER.findall(self.cypher))


@dataclass(frozen=True)
class Table:
    """An answer: rows under named columns, with the Cypher that gave them.

    Parameters
    ----------
    columns
        Column names, in order.
    rows
        One list per row, values in column order.
    cypher, parameters
        What was run; enough to run it again in any Neo4j client.
    truncated
        True when the row cap cut the answer.
    took_ms
        Milliseconds from sending the query to having the last row.
    notes
        Sentences a reader must know to read the values, such as a path's cost.

    Example
    -------
    >>> Table(("a", "b"), [[1, 2], [3, 4]]).column("b")
    [2, 4]
    """

    columns: tuple[str, ...]
    rows: list[list[Any]]
    cypher: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    truncated: bool = False
    took_ms: float = 0.0
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[Any]:
        """Values of one column, in row order."""
        position = self.columns.index(name)
        return [row[position] for row in self.rows]

    def records(self) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def with_rows(self, columns: Sequence[str], rows: list[list[Any]]) -> Table:
        """The same answer told in other columns."""
        return Table(
            tuple(columns),
            rows,
            self.cypher,
            self.parameters,
            self.truncated,
            self.took_ms,
            self.notes,
        )

    def cut(self, most: int) -> Table:
        """The same answer in so many rows at most; `truncated` where it had more.

        Example
        -------
        >>> Table(("a",), [[1], [2]]).cut(1).truncated
        True
        """
        if len(self.rows) <= most:
            return self
        return replace(self, rows=self.rows[:most], truncated=True)

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of an answer, on the command line and over HTTP.

        Returns
        -------
        dict
            ``columns``, ``rows`` (lists in column order; values as
            :func:`store.values.plain` has them, so NaN is text), ``truncated``, ``took_ms``,
            ``cypher``, ``parameters``, and ``notes`` where there are any.
        """
        answer: dict[str, Any] = {
            "columns": list(self.columns),
            "rows": [[plain(value) for value in row] for row in self.rows],
            "truncated": self.truncated,
            "took_ms": round(self.took_ms, 3),
            "cypher": self.cypher,
            "parameters": plain(dict(self.parameters)),
        }
        if self.notes:
            answer["notes"] = list(self.notes)
        return answer

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a :class:`pandas.DataFrame`; its ``attrs`` keep the Cypher and parameters."""
        import pandas

        frame = pandas.DataFrame(self.rows, columns=list(self.columns))
        frame.attrs.update(
            cypher=self.cypher, parameters=dict(self.parameters), truncated=self.truncated
        )
        return frame
