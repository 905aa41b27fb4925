"""What the command lines of all rooms share: answers on stdout, one-sentence errors on stderr."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from store import comma_separated
from store.errors import WeightomeError
from store.query import Table

FAILED = 1
USAGE = 2
INTERRUPTED = 130

# A pipe has no width: nothing may be cut or wrapped there.
_UNBOUNDED = 100_000


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print the answer.")]


def application(help_text: str) -> typer.Typer:
    """A command line in the house style."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: typer.Typer, name: str, arguments: list[str] | None = None) -> int:
    """Runs a command line; its exit status.

    Returns
    -------
    int
        0; 1 when a command failed with one of our errors; 2 when the command line is wrong; 130
        after Ctrl-C. Errors are one sentence on stderr, never a traceback.
    """
    given = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    try:
        # Not `main`, which swallows Ctrl-C.
        with command.make_context(name, list(given or ["--help"])) as called:
            status = command.invoke(called)
        sys.stdout.flush()
    except typer.Exit as leave:
        sys.stdout.flush()
        return USAGE if not given else leave.exit_code
    except WeightomeError as error:
        return _fail(name, _with_notes(str(error), error), FAILED)
    except typer.TyperException as error:
        context: typer.Context | None = getattr(error, "ctx", None)
        path = context.command_path if context else name
        message = error.format_message().rstrip(".")
        return _fail(name, f"{message}; see '{path} --help'.", error.exit_code)
    except (typer.Abort, KeyboardInterrupt) as error:
        return _fail(name, _with_notes("Interrupted.", error), INTERRUPTED)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python must not complain about it at exit.
        sys.stdout = None
        return 0
    if not given:
        return USAGE
    return status if isinstance(status, int) else 0


def _with_notes(sentence: str, error: BaseException) -> str:
    """The sentence, and what was noted for the user on the way."""
    return " ".join([sentence, *getattr(error, "__notes__", ())])


def _fail(name: str, sentence: str, status: int) -> int:
    print(f"{name}: {' '.join(sentence.split())}", file=sys.stderr)
    return status


def print_table(table: Table, form: Format = Format.TABLE, title: str | None = None) -> None:
    """Prints an answer on stdout.

    Parameters
    ----------
    form
        ``table`` for people (6 significant digits), ``json`` and ``csv`` with every digit.
    title
        Stands above a ``table``.
    """
    if form is Format.JSON:
        print(json.dumps(table.to_json(), ensure_ascii=False, allow_nan=False))
    elif form is Format.CSV:
        sys.stdout.writelines(comma_separated.lines(table))
    else:
        _print_grid(table, title)


def _print_grid(table: Table, title: str | None) -> None:
    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED)
    grid = Grid(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(table.columns):
        numeric = all(isinstance(row[position], (int, float, type(None))) for row in table.rows)
        grid.add_column(
            column, justify="right" if numeric and table.rows else "left", overflow="fold"
        )
    for row in table.rows:
        # Text, not markup: a name may look like markup.
        grid.add_row(*(Text(cell(value)) for value in row))
    console.print(grid, highlight=False)
    for note in table.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    if not table.rows:
        console.print("(no rows)", style="dim", highlight=False)
    if table.truncated:
        further = (
            "" if table.after is None else f" Or go on with --after {shlex.quote(table.after)}."
        )
        Console(stderr=True, width=_UNBOUNDED).print(
            f"Only the first {len(table.rows)} rows are shown; ask for more with --limit.{further}",
            highlight=False,
            markup=False,
        )


def cell(value: Any) -> str:
    """One value as people read it.

    Example
    -------
    >>> cell(0.123456789), cell(True), cell(None), cell([1, 2.5]), cell({"accuracy": 0.5})
    ('0.123457', 'yes', '', '1 2.5', 'accuracy=0.5')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " ".join(cell(part) for part in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={cell(part)}" for key, part in value.items())
    return str(value)
