"""Pages joined are the whole, also while networks come and go between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pyarrow
import pytest

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from store.database import Database
from store.errors import NotFound
from tests.http.envelope import check
from tests.networks import dense_network, hand_checkable

# In the order of the store, which is that of their letters' numbers.
NAMES = ["page A", "page a", "page a/b", 'page "é"', "page é", "page \uffff", "page \U0001f9e0"]


def _pages(client: httpx.Client, address: str) -> Iterator[dict[str, Any]]:
    following: str | None = address
    while following is not None:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        following = page.get("next")
        assert (following is not None) == page["truncated"]
        link = None if following is None else f'<{following}>; rel="next"'
        assert answer.headers.get("link") == link
        yield page


def _joined(client: httpx.Client, address: str) -> list[list[Any]]:
    return [row for page in _pages(client, address) for row in page["rows"]]


@pytest.fixture
def many(database: Database) -> Iterator[list[str]]:
    """Networks of a run with awkward names, and without any run."""
    names = []
    try:
        for number, name in enumerate(NAMES):
            # Steps in another order than names, and some alike; the last two have no run.
            run = {"run": f"run of {name}", "step": number} if number < 5 else {}
            write(database, hand_checkable(), name=name, **run)  # type: ignore[arg-type]
            names.append(name)
        for step in (3, 1, 2):
            write(database, hand_checkable(), name=f"shot {step}", run="page run", step=step)
            names.append(f"shot {step}")
        yield names
    finally:
        for name in names:
            try:
                delete(database, name)
            except NotFound:
                continue


@pytest.mark.parametrize("address", ["/v1/runs", "/v1/networks", "/v1/networks?run=page%20run"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_listings(client: httpx.Client, many: list[str], address: str, limit: int) -> None:
    whole = client.get(address).json()
    assert "next" not in whole
    assert "after" not in whole
    join = "&" if "?" in address else "?"
    assert _joined(client, f"{address}{join}limit={limit}") == whole["rows"]
    assert len(whole["rows"]) >= 3


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_network(client: httpx.Client, tiny: str, limit: int) -> None:
    for address in (
        "/v1/networks/tiny/layers?",
        "/v1/networks/tiny/layers/fc1/neurons?",
        "/v1/networks/tiny/strength?",
        "/v1/networks/tiny/strength?convention=cnt&bias=true&",
        "/v1/networks/tiny/pagerank?layers=fc1&layers=fc2&",
    ):
        whole = client.get(address.rstrip("?&")).json()["rows"]
        assert _joined(client, f"{address}limit={limit}") == whole, address


def test_in_every_format(client: httpx.Client, tiny: str) -> None:
    whole = client.get("/v1/networks/tiny/strength").json()["rows"]
    found: list[list[Any]] = []
    following = "/v1/networks/tiny/strength?limit=3&format=ndjson"
    while following:
        answer = client.get(following)
        found += [list(json.loads(line).values()) for line in answer.text.splitlines()]
        following = answer.links["next"]["url"] if "next" in answer.links else ""
        assert answer.headers["weightome-truncated"] == json.dumps(bool(following))
    assert found == whole
    found.clear()
    following = "/v1/networks/tiny/strength?limit=3&format=arrow"
    while following:
        stream = pyarrow.ipc.open_stream(client.get(following).content)
        found += [list(row.values()) for row in stream.read_all().to_pylist()]
        following = (stream.schema.metadata.get(b"next") or b"").decode()
    assert found == whole


def test_networks_come_and_go_between_pages(
    client: httpx.Client, database: Database, many: list[str]
) -> None:
    """Whatever is there all the time is there once; what comes and goes hides nothing."""
    stay = {tuple(row[:3]) for row in client.get("/v1/networks").json()["rows"]}
    gone, come = "shot 2", ["page 0", "page b", "page zz"]
    seen: list[tuple[Any, ...]] = []
    try:
        for number, page in enumerate(_pages(client, "/v1/networks?limit=2")):
            seen += [tuple(row[:3]) for row in page["rows"]]
            if number == 0:
                write(database, hand_checkable(), name=come[0], run="page run", step=0)
            if number == 1:
                # Also the very row that the next page goes on behind.
                last = seen[-1][0]
                if last in many:
                    delete(database, last)
                delete(database, gone)
            if number == 2:
                for name in come[1:]:
                    write(database, hand_checkable(), name=name)
    finally:
        for name in come:
            delete(database, name)
    assert len(seen) == len(set(seen)), "no row comes twice"
    deleted = {row for row in stay if row[0] in (gone, last)}
    assert stay - deleted <= set(seen), "no row is hidden"


def test_a_network_that_was_replaced_between_pages(
    client: httpx.Client, database: Database, stored: Callable[..., str]
) -> None:
    name = stored(hand_checkable())
    own = f"/v1/networks/{quote(name, safe='')}"
    addresses = [f"{own}/layers", f"{own}/layers/fc1/neurons", f"{own}/strength"]
    following = [client.get(address, params={"limit": 1}).json()["next"] for address in addresses]
    # The same layers, the same sizes, other weights.
    matrices = [np.ones(shape, dtype=np.float32) for shape in ((2, 3), (3, 2))]
    write(database, dense_network(matrices), name=name, replace=True)
    for address in following:
        message = check(client.get(address), 409, "conflict")
        assert "without after" in message
    delete(database, name)
    for address in following:
        check(client.get(address), 404, "not_found")


def test_a_page_of_an_answer_that_was_kept_anew_is_of_that_answer(
    client: httpx.Client, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    """Two networks of one content in one place: the same answer, byte for byte, goes on."""
    name = stored(random_network(2, 40, 3))
    address = f"/v1/networks/{quote(name, safe='')}/strength"
    first = client.get(f"{address}?limit=20").json()
    rest = client.get(first["next"], params=None).json()
    whole = client.get(address).json()
    assert first["rows"] + rest["rows"] + _joined(client, rest["next"]) == whole["rows"]


@pytest.mark.parametrize(
    "after",
    ["", "x", "[]", "{}", "null", "[1,2,3,4]", '["x"', "[true]", "[" * 10_000, '["\\ud800"]',
     "[1e999]", "[9223372036854775808]", f"[{'9' * 5000}]", '[{"$gt":""}]', "[[1]]"],
    ids=lambda value: value[:12],
)  # fmt: skip
@pytest.mark.parametrize(
    "address",
    ["/v1/runs", "/v1/networks", "/v1/networks/tiny/layers", "/v1/networks/tiny/strength",
     "/v1/networks/tiny/layers/fc1/neurons"],
)  # fmt: skip
def test_what_is_no_mark(client: httpx.Client, tiny: str, address: str, after: str) -> None:
    check(client.get(address, params={"after": after}), 400, "invalid_argument")


def test_a_mark_of_another_answer(client: httpx.Client, tiny: str) -> None:
    mark = client.get("/v1/networks/tiny/strength?limit=1").json()["after"]
    check(client.get("/v1/networks/tiny/layer-strength", params={"after": mark}), 409, "conflict")
    digest, _ = json.loads(mark)
    for place in (-1, 8, 2**62):
        beyond = json.dumps([digest, place])
        check(
            client.get("/v1/networks/tiny/strength", params={"after": beyond}),
            400,
            "invalid_argument",
        )


def test_what_cannot_go_on_does_not_take_it(client: httpx.Client, tiny: str) -> None:
    answer = client.get("/v1/runs/tiny-run/dynamics?limit=1").json()
    assert answer["truncated"] is True
    assert "next" not in answer
    check(client.get("/v1/runs/tiny-run/dynamics?after=x"), 400, "invalid_argument")
