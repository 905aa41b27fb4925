"""The process: who may reach it, how it starts, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http.conftest import ROOT, Service, Start
from tests.http.envelope import check


def _run(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_with_0(start: Start, number: signal.Signals) -> None:
    with start() as running:
        assert running.client.get("/health").status_code == 200
        running.process.send_signal(number)
        assert running.process.wait(60) == 0
        assert running.log() == ""


def test_a_signal_ends_it_also_under_a_slow_question(start: Start) -> None:
    slow = "UNWIND range(1, 100000000) AS x UNWIND range(1, 1000) AS y RETURN sum(x % y) AS s"
    with start("--enable-cypher") as running, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(running.client.post, "/v1/cypher", json={"cypher": slow})
        while "weightome_questions_running 1.0" not in running.client.get("/metrics").text:
            assert not answer.done()
        running.process.terminate()
        # Long before the time limit of the question.
        assert running.process.wait(60) == 0
        check(answer.result(), 503, "stopping")
        assert "Traceback" not in running.log()


def test_a_taken_port(command_environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        _fails(_run(command_environment, "--port", port), f"Port {port}", "--port")


def test_no_token_beyond_this_machine(command_environment: dict[str, str]) -> None:
    done = _run(command_environment, "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    _fails(done, "WEIGHTOME_TOKEN")


def test_settings_that_cannot_work_end_it_at_once(command_environment: dict[str, str]) -> None:
    environment = {**command_environment, "WEIGHTOME_URI": "bolt://127.0.0.1:1"}
    environment.pop("WEIGHTOME_PASSWORD", None)
    _fails(_run(environment, "--port", "0"), "WEIGHTOME_PASSWORD")


def test_it_starts_without_its_database(start: Start) -> None:
    with start(WEIGHTOME_URI="bolt://127.0.0.1:1", WEIGHTOME_PASSWORD="x") as running:
        check(running.client.get("/ready"), 503, "store_unreachable")
        assert running.client.get("/health").json() == {"status": "ok"}
        check(running.client.get("/v1/runs"), 503, "store_unreachable")
        assert running.client.get("/docs").status_code == 200
        assert "bolt://127.0.0.1:1" in running.log()
        assert "Traceback" not in running.log()


def test_a_token_beyond_this_machine_and_on_it(start: Start, tiny: str) -> None:
    for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104
        with start("--host", host, WEIGHTOME_TOKEN="right") as running:
            base = f"http://127.0.0.1:{running.port}"
            assert httpx.get(f"{base}/health").json() == {"status": "ok"}
            check(httpx.get(f"{base}/v1/networks/{tiny}/links"), 401, "unauthorized")
            wrong = {"Authorization": "Bearer wrong"}
            check(httpx.get(f"{base}/v1/runs", headers=wrong), 401, "unauthorized")
            right = {"Authorization": "Bearer right"}
            links = httpx.get(f"{base}/v1/networks/{tiny}/links", headers=right, timeout=60)
            assert links.status_code == 200
            document = httpx.get(f"{base}/openapi.json").json()
            assert "HTTPBearer" in document["components"]["securitySchemes"]


def test_the_host_header(service: Service) -> None:
    """A web page whose name was made to point here (DNS rebinding) gets nothing."""
    client, port = service.client, service.port
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0"):  # noqa: S104
        for address in ("/v1/networks", "/health", "/docs"):
            check(client.get(address, headers={"Host": host}), 400, "invalid_host")
    for host in (f"localhost:{port}", "[::1]:1", "127.0.0.1"):
        assert client.get("/health", headers={"Host": host}).status_code == 200


def test_allow_host(start: Start) -> None:
    with start("--allow-host", "Models.Example") as running:
        sent = {"Host": "models.example"}
        assert running.client.get("/health", headers=sent).status_code == 200


def test_no_other_origin_may_read(client: httpx.Client) -> None:
    answer = client.get("/v1/runs", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


def test_it_is_quiet_unless_asked(start: Start, service: Service) -> None:
    assert service.client.get("/health").status_code == 200
    assert "/health" not in service.log()
    with start("--access-log") as running:
        # A line is written once its answer is sent: the next request comes after that.
        for address in ("/health", "/docs"):
            running.client.get(address)
        assert '"path":"/health"' in running.log()
