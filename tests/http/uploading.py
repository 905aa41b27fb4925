"""Files sent to a service, and what becomes of their jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save_file

from store.database import Database
from store.query import Query

OCTETS = {"Content-Type": "application/octet-stream"}
# The machine may be busy: a job that hangs is noticed all the same.
PATIENCE = 900

WRITTEN = Query(
    "links_written",
    "How many links a network has that is being written.",
    """
MATCH (network:Network {wanted_name: $name})-[:HAS_LAYER]->(layer)
MATCH (neuron:Neuron) WHERE layer.first <= neuron.id < layer.first + layer.size
RETURN sum(COUNT { (neuron)-[:LINK]->() }) AS links
""",
    ("links",),
)
UNFINISHED = Query(
    "unfinished_of_name",
    "Whether anything of a name is in the store that no reader sees.",
    "MATCH (network:Network {wanted_name: $name}) RETURN count(network) AS networks",
    ("networks",),
)

Event = tuple[str, dict[str, Any]]


def dense_file(path: Path, *sizes: int, seed: int = 0) -> Path:
    """A safetensors file of dense layers, 1.8 million links by ``1_000, 1_800``."""
    random = np.random.default_rng(seed)
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    save_file(
        {
            f"fc{number}.weight": random.normal(size=shape).astype(np.float32)
            for number, shape in enumerate(shapes, 1)
        },
        path,
    )
    return path


def post(client: httpx.Client, path: Path, **parameters: Any) -> httpx.Response:
    """Sends a file as the network of that name; its own name unless `file` is given."""
    query = {"file": path.name, **parameters}
    return client.post("/v1/networks", params=query, content=path.read_bytes(), headers=OCTETS)


def sent(client: httpx.Client, path: Path, **parameters: Any) -> str:
    """Sends a file; the address of its job."""
    answer = post(client, path, **parameters)
    assert answer.status_code == 202, answer.text
    address: str = answer.headers["location"]
    assert address == f"/v1/jobs/{answer.json()['id']}"
    return address


def events(client: httpx.Client, job: str) -> Iterator[Event]:
    """The events of a job, as they come."""
    with client.stream("GET", f"{job}/events", timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    """A job when it has ended."""
    (*_, (name, last)) = events(client, job)
    assert name == "end"
    assert client.get(job).json() == last
    return last


def reached(client: httpx.Client, job: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Returns when a job is as wanted."""
    for _, now in events(client, job):
        if wanted(now):
            return
    raise AssertionError(f"the job ended before: {now}")


def half_way(client: httpx.Client, job: str) -> None:
    """Returns when some links of a job are written, and not all."""
    reached(client, job, lambda now: 0 < now["progress"]["done"] < now["progress"]["total"])


def strengths(client: httpx.Client, name: str) -> list[list[Any]]:
    """Layer, neuron, and strengths in and out of all neurons."""
    answer = client.get(f"/v1/networks/{name}/strength", params={"limit": 100_000})
    assert answer.status_code == 200, answer.text
    rows: list[list[Any]] = answer.json()["rows"]
    return rows


def files_in(spool: Path) -> list[Path]:
    """Files that wait there for their jobs."""
    return [path for path in spool.rglob("*") if path.is_file() and path.parent.name == "model"]


def nothing_hidden(database: Database, name: str) -> bool:
    """Whether nothing of a name is in the store that no reader sees."""
    return bool(database.read(UNFINISHED, name=name).rows == [[0]])


@contextmanager
def removed(client: httpx.Client, *names: str) -> Iterator[None]:
    """Removes networks at the end, whichever there are."""
    try:
        yield
    finally:
        for name in names:
            assert client.delete(f"/v1/networks/{name}").status_code in {204, 404}
