"""Fetch the jars of the local server into the cache: checked, resumable, and offline once done."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from store.errors import DownloadFailed, LocalServerError
from store.local.artifacts import GDS, SERVER, Artifact, locked
from store.local.disk import disk_errors, is_disk_error
from store.settings import Settings

Resolver = Callable[[Artifact, Path], Path]
"""Downloads one artifact somewhere below the given empty folder and returns its file."""

_DOWNLOADS_AT_ONCE = 12
_ATTEMPTS = 2
_SOCKET_SECONDS = 30
_SCRATCH_PREFIX = ".fetch-"


@dataclass(frozen=True)
class Jars:
    """The jars of the local server on disk."""

    class_path: tuple[Path, ...]
    """Everything that Java loads: the server first, so that its versions win."""
    procedures: Path
    """Folder that the server scans for procedures."""


def fetch(
    settings: Settings, *, console: Console | None = None, resolver: Resolver | None = None
) -> Jars:
    """Make sure that every jar of the lock files is in the cache, and say where.

    Every jar is hashed on every call (0.2 s for all), so a jar that was damaged on disk is
    refused and fetched again. A complete cache is only read: no network, no write, no lock.

    Parameters
    ----------
    settings
        `cache_folder` says where the jars lie.
    console
        Where progress is shown; unset: standard error.
    resolver
        Downloads one artifact; unset: jgo's artifact resolver with its own repositories.

    Returns
    -------
    Jars
        Existing files whose SHA-256 is that of the lock files.

    Raises
    ------
    DownloadFailed
        If a jar cannot be fetched, or twice has another checksum than its lock file.
    DiskUnusable
        If the cache folder cannot be written.

    Example
    -------
    >>> fetch(Settings()).procedures.name  # doctest: +SKIP
    'procedures'
    """
    folder = settings.cache_folder.expanduser().absolute()
    artifacts = locked(SERVER) + locked(GDS)
    fetch_artifacts(artifacts, folder, console=console, resolver=resolver)
    return Jars(
        class_path=tuple(folder / artifact.file for artifact in artifacts),
        procedures=next(
            (folder / artifact.file).parent for artifact in artifacts if artifact.holds_procedures
        ),
    )


def fetch_artifacts(
    artifacts: Iterable[Artifact],
    folder: Path,
    *,
    console: Console | None = None,
    resolver: Resolver | None = None,
) -> int:
    """Fetch what of the artifacts is missing or damaged; return how many were fetched.

    Raises
    ------
    DownloadFailed, DiskUnusable
        As `fetch`.
    """
    console = console or Console(stderr=True)
    with disk_errors(folder):
        missing = _unusable(artifacts, folder)
        if not missing:
            return 0
        folder.mkdir(parents=True, exist_ok=True)
        with _only_fetcher(folder, console):
            # Another process may have fetched them while this one waited for the lock.
            missing = _unusable(missing, folder)
            _fetch_all(missing, folder, console, resolver or resolve_with_jgo)
    return len(missing)


def resolve_with_jgo(artifact: Artifact, folder: Path) -> Path:
    """Download one artifact with jgo's resolver and repositories, into the folder only.

    Raises
    ------
    LocalServerError
        If jgo is not installed.
    OSError, RuntimeError
        Whatever jgo raises when the repository or the disk refuses.
    """
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise LocalServerError(
            "The local server needs the extra `local`: pip install 'weightome[local]'."
        ) from error
    context = MavenContext(repo_cache=folder, timeout=_SOCKET_SECONDS)
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    return Path(component.artifact(classifier=artifact.classifier).resolve())


def _unusable(artifacts: Iterable[Artifact], folder: Path) -> list[Artifact]:
    """Those of the artifacts that are absent or do not have their checksum."""

    def unusable(artifact: Artifact) -> bool:
        file = folder / artifact.file
        return not file.is_file() or _sha256(file) != artifact.sha256

    asked = list(artifacts)
    with ThreadPoolExecutor() as pool:
        flags = pool.map(unusable, asked)
        return [artifact for artifact, flag in zip(asked, flags, strict=True) if flag]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _only_fetcher(folder: Path, console: Console) -> Iterator[None]:
    """Hold the cache folder's lock; tell the user when another process has it."""
    lock = FileLock(folder / "fetch.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        console.print("Another process is fetching Neo4j; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_all(
    artifacts: list[Artifact], folder: Path, console: Console, resolver: Resolver
) -> None:
    # A fetch that was killed leaves its scratch folder; the lock says that none is in use.
    for abandoned in folder.glob(f"{_SCRATCH_PREFIX}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=folder) as scratch:
        pool = ThreadPoolExecutor(_DOWNLOADS_AT_ONCE, thread_name_prefix="fetch")
        try:
            fetched = [
                pool.submit(_fetch_one, artifact, folder, Path(scratch), resolver)
                for artifact in artifacts
            ]
            with _progress(console) as progress:
                what = "Fetching Neo4j and Graph Data Science"
                task = progress.add_task(what, total=len(artifacts), megabytes=0.0)
                size = 0
                for future in as_completed(fetched):
                    size += future.result()
                    progress.update(task, advance=1, megabytes=size / 1e6)
        finally:
            # After a failure or Ctrl-C the rest is not begun; running ones end before the
            # scratch folder is removed below them.
            pool.shutdown(wait=True, cancel_futures=True)


def _progress(console: Console) -> Progress:
    if not console.is_terminal:
        console.print("Fetching Neo4j and Graph Data Science (about 175 MB).")
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[megabytes]:.0f} MB"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _fetch_one(artifact: Artifact, folder: Path, scratch: Path, resolver: Resolver) -> int:
    """Download, check and move one jar; return its size in bytes."""
    target = folder / artifact.file
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        # A fresh folder an attempt: jgo takes what it finds in its folder for good.
        attempt_folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            downloaded = resolver(artifact, attempt_folder)
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and is_disk_error(error):
                raise
            if attempt == _ATTEMPTS:
                # The cause is chained; its own text holds addresses that help nobody.
                raise DownloadFailed(
                    f"{artifact.coordinate} could not be fetched ({type(error).__name__}); "
                    "is the network there?"
                ) from error
            continue
        if _sha256(downloaded) == artifact.sha256:
            size = downloaded.stat().st_size
            downloaded.replace(target)
            return size
        downloaded.unlink()
    raise DownloadFailed(f"{artifact.coordinate} has not the checksum of its lock file.")
