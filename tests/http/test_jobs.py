"""Jobs of a real service: their events, their end, and what they outlive."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from store.database import Database
from store.settings import Settings
from tests.graph.test_writer import counts
from tests.http.conftest import Service, Start
from tests.http.envelope import check
from tests.http.relay import relayed
from tests.http.uploading import (
    PATIENCE,
    dense_file,
    ended,
    events,
    files_in,
    half_way,
    nothing_hidden,
    post,
    removed,
    sent,
    strengths,
)

SMALL_BLOCKS = {"WEIGHTOME_BLOCK_LINKS": "1000"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return dense_file(tmp_path / "small.safetensors", 3, 2)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Of 60,000 links: dozens of transactions where one has a thousand."""
    return dense_file(tmp_path / "large.safetensors", 200, 300, seed=3)


def right(client: httpx.Client, name: str, file: Path) -> bool:
    """Whether the strengths of a network are those of the file's matrices."""
    into: list[float] = []
    for matrix in load_file(file).values():
        into = [*(into or [0.0] * matrix.shape[1]), *matrix.astype(np.float64).sum(axis=1)]
    return [row[3] for row in strengths(client, name)] == pytest.approx(into, rel=1e-12)


def worker_of(service: Service) -> psutil.Process:
    """The process that ingests a file."""
    (found,) = [
        child
        for child in psutil.Process(service.process.pid).children()
        if "ingest.worker" in child.cmdline()
    ]
    return found


def gone(process: psutil.Process) -> bool:
    """Whether a process ends."""
    return not psutil.wait_procs([process], timeout=PATIENCE)[1]


