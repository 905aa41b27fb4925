"""Model files sent to a service: what comes into the store, and what stays out."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

import ingest
from store.database import Database
from tests.graph.test_writer import counts
from tests.http.conftest import Service, Start
from tests.http.envelope import check, close
from tests.http.uploading import (
    OCTETS,
    dense_file,
    ended,
    files_in,
    half_way,
    nothing_hidden,
    post,
    removed,
    sent,
    strengths,
)
from tests.keras_files import dense, given, saved_h5, saved_keras, sequential

CHANCE = np.random.default_rng(7)
FIRST, SECOND = (CHANCE.normal(size=size).astype(np.float32) for size in ((5, 4), (4, 3)))


@pytest.fixture(scope="module")
def uploads(
    start: Start, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Path]]:
    """A service with a spool of its own."""
    assert tiny == "tiny"
    spool = tmp_path_factory.mktemp("spool")
    with start("--spool", str(spool)) as running:
        yield running, spool


@pytest.fixture(scope="module")
def client(uploads: tuple[Service, Path]) -> httpx.Client:
    return uploads[0].client


@pytest.fixture(scope="module")
def spool(uploads: tuple[Service, Path]) -> Path:
    return uploads[1]


def _safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    path = folder / "model.safetensors"
    save_file({"1.weight": FIRST.T.copy(), "2.weight": SECOND.T.copy()}, path)
    return path


def _onnx(folder: Path) -> Path:
    path = folder / "model.onnx"
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["between"], "fc1"),
        helper.make_node("MatMul", ["between", "second"], ["y"], "fc2"),
    ]
    source, target = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", 5), ("y", 3))
    )
    tensors = [
        numpy_helper.from_array(FIRST, "first"),
        numpy_helper.from_array(SECOND, "second"),
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [source], [target], tensors)), path)
    return path


def _state_dict(folder: Path) -> Path:
    import torch

    path = folder / "model.pt"
    torch.save(
        {"1.weight": torch.tensor(FIRST.T.copy()), "2.weight": torch.tensor(SECOND.T.copy())}, path
    )
    return path


KERAS = sequential(
    given("input", 5), dense("one", 4, use_bias=False), dense("two", 3, use_bias=False)
)
KERAS_WEIGHTS = {"one": {"kernel": FIRST}, "two": {"kernel": SECOND}}


@pytest.mark.parametrize(
    "make",
    [
        _safetensors,
        _onnx,
        _state_dict,
        lambda folder: saved_h5(folder, KERAS, KERAS_WEIGHTS),
        lambda folder: saved_keras(folder, KERAS, KERAS_WEIGHTS),
    ],
    ids=["safetensors", "onnx", "pt", "h5", "keras"],
)
def test_a_file_becomes_the_network_that_ingest_makes_of_it(
    client: httpx.Client,
    spool: Path,
    database: Database,
    tmp_path: Path,
    make: Callable[[Path], Path],
) -> None:
    path = make(tmp_path)
    with removed(client, "sent", "direct"):
        job = ended(client, sent(client, path, name="sent", run="sending", step=3))
        assert job["state"] == "done"
        assert job["progress"] == {"phase": "ended", "done": 32, "total": 32}
        assert "error" not in job
        assert job["created"] <= job["finished"]
        ingest.ingest(path, name="direct", database=database)
        rows = strengths(client, "sent")
        assert rows == close(strengths(client, "direct"))
        columns = client.get("/v1/networks/sent/strength").json()["columns"]
        into = [row[columns.index("in")] for row in rows]
        first, second = FIRST.astype(float), SECOND.astype(float)
        expected = [*[0.0] * 5, *first.sum(axis=0), *second.sum(axis=0)]
        assert into == pytest.approx(expected, rel=1e-12)
        listed = client.get("/v1/networks", params={"run": "sending"}).json()
        (row,) = listed["rows"]
        assert row[:3] == ["sent", "sending", 3]
        assert files_in(spool) == []
    assert client.get("/v1/networks", params={"run": "sending"}).status_code == 404


def test_unrolled_and_replaced(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "conv.onnx"
    kernel = np.ones((1, 1, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3])],
        [numpy_helper.from_array(kernel, "w")],
    )
    onnx.save(helper.make_model(graph), path)

    def links() -> int:
        answer = client.get("/v1/networks").json()
        position = answer["columns"].index("links")
        (found,) = [row[position] for row in answer["rows"] if row[0] == "conv"]
        return int(found)

    with removed(client, "conv"):
        assert ended(client, sent(client, path, name="conv"))["state"] == "done"
        assert links() == 3
        check(post(client, path, name="conv", view="unrolled"), 409, "conflict")
        again = sent(client, path, name="conv", view="unrolled", replace=True)
        assert ended(client, again)["state"] == "done"
        assert links() == 9


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "code", "said"),
    [
        ({"name": ""}, "invalid_name", "A network needs a name that is not empty."),
        ({"name": "a\nb"}, "invalid_name", "control character"),
        ({"name": ".."}, "invalid_name", "cannot be called"),
        ({"view": "rolled"}, "invalid_argument", "'view' is not usable"),
        ({"step": "3"}, "invalid_argument", "name the run too"),
        ({"run": "training"}, "invalid_argument", "needs a step"),
        ({"run": "training", "step": str(2**63)}, "invalid_argument", "64 bits"),
        ({"run": "training", "step": "one"}, "invalid_argument", "'step' is not usable"),
        ({"replace": "perhaps"}, "invalid_argument", "'replace' is not usable"),
        ({"factory": "os:system"}, "invalid_argument", "no parameter 'factory'"),
        ({"file": "model"}, "invalid_argument", "its name ends with none of .onnx"),
        ({"file": "model.sh"}, "invalid_argument", "its name ends with none of .onnx"),
        ({"file": "model.onnx/.."}, "invalid_argument", "its name ends with none of .onnx"),
        ({"file": ".onnx"}, "invalid_argument", "its name ends with none of .onnx"),
        ({"file": "a\x00.onnx"}, "invalid_argument", "control character"),
        ({"file": "a\u202exnno.onnx"}, "invalid_argument", "control character"),
        ({"file": "n" * 300 + ".onnx"}, "invalid_argument", "more than 200 bytes"),
        ({"file": "model.zip"}, "invalid_argument", "A folder as .zip is not taken"),
    ],
)
def test_what_cannot_be_is_said_before_the_file_is_sent(
    uploads: tuple[Service, Path], parameters: dict[str, str], code: str, said: str
) -> None:
    """The request announces ten million bytes and sends none of them."""
    answer = _head_only(
        uploads[0].port, {"name": "never", "file": "model.onnx", **parameters}, length=10_000_000
    )
    assert said in check(answer, 400, code)
    assert files_in(uploads[1]) == []


def _head_only(port: int, parameters: dict[str, str], length: int) -> httpx.Response:
    """The answer to a request whose body never comes."""
    query = httpx.QueryParams(parameters)
    head = (
        f"POST /v1/networks?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            part = connection.recv(65536)
            assert part, received
            received += part
    first, _, body = received.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)  # type: ignore[arg-type]


def test_a_name_that_is_taken(
    client: httpx.Client, uploads: tuple[Service, Path], tiny: str
) -> None:
    answer = _head_only(uploads[0].port, {"name": tiny, "file": "a.onnx"}, length=10_000_000)
    assert check(answer, 409, "conflict") == (
        "There is a network 'tiny' already: choose another name, or send replace=true."
    )
    assert client.get(f"/v1/networks/{tiny}/layers").status_code == 200


def test_only_the_file_itself_is_taken(client: httpx.Client) -> None:
    parameters = {"name": "form", "file": "a.onnx"}
    form = client.post("/v1/networks", params=parameters, files={"file": b"x"})
    check(form, 415, "unsupported_media_type")
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json"},
        {},
        {**OCTETS, "Content-Encoding": "gzip"},
    ):
        answer = client.post("/v1/networks", params=parameters, content=b"x", headers=headers)
        check(answer, 415, "unsupported_media_type")
    empty = client.post("/v1/networks", params=parameters, content=b"", headers=OCTETS)
    assert "The body is empty" in check(empty, 400, "invalid_argument")
    for method in ("PUT", "PATCH"):
        check(client.request(method, "/v1/networks"), 405, "method_not_allowed")


def test_a_file_that_is_too_long_leaves_nothing(start: Start, tmp_path: Path) -> None:
    parameters = {"name": "long", "file": "a.onnx"}
    with start("--spool", str(tmp_path), "--upload-limit", "1") as running:
        client = running.client

        def pieces() -> Iterator[bytes]:
            for _ in range(40):
                yield bytes(50_000)

        for content in (bytes(1_000_001), pieces()):
            answer = client.post("/v1/networks", params=parameters, content=content, headers=OCTETS)
            assert "1000000 bytes at most" in check(answer, 413, "body_too_large")
            assert files_in(tmp_path) == []
        whole = client.post(
            "/v1/networks", params=parameters, content=bytes(1_000_000), headers=OCTETS
        )
        assert whole.status_code == 202
        assert ended(client, whole.headers["location"])["error"]["code"] == "unreadable_model"


def test_a_file_is_not_held_in_memory(uploads: tuple[Service, Path]) -> None:
    service, spool = uploads
    process = psutil.Process(service.process.pid)
    before = process.memory_info().rss

    def pieces() -> Iterator[bytes]:
        for _ in range(150):
            yield bytes(1_000_000)

    answer = service.client.post(
        "/v1/networks", params={"name": "zeros", "file": "0.onnx"}, content=pieces(), headers=OCTETS
    )
    assert answer.status_code == 202
    assert process.memory_info().rss - before < 50_000_000
    assert ended(service.client, answer.headers["location"])["state"] == "failed"
    assert files_in(spool) == []


def test_a_service_without_uploads(start: Start, tmp_path: Path) -> None:
    path = dense_file(tmp_path / "a.safetensors", 3, 2)
    with start("--upload-limit", "0") as running:
        check(post(running.client, path, name="off"), 403, "uploads_disabled")
        for address in ("/v1/jobs", "/v1/jobs/1", "/v1/jobs/1/events"):
            check(running.client.get(address), 403, "uploads_disabled")
        check(running.client.delete("/v1/networks/off"), 404, "not_found")


def test_a_spool_that_cannot_be(start: Start, server: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with (
        pytest.raises(AssertionError, match=r"cannot wait in .*name another folder with --spool"),
        start("--spool", str(file)),
    ):
        pass
    uri, password = server
    known = {"WEIGHTOME_URI": uri, "WEIGHTOME_PASSWORD": password}
    with start(WEIGHTOME_HOME=str(file), **known) as running:
        assert "takes no files" in running.log()
        check(running.client.get("/v1/jobs"), 403, "uploads_disabled")


def _pickle(folder: Path) -> Path:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("it ran",))

    path = folder / "evil.pt"
    path.write_bytes(pickle.dumps({"weight": Evil()}, protocol=2))
    return path


def _truncated(folder: Path) -> Path:
    path = folder / "torn.safetensors"
    whole = dense_file(path, 30, 20).read_bytes()
    path.write_bytes(whole[:-1000])
    return path


def _not_finite(folder: Path) -> Path:
    from safetensors.numpy import save_file

    path = folder / "nan.safetensors"
    save_file({"w": np.full((2, 2), np.nan, dtype=np.float32)}, path)
    return path


def _other(folder: Path) -> Path:
    path = folder / "prose.onnx"
    path.write_text("No model at all.")
    return path


@pytest.mark.parametrize("make", [_pickle, _truncated, _not_finite, _other])
def test_a_broken_file_fails_in_the_words_of_ingest(
    client: httpx.Client,
    uploads: tuple[Service, Path],
    spool: Path,
    database: Database,
    tmp_path: Path,
    make: Callable[[Path], Path],
) -> None:
    path = make(tmp_path)
    with pytest.raises(Exception, match=r"\w") as caught:
        ingest.read(path)
    before = counts(database)
    job = ended(client, sent(client, path, name="broken"))
    assert job["state"] == "failed"
    assert job["error"]["code"] == getattr(caught.value, "code", "")
    assert job["error"]["message"] == " ".join(str(caught.value).split())
    assert counts(database) == before
    assert nothing_hidden(database, "broken")
    assert files_in(spool) == []
    assert "it ran" not in uploads[0].log()
    assert str(spool) not in str(job)


def test_a_path_in_the_files_name_leads_nowhere(
    client: httpx.Client, spool: Path, tmp_path: Path
) -> None:
    path = _other(tmp_path)
    for name in ("../../../tmp/evil.onnx", "/etc/evil.onnx", "C:\\windows\\evil.onnx"):
        job = ended(client, sent(client, path, name="path", file=name))
        assert job["file"] == "evil.onnx"
        assert "'evil.onnx'" in job["error"]["message"]
    assert not list(spool.parent.glob("*.onnx"))


def test_a_client_that_breaks_off_leaves_nothing(
    uploads: tuple[Service, Path], client: httpx.Client, tmp_path: Path
) -> None:
    service, spool = uploads
    head = (
        "POST /v1/networks?name=left&file=a.safetensors HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 9000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as connection:
        connection.sendall(head.encode() + bytes(3_000_000))
        _until(lambda: bool(files_in(spool)) and files_in(spool)[0].stat().st_size > 0)
        assert oct(files_in(spool)[0].stat().st_mode)[-3:] == "600"
        assert "is being sent at this moment" in check(
            post(client, dense_file(tmp_path / "a.safetensors", 3, 2), name="left"),
            409,
            "conflict",
        )
        check(client.delete("/v1/networks/left"), 409, "conflict")
    _until(lambda: not files_in(spool))
    with removed(client, "left"):
        job = ended(client, sent(client, tmp_path / "a.safetensors", name="left"))
        assert job["state"] == "done"
    assert "Traceback" not in service.log()


def _until(wanted: Callable[[], bool]) -> None:
    """Returns when something is so; a test that waits for ever is ended by its runner."""
    looked = threading.Event()
    for _ in range(6_000):
        if wanted():
            return
        looked.wait(0.02)
    raise AssertionError("it never was")


# -- removing ----------------------------------------------------------------------------------


def test_delete(client: httpx.Client, database: Database, tmp_path: Path) -> None:
    before = counts(database)
    path = dense_file(tmp_path / "a.safetensors", 6, 5, 4)
    name = "a/b c?%2F"
    assert ended(client, sent(client, path, name=name))["state"] == "done"
    address = "/v1/networks/a%2Fb%20c%3F%252F"
    assert client.get(f"{address}/layers").status_code == 200
    check(client.delete(f"{address}?x=1"), 400, "invalid_argument")
    answer = client.delete(address)
    assert (answer.status_code, answer.content) == (204, b"")
    check(client.get(f"{address}/layers"), 404, "not_found")
    check(client.delete(address), 404, "not_found")
    assert counts(database) == before


# The store is not a new one: that has no node of its own yet.
@pytest.mark.usefixtures("tiny")
def test_a_network_that_is_being_written_is_not_deleted(
    start: Start, database: Database, tmp_path: Path
) -> None:
    small = dense_file(tmp_path / "small.safetensors", 3, 2)
    large = dense_file(tmp_path / "large.safetensors", 300, 400)
    before = counts(database)
    with (
        start("--spool", str(tmp_path / "spool"), WEIGHTOME_BLOCK_LINKS="500") as running,
        start() as other,
    ):
        client = running.client
        assert ended(client, sent(client, small, name="both"))["state"] == "done"
        job = sent(client, large, name="both", replace=True)
        half_way(client, job)
        said = check(client.delete("/v1/networks/both"), 409, "conflict")
        assert job.rpartition("/")[2] in said
        # One that knows nothing of the job sees it in the store.
        said = check(other.client.delete("/v1/networks/both"), 409, "conflict")
        assert "Another process is writing" in said
        assert len(strengths(client, "both")) == 5, "the old one is there until the end"
        assert client.delete(job).status_code == 202
        assert ended(client, job)["state"] == "cancelled"
        assert len(strengths(client, "both")) == 5
        assert client.delete("/v1/networks/both").status_code == 204
    assert counts(database) == before
