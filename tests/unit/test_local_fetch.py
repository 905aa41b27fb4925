"""The cache of jars: resumed, checked, atomic, offline once complete."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from store.errors import DiskUnusable, DownloadFailed
from store.local.artifacts import Artifact
from store.local.fetch import fetch_artifacts, resolve_with_jgo


def content(name: str) -> bytes:
    return f"jar {name}".encode()


def artifact(name: str) -> Artifact:
    return Artifact("server", "g", name, "1", "", hashlib.sha256(content(name)).hexdigest())


JARS = tuple(artifact(name) for name in "abcdefgh")


class Repository:
    """Hands out the jars, records who asked, and spoils what it is told to spoil."""

    def __init__(self, spoil: Callable[[Artifact, int], bytes | None] | None = None) -> None:
        self.asked: list[str] = []
        self._spoil = spoil
        self._lock = threading.Lock()

    def __call__(self, wanted: Artifact, folder: Path) -> Path:
        with self._lock:
            self.asked.append(wanted.name)
            times = self.asked.count(wanted.name)
        spoilt = self._spoil(wanted, times) if self._spoil else None
        file = folder / "download.jar"
        file.write_bytes(content(wanted.name) if spoilt is None else spoilt)
        return file


def unreachable(wanted: Artifact, folder: Path) -> Path:
    raise ConnectionError(f"https://somewhere/{wanted.name} and much more")


def quiet() -> Console:
    return Console(quiet=True)


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


COMPLETE = {jar.file for jar in JARS} | {"fetch.lock"}


def test_every_jar_is_fetched_once_and_nothing_else_stays(tmp_path: Path) -> None:
    repository = Repository()
    assert fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository) == 8
    assert sorted(repository.asked) == list("abcdefgh")
    assert files_in(tmp_path) == COMPLETE
    assert (tmp_path / "server/g-c-1.jar").read_bytes() == b"jar c"


def test_a_complete_cache_asks_no_network_and_writes_nothing(tmp_path: Path) -> None:
    fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=Repository())
    (tmp_path / "fetch.lock").unlink()
    assert fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=unreachable) == 0
    assert files_in(tmp_path) == COMPLETE - {"fetch.lock"}


def test_an_interrupted_fetch_is_resumed(tmp_path: Path) -> None:
    fetch_artifacts(JARS[:5], tmp_path, console=quiet(), resolver=Repository())
    kept = (tmp_path / JARS[0].file).stat().st_mtime_ns
    (tmp_path / ".fetch-killed" / "deep").mkdir(parents=True)
    repository = Repository()
    assert fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository) == 3
    assert sorted(repository.asked) == ["f", "g", "h"]
    assert (tmp_path / JARS[0].file).stat().st_mtime_ns == kept
    assert files_in(tmp_path) == COMPLETE
    assert not (tmp_path / ".fetch-killed").exists()


@pytest.mark.parametrize("damage", [b"", b"jar d but longer", b"jar x"])
def test_a_jar_damaged_on_disk_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=Repository())
    (tmp_path / "server/g-d-1.jar").write_bytes(damage)
    repository = Repository()
    assert fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository) == 1
    assert repository.asked == ["d"]
    assert (tmp_path / "server/g-d-1.jar").read_bytes() == b"jar d"


def test_a_poisoned_download_is_tried_once_more(tmp_path: Path) -> None:
    repository = Repository(
        lambda wanted, times: b"poison" if wanted.name == "b" and times == 1 else None
    )
    fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository)
    assert repository.asked.count("b") == 2
    assert (tmp_path / "server/g-b-1.jar").read_bytes() == b"jar b"


def test_a_download_poisoned_twice_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    repository = Repository(lambda wanted, times: b"poison" if wanted.name == "b" else None)
    with pytest.raises(DownloadFailed) as raised:
        fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository)
    assert str(raised.value) == "g:b:1 has not the checksum of its lock file."
    assert repository.asked.count("b") == 2
    assert not (tmp_path / "server/g-b-1.jar").exists()
    assert files_in(tmp_path) < COMPLETE


def test_a_network_failure_names_the_artifact_and_no_address(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as raised:
        fetch_artifacts(JARS[:1], tmp_path, console=quiet(), resolver=unreachable)
    assert str(raised.value) == (
        "g:a:1 could not be fetched (ConnectionError); is the network there?"
    )
    assert files_in(tmp_path) == {"fetch.lock"}


def test_a_full_disk_is_told_as_such_and_not_tried_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def full(wanted: Artifact, folder: Path) -> Path:
        asked.append(wanted.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskUnusable) as raised:
        fetch_artifacts(JARS[:1], tmp_path, console=quiet(), resolver=full)
    assert str(raised.value) == f"{tmp_path} cannot be used: No space left on device."
    assert asked == ["a"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("I am a file")
    with pytest.raises(DiskUnusable, match="cache cannot be used"):
        fetch_artifacts(JARS, tmp_path / "cache", console=quiet(), resolver=Repository())


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(DiskUnusable, match=r"^/proc/weightome cannot be used: .*\.$"):
        fetch_artifacts(JARS, Path("/proc/weightome"), console=quiet(), resolver=Repository())


def test_two_at_once_fetch_each_jar_once(tmp_path: Path) -> None:
    repository = Repository()
    counts: list[int] = []

    def one() -> None:
        counts.append(fetch_artifacts(JARS, tmp_path, console=quiet(), resolver=repository))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(repository.asked) == list("abcdefgh")
    assert files_in(tmp_path) == COMPLETE
    assert len(counts) == 4


def test_without_a_terminal_one_line_is_printed_and_only_when_fetching(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream)
    fetch_artifacts(JARS, tmp_path, console=console, resolver=Repository())
    fetch_artifacts(JARS, tmp_path, console=console, resolver=Repository())
    assert stream.getvalue() == "Fetching Neo4j and Graph Data Science (about 175 MB).\n"


def test_with_a_terminal_a_bar_counts_the_jars(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    fetch_artifacts(JARS, tmp_path, console=console, resolver=Repository())
    assert "8/8" in stream.getvalue()


@pytest.fixture
def web_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that jgo takes for its repository, over HTTP on this machine."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(
        "jgo.maven._core.DEFAULT_REMOTE_REPOS",
        {"here": f"http://127.0.0.1:{server.server_address[1]}"},
    )
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_jgo_downloads_into_the_cache_and_not_into_the_home_of_the_user(
    web_repository: Path, tmp_path: Path
) -> None:
    served = web_repository / "com" / "example" / "tool" / "2" / "tool-2-linux.jar"
    served.parent.mkdir(parents=True)
    served.write_bytes(content("tool"))
    sha256 = hashlib.sha256(content("tool")).hexdigest()
    tool = Artifact("gds", "com.example", "tool", "2", "linux", sha256)
    cache = tmp_path / "cache"
    fetch_artifacts([tool], cache, console=quiet(), resolver=resolve_with_jgo)
    assert files_in(cache) == {"gds/com.example-tool-2-linux.jar", "fetch.lock"}
    assert (cache / tool.file).read_bytes() == b"jar tool"
    assert not (tmp_path / "user").exists()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_jgo_cannot_find_is_a_failed_download(web_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as raised:
        fetch_artifacts([JARS[0]], tmp_path / "cache", console=quiet())
    message = str(raised.value)
    del raised
    gc.collect()  # jgo does not close the answer: be warned here, where that is ignored
    assert message == "g:a:1 could not be fetched (RuntimeError); is the network there?"
