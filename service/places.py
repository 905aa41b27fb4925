"""Where each question is asked: its address, and the request that asks with given arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from queries.question import REQUIRED, Argument, Question
from store.errors import InvalidArgument

_ABOUT: Final = {
    "store": "/v1",
    "network": "/v1/networks/{name}",
    "run": "/v1/runs/{name}",
    "networks": "/v1/populations",
}
# What lists things stands where the things do.
_LISTINGS: Final = {
    "runs": "/v1/runs",
    "networks": "/v1/networks",
    "layers": "/v1/networks/{name}/layers",
    "neurons": "/v1/networks/{name}/layers/{layer}/neurons",
    "neuron": "/v1/networks/{name}/layers/{layer}/neurons/{neuron}",
}


def address(question: Question) -> str:
    """Where a question is asked.

    Example
    -------
    >>> from queries.registry import questions
    >>> address(questions()["strength"])
    '/v1/networks/{name}/strength'
    """
    return _LISTINGS.get(question.name) or f"{_ABOUT[question.about]}/{question.title}"


def in_path(question: Question) -> dict[str, str]:
    """The arguments that stand in its address, by their names there.

    Example
    -------
    >>> from queries.registry import questions
    >>> in_path(questions()["neuron"])
    {'name': 'network', 'layer': 'layer', 'neuron': 'index'}
    """
    arguments = {"name": question.about, "layer": "layer", "neuron": "index"}
    return {place: arguments[place] for place in re.findall(r"{(\w+)}", address(question))}


def target(question: Question, given: Mapping[str, Any]) -> str:
    """Path and query that ask a question.

    Parameters
    ----------
    given
        Arguments by name.

    Raises
    ------
    InvalidArgument
        If an argument is one that no address can say.

    Example
    -------
    >>> from queries.registry import questions
    >>> target(questions()["strength"], {"network": "a/b", "bias": True})
    '/v1/networks/a%2Fb/strength?bias=true'
    """
    path, placed = address(question), in_path(question)
    for place, name in placed.items():
        path = path.replace(f"{{{place}}}", segment(str(given[name])))
    pairs = [
        (argument.name, text)
        for argument in question.arguments
        if argument.name in given and argument.name not in placed.values()
        for text in _texts(argument, given[argument.name])
    ]
    return f"{path}?{urlencode(pairs, safe='/,*')}" if pairs else path


def example_target(question: Question) -> str:
    """Path and query that ask its example.

    Example
    -------
    >>> from queries.registry import questions
    >>> example_target(questions()["strength"])
    '/v1/networks/tiny/strength?convention=cnt'
    """
    return target(question, question.example)


def segment(text: str) -> str:
    """A name as a part of a path.

    Example
    -------
    >>> segment("a/b"), segment("..")
    ('a%2Fb', '%2E%2E')
    """
    # A client takes a path's "." and ".." out before it sends it.
    return text.replace(".", "%2E") if text in {".", ".."} else quote(text, safe="")


def _texts(argument: Argument, value: Any) -> Iterator[str]:
    if value == argument.default and argument.default is not REQUIRED and not value:
        # Nothing is said by saying nothing.
        return
    if value is None or (argument.many and not value):
        raise InvalidArgument(
            f"{argument.name} cannot be {value!r} over HTTP, where its default is "
            f"{argument.default!r}."
        )
    for each in value if argument.many else (value,):
        yield str(each).lower() if isinstance(each, bool) else str(each)
