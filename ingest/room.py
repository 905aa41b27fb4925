"""How much one transaction may write: less, once the server said that it was too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
Result = TypeVar("Result")


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
    >>> tile = Tile(range(4), range(3))
    >>> [part.count for part in Room(6).parts(tile, lambda part: part)]
    [6, 6]
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def parts(self, whole: Work, write: Callable[[Work], Result]) -> Iterator[Result]:
        """Writes all of it, in as few parts as fit.

        Parameters
        ----------
        write
            Writes one part in a transaction of its own.

        Yields
        ------
        What `write` gave, part by part in their order.

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
                    result = write(part)
                except MemoryLimitExceeded:
                    if part.count <= 1:
                        raise
                    # Another worker may have found less room meanwhile.
                    self.most = min(self.most, -(-part.count // 2))
                else:
                    yield result
                    continue
            waiting += reversed(part.halves())
