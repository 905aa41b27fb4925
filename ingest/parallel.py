"""Writes pieces of a network at once, no two of them in one neuron.

Creating a link locks both its neurons, so two transactions that share one wait for each other or
deadlock. Pieces that run together share no neuron, neither as source nor as target.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

# How many pieces per worker are looked at, so that a free one is found behind some that wait.
AHEAD = 8

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Piece(Generic[Work]):
    """Work on links between two ranges of neurons.

    Parameters
    ----------
    work
        What is to be done.
    sources, targets
        Ranges that hold all neurons it touches, numbered through the network.
    """

    work: Work
    sources: range
    targets: range

    def meets(self, other: Piece[Work]) -> bool:
        """Whether they may share a neuron."""
        return meet((self.sources, self.targets), (other.sources, other.targets))


def meet(one: Iterable[range], other: Iterable[range]) -> bool:
    """Whether any range of the one overlaps any of the other.

    Example
    -------
    >>> hidden, after = range(4, 8), range(8, 12)
    >>> meet((range(0, 4), hidden), (hidden, after))
    True
    """
    return any(
        mine.start < theirs.stop and theirs.start < mine.stop for mine in one for theirs in other
    )


def in_parallel(
    pieces: Iterable[Piece[Work]],
    work: Callable[[Work], Result],
    *,
    workers: int,
    done: Callable[[Result], None],
) -> None:
    """Does all the work, at most `workers` pieces at once, no two that may share a neuron.

    Parameters
    ----------
    pieces
        Made as they are needed, a few ahead. Best ordered so that neighbours do not meet.
    work
        Called in a worker thread.
    done
        Called in the caller's thread with what the work gave.

    Raises
    ------
    Exception
        The first that `work` raised; pieces under way are finished, no new one is begun.

    Example
    -------
    >>> pieces = [Piece(n, range(n, n + 1), range(9, 10)) for n in range(3)]
    >>> in_parallel(pieces, lambda n: n * n, workers=2, done=print)
    0
    1
    4
    """
    coming = iter(pieces)
    waiting: deque[Piece[Work]] = deque()
    running: dict[Future[Result], Piece[Work]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="weightome-writer") as pool:
        while True:
            waiting.extend(islice(coming, workers * AHEAD - len(waiting)))
            while len(running) < workers and (free := _free(waiting, running)) is not None:
                piece = waiting[free]
                del waiting[free]
                running[pool.submit(work, piece.work)] = piece
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                done(future.result())


def _free(waiting: deque[Piece[Work]], running: dict[Future[Result], Piece[Work]]) -> int | None:
    for number, piece in enumerate(waiting):
        if not any(piece.meets(other) for other in running.values()):
            return number
    return None


def diagonally(rows: int, columns: int) -> list[tuple[int, int]]:
    """All places of a table, ordered so that neighbours mostly share neither row nor column.

    Example
    -------
    >>> diagonally(2, 3)
    [(0, 0), (1, 1), (0, 1), (1, 2), (0, 2), (1, 0)]
    """
    longer = max(rows, columns)
    return [
        (row, (row + turn) % longer)
        for turn in range(longer)
        for row in range(rows)
        if (row + turn) % longer < columns
    ]
