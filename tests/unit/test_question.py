"""Questions: what is read from a function, what is refused at import, how its options arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from queries import question as module
from queries.docstrings import parameter_texts, plain_text
from queries.mounting import command
from queries.question import REQUIRED, question, symmetry_sentence
from store.database import Database
from store.query import Table


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An empty registry, so that the real one stays as it is."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(module, "_REGISTERED", found)
    return found


@dataclass(frozen=True)
class Part:
    """Which part.

    Parameters
    ----------
    layers
        Their names.
    least
        The least.
    """

    layers: tuple[str, ...] = ()
    least: float = 0.0


def _ask(
    database: Database,
    network: str,
    source: str,
    *,
    kind: Literal["one", "two"] = "one",
    k: int = 3,
    top: int | None = None,
    whole: bool = True,
    of: Part = Part(),
) -> Table:
    """Asks something.

    More of it.

    Parameters
    ----------
    source
        ``LAYER`` or
        :func:`queries.scope.neurons`.
    kind, k
        Both.
    top
        At most.
    whole
        All of it.
    of
        The part.
    """
    return Table(("x",), [[network, source, kind, k, top, whole, of.layers, of.least]])


def test_what_is_read(registry: dict[str, Any]) -> None:
    question(columns=("x",), example={"network": "tiny"}, survives=())(_ask)
    read = registry["_ask"]
    assert (read.about, read.summary, read.columns) == ("network", "Asks something.", ("x",))
    found = {each.name: each for each in read.arguments}
    assert list(found) == ["network", "source", "kind", "k", "top", "whole", "layers", "least"]
    assert found["network"].help.startswith("Name of a network")
    assert (found["source"].positional, found["source"].default) == (True, REQUIRED)
    assert found["source"].help == "`LAYER` or `neurons`."
    assert (found["kind"].choices, found["kind"].kind) == (("one", "two"), str)
    assert (found["top"].optional, found["top"].kind) == (True, int)
    assert (found["layers"].many, found["layers"].group) == (True, "of")
    assert found["least"].help == "The least."


def test_options_arrive(registry: dict[str, Any]) -> None:
    question(columns=("x",), example={}, survives=None)(_ask)
    read = registry["_ask"]
    given = {"network": "n", "source": "s", "layers": ["a", "b"], "least": 0.5, "k": 7}
    assert read.answer(None, given).rows == [["n", "s", "one", 7, None, True, ("a", "b"), 0.5]]
    assert read.answer(None, {"network": "n", "source": "s"}).rows == [
        ["n", "s", "one", 3, None, True, (), 0.0]
    ]
    assert command(read).__doc__ == "Asks something."


def test_the_docstring_and_the_answer_say_what_survives(registry: dict[str, Any]) -> None:
    asked = question(columns=("x",), example={}, survives=("rescaling",))(_ask)
    assert registry["_ask"].survives == ("rescaling",)
    answer = asked(None, "n", "s")  # type: ignore[arg-type]
    assert answer.notes == (
        "Symmetries: stays the same under rescaling; changes under permutation, duplication.",
    )
    assert (asked.__doc__ or "").endswith(
        "Symmetries\n----------\n"
        "Stays the same under rescaling; changes under permutation, duplication."
    )
    with pytest.raises(TypeError, match="There are no symmetries"):
        symmetry_sentence(("rotation",))


def _undocumented(database: Database, network: str, *, k: int = 1) -> Table:
    """Asks."""
    raise NotImplementedError


def _about_nothing(database: Database, thing: str) -> Table:
    """Asks.

    Parameters
    ----------
    thing
        What.
    """
    raise NotImplementedError


def _strange(database: Database, network: str, *, k: dict[str, int]) -> Table:
    """Asks.

    Parameters
    ----------
    k
        What.
    """
    raise NotImplementedError


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (_undocumented, "The docstring of _undocumented does not say what 'k' is"),
        (_about_nothing, "_about_nothing is about 'thing', not one of network, run, networks"),
        (_strange, "'k' is .*, which no command line can be given"),
    ],
)
def test_what_cannot_be_a_question(ask: Callable[..., Table], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        question(columns=(), example={}, survives=None)(ask)


def test_two_of_one_name() -> None:
    question(columns=(), example={}, survives=None)(_ask)
    with pytest.raises(TypeError, match="Two questions are called '_ask'"):
        question(columns=(), example={}, survives=None)(_ask)


def test_texts() -> None:
    assert parameter_texts("Nothing.") == {}
    assert plain_text("``a``\n    :class:`x.Y` of \\|w\\|.") == "`a` `Y` of |w|."
