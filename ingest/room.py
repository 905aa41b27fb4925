"""How much one transaction may write: less, once the server said that it was too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from store.errors import MemoryLimitExceeded


class Divisible(Protocol):
    """Work for one transaction, or for two."""

    @property
    def count(self) -> int:
        """Number of links or neurons that it writes."""
        ...

    def halves(self: Work) -> tuple[Work, Work]:
        """The same work in two parts; only asked of more than one."""
        ...


Work = TypeVar("Work", bound=Divisible)


class WrittenInHalves(Exception):
    """The work is not to be done in one piece: its first or second half may be done already."""


class Room:
    """What fits one transaction of a server, found out by writing.

    A server without enough memory for a transaction (``db.memory.transaction.max``) rolls it back
    whole, so its work can be done again in halves. What did not fit once is not tried again:
    later work is divided before it is sent.

    Parameters
    ----------
    most
        Where to begin: a number of links, or of neurons.

    Example
    -------
    >>> from ingest.tiles import Tile
    >>> Room(6).write(Tile(range(4), range(3)), lambda part: print(part.count))
    6
    6
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def write(
        self,
        whole: Work,
        write: Callable[[Work], None],
        divide: Callable[[Work], bool] = lambda part: True,
    ) -> None:
        """Writes all of it, in as few parts as fit.

        Parameters
        ----------
        write
            Writes one part in a transaction of its own.
        divide
            Called before a part is written in halves; False where it is written already.

        Raises
        ------
        MemoryLimitExceeded
            If a single link or neuron does not fit.
        """
        waiting = [whole]
        while waiting:
            part = waiting.pop()
            if part.count <= max(self.most, 1):
                try:
                    write(part)
                    continue
                except WrittenInHalves:
                    pass
                except MemoryLimitExceeded:
                    if part.count <= 1:
                        raise
                    # Another worker may have found less room meanwhile.
                    self.most = min(self.most, -(-part.count // 2))
            if divide(part):
                waiting += reversed(part.halves())
