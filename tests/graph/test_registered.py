"""Every registered query is one that the real server can plan, with the columns that it names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import ingest
import queries
import store
from queries.subgraph import Algorithm
from store.database import Database
from store.query import Query

# Parameters that must have a certain type for the server to plan the query.
TYPED: dict[str, object] = {
    **{
        name: []
        for name in (
            "layers",
            "paths",
            "feeds",
            "parameters",
            "rows",
            "source_ids",
            "target_ids",
            "sources",
            "ends",
            "targets",
            "params",
            "positions",
            "types",
            "ranges",
            "adding",
            "zero_below",
            "flat",
            "signs",
            "middle",
            "drawn",
            "ways",
        )
    },
    "weights": [0.5],
    **dict.fromkeys(("network", "run", "layer", "name", "metric", "graph", "writer"), "x"),
    **dict.fromkeys(("prefix", "suffix", "key", "observation", "label"), "x"),
    **{key: {"relu": 0.0} for key in ("lows", "highs")},
    **dict.fromkeys(("bias", "unit"), False),
    "properties": {},
    "after": None,
    "near_zero": 0.5,
    "heaviest": 0.5,
}


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(("__main__", "py2neo")):
            yield importlib.import_module(module.name)


def _queries() -> Iterator[Query]:
    for package in (store, ingest, queries):
        for module in _modules(package):
            for value in vars(module).values():
                for query in (
                    value
                    if isinstance(value, tuple)
                    else (value.values() if isinstance(value, dict) else (value,))
                ):
                    if isinstance(query, Query):
                        yield query
                    elif isinstance(query, Algorithm):
                        yield query.run
                        yield query.estimate


REGISTERED = sorted(
    {query.name: query for query in _queries()}.values(), key=lambda query: query.name
)


def test_there_are_queries_and_names_are_unique() -> None:
    assert len(REGISTERED) >= 30
    by_text = {(query.name, query.cypher) for query in _queries()}
    assert len(by_text) == len(REGISTERED), "two queries have one name"


@pytest.mark.parametrize("query", REGISTERED, ids=lambda query: query.name)
def test_explain(database: Database, query: Query) -> None:
    assert query.doc.endswith("."), "a query says what it answers"
    plan = database.explain(query.cypher, {name: TYPED.get(name, 0) for name in query.parameters})
    root = plan["children"][0] if plan["children"] else plan
    details = plan["args"].get("Details", root["args"].get("Details", ""))
    for column in query.columns:
        assert column in details, f"{column} is not returned"
