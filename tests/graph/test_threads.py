"""Queries of several threads over one connection pool, some of which fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from store.database import Database
from store.errors import ConstraintViolated
from store.query import Query

TAKEN = Query("take", "", "CREATE (:Block {network: -1, key: $key}) RETURN $key AS key", ("key",))
LEFT = Query("left", "", "MATCH (b:Block {network: -1}) DELETE b")
ECHO = Query("echo", "", "UNWIND range(1, 40) AS i RETURN $key AS key, i", ("key", "i"))
ROUNDS = 60


def test_a_query_that_fails_leaves_those_of_other_threads_alone(
    database: Database, tiny: str
) -> None:
    """The driver's own ``with transaction`` would send a rollback over another's connection."""
    assert database.write(TAKEN, key="taken").rows == [["taken"]]

    def fail_and_read(worker: int) -> int:
        for turn in range(ROUNDS):
            with pytest.raises(ConstraintViolated, match="already exists"):
                database.write(TAKEN, key="taken")
            key = f"{worker}/{turn}"
            assert database.read(ECHO, key=key).column("key") == [key] * 40
        return worker

    try:
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(fail_and_read, range(6), timeout=120)) == list(range(6))
    finally:
        database.write(LEFT)
