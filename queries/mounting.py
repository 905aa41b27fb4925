"""Commands made of the questions, as their docstrings tell them."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from queries.question import Argument, Question
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect

Limit = Annotated[int | None, typer.Option(min=1, help="Most rows to print.")]


def mount(app: typer.Typer, questions: Iterable[Question]) -> None:
    """Adds a command for each question."""
    for question in questions:
        app.command(question.title)(command(question))


def command(question: Question) -> Callable[..., None]:
    """The command that asks a question and prints its answer.

    Example
    -------
    >>> from queries.registry import questions
    >>> command(questions()["strength"]).__doc__
    'Strength of every neuron: in = sum of w_ik, out = sum of w_kj, total = in + out, all signed.'
    """

    def ask(**given: Any) -> None:
        form, limit = given.pop("form"), given.pop("limit")
        with connect(settings.load()) as database:
            print_table(question.answer(database.limited(row_cap=limit), given), form)

    parameters = [_parameter(argument) for argument in question.arguments]
    parameters += [
        inspect.Parameter("form", _KEYWORD, default=Format.TABLE, annotation=FormatOption),
        inspect.Parameter("limit", _KEYWORD, default=None, annotation=Limit),
    ]
    ask.__name__ = question.name
    ask.__doc__ = question.summary
    return _taking(ask, parameters)


def with_options(
    command: Callable[..., None], arguments: Iterable[Argument]
) -> Callable[..., None]:
    """A command with further options, which its ``**named`` receive."""
    hints = typing.get_type_hints(command, include_extras=True)
    own = [
        each.replace(kind=_KEYWORD, annotation=hints[each.name])
        for each in inspect.signature(command).parameters.values()
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    @functools.wraps(command)
    def ask(**given: Any) -> None:
        command(**given)

    return _taking(ask, [*own, *map(_parameter, arguments)])


def _taking(ask: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    ask.__annotations__ = {each.name: each.annotation for each in parameters}
    ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return ask


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _parameter(argument: Argument) -> inspect.Parameter:
    text = argument.help
    if argument.choices and not all(choice in text for choice in argument.choices):
        text = f"{text} One of {', '.join(argument.choices)}."
    mark: Any
    if argument.positional:
        mark = typer.Argument(help=text)
    else:
        flag = f"--{argument.name.replace('_', '-')}"
        if argument.kind is bool and argument.default:
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
        names = [f"-{argument.name}"] if len(argument.name) == 1 else [flag]
        mark = typer.Option(*names, help=text)
    kind: Any = argument.annotation
    return inspect.Parameter(
        argument.name, _KEYWORD, default=argument.initial, annotation=Annotated[kind, mark]
    )