def test_events_come_in_order_to_all_who_listen(
    start: Start, large: Path, small: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with (
        start("--spool", str(spool), **SMALL_BLOCKS) as running,
        removed(running.client, "heard", "after"),
        ThreadPoolExecutor(4) as threads,
    ):
        client = running.client
        job = sent(client, large, name="heard")
        listening = [threads.submit(lambda: list(events(client, job))) for _ in range(3)]
        waiting = sent(client, small, name="after")
        assert client.get(waiting).json()["state"] == "queued"
        assert [one["name"] for one in client.get("/v1/jobs").json()["jobs"]] == ["after", "heard"]
        half_way(client, job)  # and leaves: the others hear on
        for listener in listening:
            heard = listener.result(PATIENCE)
            assert [name for name, _ in heard] == ["progress"] * (len(heard) - 1) + ["end"]
            done = [now["progress"]["done"] for _, now in heard]
            assert done == sorted(done)
            assert done[-1] == 60_000
            phases = [now["progress"]["phase"] for _, now in heard]
            steps = ["starting", "reading", "writing", "verifying", "ended"]
            assert phases == sorted(phases, key=steps.index)
            assert {"writing", "ended"} <= set(phases)
            assert heard[-1][1]["state"] == "done"
        assert right(client, "heard", large)
        assert [name for name, _ in events(client, job)] == ["end"], "who comes late hears the end"
        assert ended(client, waiting)["state"] == "done"
        check(client.get("/v1/jobs/none"), 404, "not_found")
        check(client.get("/v1/jobs/none/events"), 404, "not_found")
        check(client.delete("/v1/jobs/none"), 404, "not_found")
        check(client.delete(job), 409, "conflict")
        check(client.get(f"{job}?x=1"), 400, "invalid_argument")
        with client.stream("GET", f"{job}/events") as answer:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-accel-buffering"] == "no"
        assert "weightome_jobs" in client.get("/metrics").text
        assert "Traceback" not in running.log()


def test_cancelled_half_way_nothing_is_left(
    start: Start, database: Database, tmp_path: Path
) -> None:
    """1.8 million links."""
    path = dense_file(tmp_path / "million.safetensors", 1_000, 1_800)
    spool = tmp_path / "spool"
    before = counts(database)
    with start("--spool", str(spool)) as running:
        job = sent(running.client, path, name="million")
        half_way(running.client, job)
        worker = worker_of(running)
        assert running.client.delete(job).status_code == 202
        last = ended(running.client, job)
        assert last["state"] == "cancelled"
        assert "error" not in last
        assert gone(worker)
        assert counts(database) == before
        assert nothing_hidden(database, "million")
        assert files_in(spool) == []
        check(running.client.get("/v1/networks/million/layers"), 404, "not_found")
        check(running.client.delete(job), 409, "conflict")
        assert "Traceback" not in running.log()


def test_only_so_many_wait(start: Start, large: Path, small: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with start("--spool", str(spool), **SMALL_BLOCKS) as running:
        client = running.client
        first = sent(client, large, name="first")
        waiting = [sent(client, small, name=f"waits-{number}") for number in range(8)]
        refused = post(client, small, name="too many")
        assert "8 jobs wait already" in check(refused, 429, "too_many_jobs")
        assert int(refused.headers["retry-after"]) > 0
        check(post(client, small, name="waits-3"), 409, "conflict")
        for job in waiting:
            cancelled = client.delete(job)
            assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
        assert len(files_in(spool)) == 1
        client.delete(first)
        assert ended(client, first)["state"] == "cancelled"
        assert files_in(spool) == []
        states = [job["state"] for job in client.get("/v1/jobs").json()["jobs"]]
        assert states == ["cancelled"] * 9


def test_a_killed_ingest_fails_and_leaves_nothing(
    start: Start, database: Database, large: Path, small: Path, tmp_path: Path
) -> None:
    before = counts(database)
    with start("--spool", str(tmp_path / "spool"), **SMALL_BLOCKS) as running:
        client = running.client
        job, after = sent(client, large, name="killed"), sent(client, small, name="after")
        half_way(client, job)
        worker_of(running).kill()
        last = ended(client, job)
        assert last["state"] == "failed"
        assert last["error"]["code"] == "ingest_broke_off"
        assert "was killed" in last["error"]["message"]
        assert nothing_hidden(database, "killed")
        with removed(client, "after"):
            assert ended(client, after)["state"] == "done"
        assert counts(database) == before


# -- the service ends --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_next_service_goes_on(
    start: Start,
    database: Database,
    large: Path,
    small: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    options = ("--spool", str(tmp_path / "spool"))
    with start(*options, **SMALL_BLOCKS) as first:
        job, after = sent(first.client, large, name="goes on"), sent(first.client, small, name="b")
        half_way(first.client, job)
        worker = worker_of(first)
        with ThreadPoolExecutor(1) as threads:
            listening = threads.submit(_until_cut, first.client, job)
            first.process.send_signal(number)
            status = first.process.wait(PATIENCE)
            assert status == (0 if number is signal.SIGTERM else -signal.SIGKILL)
            assert "end" not in listening.result(PATIENCE)
        # It ends with its service, however that ends.
        assert gone(worker)
        assert "Traceback" not in first.log()
    assert not nothing_hidden(database, "goes on"), "it is there to be gone on with"
    with start(*options, **SMALL_BLOCKS) as second, removed(second.client, "goes%20on", "b"):
        listed = second.client.get("/v1/jobs").json()["jobs"]
        assert [f"/v1/jobs/{one['id']}" for one in listed] == [after, job]
        last = ended(second.client, job)
        assert (last["state"], last["progress"]["done"]) == ("done", 60_000)
        assert right(second.client, "goes%20on", large)
        assert ended(second.client, after)["state"] == "done"
        assert right(second.client, "b", small)
        assert files_in(tmp_path / "spool") == []
        assert "Traceback" not in second.log()


def _until_cut(client: httpx.Client, job: str) -> list[str]:
    """Names of the events until the service goes."""
    names = []
    try:
        for name, _ in events(client, job):
            names.append(name)
    except httpx.HTTPError:
        pass
    return names


# -- the database goes -------------------------------------------------------------------------


def test_the_database_is_cut_off_for_a_while(
    start: Start, server: tuple[str, str], large: Path, small: Path, tmp_path: Path
) -> None:
    uri, password = server
    with (
        relayed(uri) as relay,
        start(
            "--spool",
            str(tmp_path / "spool"),
            WEIGHTOME_URI=f"bolt://127.0.0.1:{relay.port}",
            WEIGHTOME_PASSWORD=password,
            **SMALL_BLOCKS,
        ) as running,
        removed(running.client, "cut"),
    ):
        client = running.client
        job = sent(client, large, name="cut")
        half_way(client, job)
        relay.disconnect()
        check(client.get("/v1/networks"), 503, "store_unreachable")
        check(post(client, small, name="meanwhile"), 503, "store_unreachable")
        _reached_waiting(client, job)
        assert client.get(job).json()["state"] == "running"
        relay.cut = False
        last = ended(client, job)
        assert (last["state"], last["progress"]["done"]) == ("done", 60_000)
        assert right(client, "cut", large)
        assert "Traceback" not in running.log()


def _reached_waiting(client: httpx.Client, job: str) -> None:
    for _, now in events(client, job):
        if now["progress"]["phase"] == "waiting":
            return
    raise AssertionError("the job did not wait")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_neo4j_stops_and_starts_again(
    start: Start, settings: Settings, tmp_path: Path, large: Path, how: str
) -> None:
    """A server of this test's own, reached at its address, so that only the test starts it."""
    from store.local.server import down, up

    own = settings.model_copy(
        update={"home": tmp_path / "home", "uri": None, "heap_mb": 1024, "page_cache_mb": 256}
    )
    server = up(own)
    try:
        with start(
            "--spool",
            str(tmp_path / "spool"),
            WEIGHTOME_URI=server.uri,
            WEIGHTOME_PASSWORD=server.password.get_secret_value(),
            **SMALL_BLOCKS,
        ) as running:
            client = running.client
            job = sent(client, large, name="outlives")
            half_way(client, job)
            if how == "killed":
                java = psutil.Process(server.pid)
                java.kill()
                assert gone(java)
            else:
                down(own)
            check(client.get("/v1/networks"), 503, "store_unreachable")
            assert client.get(job).json()["state"] == "running"
            assert up(own, port=server.port).uri == server.uri
            last = ended(client, job)
            assert (last["state"], last["progress"]["done"]) == ("done", 60_000), last
            assert right(client, "outlives", large)
            assert client.get("/v1/networks").json()["rows"][0][0] == "outlives"
            assert "Traceback" not in running.log()
    finally:
        down(own)
