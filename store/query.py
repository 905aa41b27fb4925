"""A :class:`Query` is a named, documented Cypher text; a :class:`Table` is what it answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from store.errors import SettingsError
from store.values import is_nonfinite, numbers_again, plain

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

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
    after
        What the question takes as `after` to go on behind the last row; None where no row follows,
        or where it cannot go on.

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
    after: str | None = None

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
        return replace(self, rows=self.rows[:most], truncated=True, after=None)

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of an answer, on the command line and over HTTP.

        Returns
        -------
        dict
            ``columns``, ``rows`` (lists in column order; values as
            :func:`store.values.plain` has them, so NaN is text), ``truncated``, ``took_ms``,
            ``cypher``, ``parameters``, and where there are any ``notes``, ``after`` and
            ``nonfinite`` (:attr:`nonfinite`).
        """
        return {
            "columns": list(self.columns),
            "rows": [[plain(value) for value in row] for row in self.rows],
            **self.to_json_without_rows(),
        }

    def to_json_without_rows(self) -> dict[str, Any]:
        """What :meth:`to_json` says beside columns and rows: for whoever sends those in parts."""
        answer: dict[str, Any] = {
            "truncated": self.truncated,
            "took_ms": round(self.took_ms, 3),
            "cypher": self.cypher,
            "parameters": plain(dict(self.parameters)),
        }
        further = {"notes": list(self.notes), "after": self.after, "nonfinite": self.nonfinite}
        return answer | {name: value for name, value in further.items() if value}

    @classmethod
    def from_json(cls, answer: Mapping[str, Any]) -> Table:
        """The answer that :meth:`to_json` told.

        Returns
        -------
        Table
            Every number is as it was, NaN and infinities too; what JSON has as text, such as
            times, stays text.

        Raises
        ------
        KeyError, TypeError, ValueError
            If that is no such answer.

        Example
        -------
        >>> Table.from_json(Table(("a",), [[float("-inf")]]).to_json()).rows
        [[-inf]]
        """
        columns, rows = tuple(answer["columns"]), [list(row) for row in answer["rows"]]
        for place in map(columns.index, answer.get("nonfinite", ())):
            for row in rows:
                row[place] = numbers_again(row[place])
        return cls(
            columns,
            rows,
            answer["cypher"],
            answer["parameters"],
            answer["truncated"],
            answer["took_ms"],
            tuple(answer.get("notes", ())),
            answer.get("after"),
        )

    @property
    def nonfinite(self) -> list[str]:
        """Names of the columns that hold a NaN or an infinity, which JSON has as text only: with
        them a text ``NaN`` can be told from the number.

        Example
        -------
        >>> Table(("a", "b"), [[float("nan"), "NaN"]]).nonfinite
        ['a']
        """
        return [
            name
            for position, name in enumerate(self.columns)
            if any(is_nonfinite(row[position]) for row in self.rows)
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a :class:`pandas.DataFrame`; its ``attrs`` keep the Cypher and parameters."""
        import pandas

        frame = pandas.DataFrame(self.rows, columns=list(self.columns))
        frame.attrs.update(
            cypher=self.cypher,
            parameters=dict(self.parameters),
            truncated=self.truncated,
            notes=self.notes,
        )
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """The rows as an Arrow table, with the type of each column taken from all its values.

        Returns
        -------
        pyarrow.Table
            ==========================  ======================================================
            booleans, text, bytes       ``bool``, ``string``, ``binary``
            integers                    ``int64``
            floats, also with integers  ``float64``; NaN stays NaN and missing is null
            dates                       ``date32``
            times with a zone, without  ``timestamp[ns, UTC]`` (the instant), ``timestamp[ns]``
            lists                       ``list`` of the type of all their parts
            maps with the same keys,    ``struct``, as :func:`store.values.plain` has them
            nodes, links, paths, points
            nothing but missing         ``null``
            anything else               ``string``, each value as JSON; the metadata of such a
                                        column is ``{"encoding": "json"}``
            ==========================  ======================================================

            Anything else is what no type holds unchanged: a mixture, maps of different keys,
            integers beyond 64 bits or, among floats, beyond 2**53.
            The metadata of the schema are ``cypher``, and as JSON ``parameters``, ``truncated``,
            ``took_ms`` and ``notes``.

        Example
        -------
        >>> Table(("a", "b"), [[1, "x"], [None, 2]]).to_arrow().to_pydict()
        {'a': [1, None], 'b': ['"x"', '2']}
        """
        from store.frames import to_arrow

        return to_arrow(self)

    def to_polars(self) -> polars.DataFrame:
        """The rows as a Polars frame, typed as :meth:`to_arrow` says; it has no metadata.

        Raises
        ------
        SettingsError
            If Polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise SettingsError(
                "Polars frames need polars: install weightome with its extra, pip install "
                "'weightome[polars]'."
            ) from error
        return polars.DataFrame(self.to_arrow())
