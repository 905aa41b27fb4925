"""The progress bar of an ingest: links written, links per second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _LinksPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} links/s", style="dim")


@contextmanager
def links_written(total: int, name: str, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal, that the yielded function moves on.

    Parameters
    ----------
    total
        Number of links to come.
    shown
        False for no bar at all.
    """
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.fields[network]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _LinksPerSecond(),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task("", total=total, network=name)
        yield lambda links: bar.advance(task, links)
