"""Writes the parts of a network exactly once, whoever writes them and however often.

Each transaction leaves a ``(:Block {network, key})`` beside what it wrote; keys are unique, so a
second transaction for the same part fails as a whole. A part that is written in halves has a
``Block`` that says so, and its halves have theirs. They all go when the network is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ingest.room import Divisible, Room, WrittenInHalves
from store.database import Database
from store.errors import ConstraintViolated, VerificationFailed
from store.query import Query

WRITTEN = Query(
    "written_blocks",
    "Which parts of a network are written, or divided into halves that are written by themselves.",
    "MATCH (block:Block {network: $network}) RETURN block.key AS key, block.divided AS divided",
    ("key", "divided"),
)

WRITTEN_ONE = Query(
    "written_block",
    "Whether one part of a network is written as a whole, or divided.",
    """
MATCH (block:Block {network: $network, key: $key}) RETURN block.divided AS divided
""",
    ("divided",),
)

DIVIDE = Query(
    "divide_block",
    "Says that a part of a network is written in halves.",
    "CREATE (:Block {network: $network, key: $key, divided: true})",
)

# Begins every statement that writes a part.
MARK = "CREATE (:Block {network: $network, key: $key, divided: false})"


class Writable(Divisible, Protocol):
    """Links or neurons for one statement, or for two; as many relationships as it counts."""

    def statement(self, first: int) -> tuple[Query, dict[str, Any]]:
        """What creates it, where the network's first neuron has that id."""
        ...


Work = TypeVar("Work", bound=Writable)


@dataclass(frozen=True)
class _Part(Generic[Work]):
    key: str
    work: Work

    @property
    def count(self) -> int:
        return self.work.count

    def halves(self) -> tuple[_Part[Work], _Part[Work]]:
        first, second = self.work.halves()
        return _Part(f"{self.key}/0", first), _Part(f"{self.key}/1", second)


class Once:
    """Writes parts of one network.

    Parameters
    ----------
    network
        ``Network.id``.
    first
        Id of its first neuron.
    written
        The keys of parts known to be written (False) or divided (True); others may be too.
    room
        How much fits one transaction.

    Example
    -------
    >>> Once(database, 0, 0, {}, Room(25_000)).write("12", content)     # doctest: +SKIP
    """

    def __init__(
        self,
        database: Database,
        network: int,
        first: int,
        written: Mapping[str, bool],
        room: Room,
    ) -> None:
        self._database = database
        self._network = network
        self._first = first
        self._written = written
        self._room = room

    def write(self, key: str, work: Work) -> None:
        """Writes one part, in as many transactions as it needs; nothing of it twice.

        Raises
        ------
        MemoryLimitExceeded
            If the server has no memory for a single link or neuron.
        VerificationFailed
            If the store made another number of things than were sent.
        """
        self._room.write(_Part(key, work), self._write, self._divide)

    def _write(self, part: _Part[Work]) -> None:
        if part.key in self._written:
            _whole(self._written[part.key])
            return
        query, parameters = part.work.statement(self._first)
        try:
            answer = self._database.write(query, network=self._network, key=part.key, **parameters)
        except ConstraintViolated:
            _whole(self._divided(part.key))
            return
        if (answer.counters or {})["relationships_created"] != part.count:
            raise VerificationFailed("Neurons of this network vanished while it was being written.")

    def _divide(self, part: _Part[Work]) -> bool:
        if part.key in self._written:
            return self._written[part.key]
        try:
            self._database.write(DIVIDE, network=self._network, key=part.key)
        except ConstraintViolated:
            return self._divided(part.key)
        return True

    def _divided(self, key: str) -> bool:
        rows = self._database.read(WRITTEN_ONE, network=self._network, key=key).rows
        if not rows:
            raise VerificationFailed("A network was removed while it was being written.")
        return bool(rows[0][0])


def _whole(divided: bool) -> None:
    if divided:
        raise WrittenInHalves
