"""Any column of any question about a network, as one number for each of its layers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from queries.options import one_of
from queries.question import Argument, Question
from store.database import Database
from store.errors import InvalidArgument

Aggregate = Literal["mean", "std", "min", "max", "sum"]
AGGREGATES: Final[dict[Aggregate, Callable[[Sequence[float]], float]]] = {
    "mean": statistics.fmean,
    "std": statistics.pstdev,
    "min": min,
    "max": max,
    "sum": sum,
}


@dataclass(frozen=True)
class Statistic:
    """Which number of each layer is meant.

    Parameters
    ----------
    question
        Name of a question about a network, such as `layer-strength` or `spectra`.
    column
        The column of its answer.
    aggregate
        What is taken of the column's values in one layer: `mean`, `std` (population), `min`, `max`
        or `sum`; of a question with one row for each layer the value itself.
    option
        NAME=VALUE for an option of the question; repeat it for several.
    """

    question: str = "layer-strength"
    column: str = "fluctuation"
    aggregate: Aggregate = "mean"
    option: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What an answer says of the values in it."""
        return (
            f"value = {self.column} of {self.question}; each of its answers carries its own Cypher."
        )


FLUCTUATION: Final = Statistic()

Value = tuple[str | None, int | None, float]


def layer_values(database: Database, network: str, wanted: Statistic) -> list[Value]:
    """Layer, its index and the number, for each layer that has one.

    Where the question's answer knows no layers, one number with None for both.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the question, its column or an option is not known.

    Example
    -------
    >>> layer_values(database, "tiny", Statistic())                     # doctest: +SKIP
    [('input', 0, 0.5), ('fc1', 1, 4.98), ('fc2', 2, 1.5)]
    """
    asked = named_question(wanted.question, wanted.column)
    aggregate = AGGREGATES[_aggregate(wanted)]
    given = {asked.about: network, **given_options(asked, wanted.option)}
    table = asked.answer(database.limited(row_cap=10_000_000), given)
    places = [
        table.columns.index(each) for each in ("layer", "layer_index") if each in table.columns
    ]
    column = table.columns.index(wanted.column)
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in table.rows:
        value = row[column]
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgument(f"{wanted.column!r} of {asked.title!r} holds no numbers.")
        key = tuple(row[place] for place in places)
        found.setdefault(key, []).append(float(value))
    return [(*(key or (None, None)), float(aggregate(values))) for key, values in found.items()]


def known(wanted: Statistic) -> None:
    """Checks what is meant before anything is asked.

    Raises
    ------
    InvalidArgument
    """
    asked = named_question(wanted.question, wanted.column)
    _aggregate(wanted)
    given_options(asked, wanted.option)


def _aggregate(wanted: Statistic) -> Aggregate:
    one_of("aggregate", wanted.aggregate, tuple(AGGREGATES))
    return wanted.aggregate


def named_question(name: str, column: str) -> Question:
    """The question about a network of that name, which has that column.

    Raises
    ------
    InvalidArgument
        If it or its column is not known.
    """
    # The registry imports the families, which import this module.
    from queries.registry import questions

    about = {each.title: each for each in questions().values() if each.about == "network"}
    asked = about[one_of("question", name.replace("_", "-"), about)]
    one_of("column", column, asked.columns)
    return asked


def given_options(asked: Question, texts: Sequence[str]) -> dict[str, Any]:
    """Arguments of a question from texts NAME=VALUE.

    Raises
    ------
    InvalidArgument
        If a text is not of that form, names no option, or one that must be given is missing.
    """
    known_options: Mapping[str, Argument] = {
        each.name: each for each in asked.arguments if each.name != asked.about
    }
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidArgument(f"option wants NAME=VALUE, such as bias=true, not {text!r}.")
        argument = known_options[one_of("option", name.replace("-", "_"), known_options)]
        read = _value(argument, value)
        if argument.many:
            found.setdefault(argument.name, []).append(read)
        else:
            found[argument.name] = read
    missing = [n for n, each in known_options.items() if each.positional and n not in found]
    if missing:
        raise InvalidArgument(f"{asked.title!r} needs the option {missing[0]}=...")
    return found


def _value(argument: Argument, text: str) -> Any:
    if argument.kind is bool:
        truths = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return truths[one_of(argument.name, text.lower(), truths)]
    try:
        return argument.kind(text)
    except ValueError:
        kind = "a whole number" if argument.kind is int else "a number"
        raise InvalidArgument(f"{argument.name} cannot be {text!r}: give {kind}.") from None
