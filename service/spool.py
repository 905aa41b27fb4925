"""The folder where files wait for their jobs, and what a service leaves there when it ends.

::

    ROOT/lock                    held while a service begins or ends
    ROOT/SERVICE/lock            held for as long as that service lives
    ROOT/SERVICE/JOB/record.json
    ROOT/SERVICE/JOB/lock        held by the process that ingests the file
    ROOT/SERVICE/JOB/model/FILE

A service takes up the jobs of those that no longer live. Each root belongs to one store.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from service.jobs import ENDED, Record
from store.errors import SettingsError
from store.local.disk import write_atomically
from store.settings import Settings

_log = logging.getLogger("weightome.service")

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_RECORD = "record.json"
_LOCK = "lock"
_MODEL = "model"


def root_for(settings: Settings, folder: Path | None = None) -> Path:
    """Where services of a store have their spools.

    Parameters
    ----------
    settings
        What names the store.
    folder
        Holds the roots of all stores; default: ``spool`` in the home folder.
    """
    home = settings.home.expanduser().absolute()
    store = f"{settings.uri}|{settings.database}" if settings.uri else str(home)
    digest = hashlib.sha256(store.encode()).hexdigest()[:16]
    return (folder.expanduser().absolute() if folder else home / "spool") / digest


def prepare(root: Path) -> None:
    """Makes the folder.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
        root.chmod(_PRIVATE_FOLDER)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(f"{root} is not writable")
    except OSError as error:
        raise SettingsError(
            f"Uploaded files cannot wait in {root} ({error.strerror or error}): name another "
            "folder with --spool, or serve without uploads with --upload-limit 0."
        ) from error


class Spool:
    """The spool of one service.

    Parameters
    ----------
    root
        Of the store's services.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spool = Spool(Path(folder))
    ...     taken_up = spool.open()
    ...     spool.close()
    >>> taken_up
    []
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._own = root / uuid.uuid4().hex
        self._lock = FileLock(self._own / _LOCK, mode=_PRIVATE_FILE, thread_local=False)

    def open(self) -> list[Record]:
        """Begins; the jobs that services left which ended."""
        self._root.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
        with self._beginning():
            self._own.mkdir(mode=_PRIVATE_FOLDER)
            self._lock.acquire(blocking=False)
            for folder in self._root.iterdir():
                if folder.is_dir() and folder != self._own:
                    self._take_up(folder)
        return [self._record(folder) for folder in self._jobs(self._own)]

    def close(self) -> None:
        """Ends; jobs stay for the next service."""
        with self._beginning():
            self._lock.release()
            if not list(self._jobs(self._own)):
                shutil.rmtree(self._own)

    @contextmanager
    def coming(self, file: str) -> Iterator[tuple[str, Path]]:
        """A new job's id, and where its file is to be written; what is not kept by the end of the
        block is removed."""
        identity = uuid.uuid4().hex[:16]
        path = self.model(identity) / file
        try:
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=_PRIVATE_FOLDER)
            path.touch(mode=_PRIVATE_FILE)
            yield identity, path
        finally:
            if not (self._own / identity / _RECORD).exists():
                self.forget(identity)

    def model(self, identity: str) -> Path:
        """Folder of a job's file; it holds nothing else, for a model may name files beside it."""
        return self._own / identity / _MODEL

    def lock(self, identity: str) -> Path:
        """What the process that ingests a job's file holds."""
        return self._own / identity / _LOCK

    def free_bytes(self) -> int:
        """Room on the disk, in bytes."""
        return shutil.disk_usage(self._own).free

    def keep(self, record: Record) -> None:
        """Writes a record; the file of a job that ended goes."""
        folder = self._own / record.job.id
        write_atomically(folder / _RECORD, record.model_dump_json(), mode=_PRIVATE_FILE)
        if record.job.state in ENDED:
            shutil.rmtree(folder / _MODEL, ignore_errors=True)

    def forget(self, identity: str) -> None:
        """Removes all of a job."""
        shutil.rmtree(self._own / identity, ignore_errors=True)

    def _beginning(self) -> FileLock:
        return FileLock(self._root / _LOCK, mode=_PRIVATE_FILE)

    def _take_up(self, folder: Path) -> None:
        """Moves the jobs of a service here, unless it lives."""
        theirs = FileLock(folder / _LOCK, mode=_PRIVATE_FILE)
        try:
            theirs.acquire(blocking=False)
        except Timeout:
            return
        theirs.release()
        for job in self._jobs(folder):
            job.rename(self._own / job.name)
        # What is left are files that came when the service ended.
        shutil.rmtree(folder)

    def _jobs(self, folder: Path) -> Iterator[Path]:
        for job in sorted(folder.iterdir()):
            if not (job / _RECORD).is_file():
                continue
            try:
                self._record(job)
            except (ValidationError, UnicodeDecodeError) as error:
                _log.warning("The record of job %s cannot be read: %s", job.name, error)
                continue
            yield job

    @staticmethod
    def _record(job: Path) -> Record:
        return Record.model_validate_json((job / _RECORD).read_text("utf-8"))
