"""A question: a documented function that the command line and the service offer as it stands.

Its name, its parameters and what is said about them are read from the function and its docstring,
so that each is written once::

    @question(columns=("layer", "value"), example={"network": "tiny"}, survives=("permutation",))
    def example(database: Database, network: str, *, k: int = 10) -> Table: ...

The first parameter after the database says what the question is about: `network`, `run`, or
`networks` (a pattern of names); where it may be left out, or there is none, the question is about
the whole store. Further positional parameters are positional on the command line, keyword-only
ones are options there; a frozen dataclass stands for its fields.

An answer that was cut goes on where the question takes `after`: it has that parameter itself, or
its answers are kept (:mod:`queries.answers`).
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Concatenate, Final, Literal, ParamSpec

from queries import answers
from queries.docstrings import parameter_texts, plain_text
from store.database import Database
from store.query import Table

P = ParamSpec("P")

ABOUT = ("network", "run", "networks")
STORE: Final = "store"
SYMMETRIES: Final = {
    "permutation": "permuting the neurons of a hidden layer",
    "rescaling": "scaling a ReLU neuron's inputs by c > 0 and its outputs by 1/c",
    "duplication": "splitting a hidden neuron into two that share its outputs",
}
"""Changes of a network that leave the function it computes as it is."""
REQUIRED: Final = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """One parameter of a question.

    Parameters
    ----------
    name
        As in Python; with hyphens for underscores on the command line.
    kind
        ``str``, ``int``, ``float`` or ``bool``.
    many
        Whether it may be given several times.
    optional
        Whether None is allowed.
    default
        :data:`REQUIRED`, or its value.
    choices
        The values that there are; empty: any.
    positional
        Whether it stands without a name on the command line.
    help
        What it means.
    group
        The parameter whose field it is; empty: it is one itself.
    """

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any
    choices: tuple[str, ...]
    positional: bool
    help: str
    group: str = ""

    @property
    def annotation(self) -> Any:
        """Its type, for whoever makes a parameter of a command or an address of it."""
        if self.many:
            # A list built at run time: mypy reads annotations, not this.
            return list[self.kind]  # type: ignore[name-defined]
        return self.kind | None if self.optional else self.kind

    @property
    def initial(self) -> Any:
        """Its default as that type has it, or :data:`REQUIRED`."""
        return list(self.default) if self.many and self.default is not REQUIRED else self.default


@dataclass(frozen=True)
class Question:
    """A question that can be asked in Python, on the command line and over HTTP.

    Parameters
    ----------
    name
        As in Python; with hyphens for underscores on the command line and in addresses.
    ask
        Answers it: a database, what it is about, and its arguments.
    about
        ``network``, ``run`` or ``networks``: the name of the first argument; or ``store``.
    columns
        Of the answer.
    summary
        The first sentence of its docstring.
    documentation
        The whole docstring.
    arguments
        All but the database, what it is about first.
    example
        Arguments about the networks of the tests, that give rows.
    survives
        The :data:`SYMMETRIES` under which its values stay; None: it does not measure a network.
    groups
        The dataclasses of which arguments are fields, by the parameter that takes one.
    page
        Answers as `ask`, but takes where to go on as a second argument; None: `ask` has an
        argument `after` itself, or the question is not read in pages.
    """

    name: str
    ask: Callable[..., Table]
    about: str
    columns: tuple[str, ...]
    summary: str
    documentation: str
    arguments: tuple[Argument, ...]
    example: Mapping[str, Any]
    survives: tuple[str, ...] | None
    groups: Mapping[str, Any] = field(default_factory=dict)
    page: Callable[..., Table] | None = None

    @property
    def title(self) -> str:
        """The name in commands and addresses."""
        return self.name.replace("_", "-")

    def answer(self, database: Database, given: Mapping[str, Any]) -> Table:
        """Asks with the arguments of a command line or an address.

        Parameters
        ----------
        given
            By name; what is left out has its default.
        """
        plain: dict[str, Any] = {}
        grouped: dict[str, dict[str, Any]] = {}
        for argument in self.arguments:
            if argument.name not in given:
                continue
            value = given[argument.name]
            into = grouped.setdefault(argument.group, {}) if argument.group else plain
            into[argument.name] = tuple(value or ()) if argument.many else value
        for group, values in grouped.items():
            plain[group] = self.groups[group](**values)
        if self.page is not None:
            return self.page(database, plain.pop("after", None), **plain)
        return self.ask(database, **plain)

    def given(self, *positional: Any, **named: Any) -> dict[str, Any]:
        """The arguments of a call in Python, by name: what :meth:`answer` takes.

        Parameters
        ----------
        *positional, **named
            As `ask` takes them behind the database. What is left out is left out here.

        Raises
        ------
        TypeError
            As the call itself would.
        """
        bound = inspect.signature(self.ask).bind(None, *positional, **named)
        given: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            if name in self.groups:
                given |= {each.name: getattr(value, each.name) for each in fields(value)}
            else:
                given[name] = value
        return given


_REGISTERED: dict[str, Question] = {}


def registered() -> Mapping[str, Question]:
    """The questions of the modules that were imported; :mod:`queries.registry` imports all."""
    return types.MappingProxyType(_REGISTERED)


def question_of(ask: Callable[Concatenate[Database, P], Table]) -> Question:
    """The question that a function is.

    Raises
    ------
    TypeError
        If it is none.

    Example
    -------
    >>> from queries.strength import strength
    >>> question_of(strength).title
    'strength'
    """
    found = _REGISTERED.get(getattr(ask, "__name__", ""))
    if found is None or found.ask is not ask:
        raise TypeError(
            f"{ask!r} is no question: give a function such as queries.strength.strength."
        )
    return found


def question(
    *,
    columns: tuple[str, ...],
    example: Mapping[str, Any],
    survives: tuple[str, ...] | None,
    kept: bool = False,
) -> Callable[
    [Callable[Concatenate[Database, P], Table]], Callable[Concatenate[Database, P], Table]
]:
    """Makes a function a question, whose answers and docstring say which symmetries they survive.

    Parameters
    ----------
    columns
        Of its answer.
    example
        Arguments about the networks of the tests, that give rows: the contract test asks them in
        Python, on the command line and over HTTP and compares.
    survives
        The :data:`SYMMETRIES` under which its values stay the same, up to which neuron has which;
        None where it does not measure a network. A test applies each and holds this to be true.
    kept
        Whether the answer is kept in the graph (:mod:`queries.answers`): only where it follows
        from one network, and nothing that may change, alone.

    Raises
    ------
    TypeError
        If a parameter has no type or no word in the docstring: found at import.
    """

    def register(
        ask: Callable[Concatenate[Database, P], Table],
    ) -> Callable[Concatenate[Database, P], Table]:
        sentence = symmetry_sentence(survives)
        signature = inspect.signature(ask)

        def page(
            database: Database, after: str | None, /, *arguments: P.args, **options: P.kwargs
        ) -> Table:
            bound = signature.bind(None, *arguments, **options)
            bound.apply_defaults()
            chosen = dict(list(bound.arguments.items())[1:])
            about = chosen.pop("network")
            answer = answers.kept(
                database,
                about,
                ask.__name__,
                chosen,
                lambda opened: ask(opened, *arguments, **options),
                after,
            )
            return noted(answer)

        def noted(answer: Table) -> Table:
            return replace(answer, notes=(*answer.notes, sentence)) if sentence else answer

        @functools.wraps(ask)
        def asked(database: Database, /, *arguments: P.args, **options: P.kwargs) -> Table:
            if kept:
                return page(database, None, *arguments, **options)
            return noted(ask(database, *arguments, **options))

        read = _question(ask, asked, columns, example, survives)
        if kept:
            read = replace(read, page=page, arguments=(*read.arguments, _AFTER))
        if read.name in _REGISTERED:
            raise TypeError(f"Two questions are called {read.name!r}.")
        if sentence:
            said = sentence.removeprefix("Symmetries: ").capitalize()
            asked.__doc__ = f"{read.documentation}\n\nSymmetries\n----------\n{said}"
            read = replace(read, documentation=asked.__doc__)
        _REGISTERED[read.name] = read
        return asked

    return register


def symmetry_sentence(survives: tuple[str, ...] | None) -> str:
    """Which changes that keep a network's function keep a measure of it.

    Example
    -------
    >>> symmetry_sentence(("permutation",))
    'Symmetries: stays the same under permutation; changes under rescaling, duplication.'
    """
    if survives is None:
        return ""
    unknown = set(survives) - set(SYMMETRIES)
    if unknown:
        raise TypeError(f"There are no symmetries {unknown}.")
    stays = ", ".join(name for name in SYMMETRIES if name in survives) or "none"
    changes = ", ".join(name for name in SYMMETRIES if name not in survives) or "none"
    return f"Symmetries: stays the same under {stays}; changes under {changes}."


def _question(
    ask: Callable[..., Table],
    asked: Callable[..., Table],
    columns: tuple[str, ...],
    example: Mapping[str, Any],
    survives: tuple[str, ...] | None,
) -> Question:
    documented = inspect.getdoc(ask) or ""
    arguments = _arguments(ask, documented)
    first = arguments[0] if arguments else None
    about = STORE if first is None or first.default is not REQUIRED else first.name
    if about not in (STORE, *ABOUT):
        raise TypeError(f"{ask.__name__} is about {about!r}, not one of {', '.join(ABOUT)}.")
    return Question(
        ask.__name__,
        asked,
        about,
        columns,
        plain_text(documented.split("\n\n")[0]),
        documented,
        arguments,
        example,
        survives,
        {
            name: hint
            for name, hint in typing.get_type_hints(ask).items()
            if is_dataclass(hint) and name != "return"
        },
    )


_SAID: Final = {
    "network": "Name of a network; `networks` lists them.",
    "run": "Name of a run; `runs` lists them.",
    "networks": "Names of the networks, with `*` for any text: `mlp-*`.",
    "after": "Where to go on: what the answer that was cut before says as `after`.",
}
_AFTER: Final = Argument("after", str, False, True, None, (), False, _SAID["after"])


def _arguments(ask: Callable[..., Any], documented: str) -> tuple[Argument, ...]:
    hints = typing.get_type_hints(ask)
    said = {**_SAID, **parameter_texts(documented)}
    found: list[Argument] = []
    for name, parameter in list(inspect.signature(ask).parameters.items())[1:]:
        if is_dataclass(hints[name]):
            found += arguments_of(hints[name], name)
            continue
        positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        found.append(
            _argument(
                ask.__name__, name, hints[name], parameter.default, said, positional=positional
            )
        )
    return tuple(found)


def arguments_of(group: Any, name: str = "") -> list[Argument]:
    """The fields of a dataclass as arguments, as its docstring tells them.

    Parameters
    ----------
    name
        Of the parameter that they are fields of.
    """
    hints = typing.get_type_hints(group)
    said = parameter_texts(inspect.getdoc(group) or "")
    return [
        _argument(group.__name__, field.name, hints[field.name], field.default, said, group=name)
        for field in fields(group)
    ]


def _argument(
    owner: str,
    name: str,
    hint: Any,
    default: Any,
    said: Mapping[str, str],
    *,
    positional: bool = False,
    group: str = "",
) -> Argument:
    if name not in said:
        raise TypeError(f"The docstring of {owner} does not say what {name!r} is.")
    parts = [part for part in typing.get_args(hint) if part is not types.NoneType]
    optional = isinstance(hint, types.UnionType) and len(parts) < len(typing.get_args(hint))
    if optional:
        (hint,) = parts
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        hint = str
    if hint not in (str, int, float, bool):
        raise TypeError(f"{owner}: {name!r} is {hint}, which no command line can be given.")
    return Argument(
        name,
        hint,
        many,
        optional,
        default,
        choices,
        positional and default is REQUIRED,
        said[name],
        group,
    )
