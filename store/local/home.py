"""The folder of a local server: its layout, its password and the record of its process."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import SecretStr
from rich.console import Console

from store.errors import DiskUnusable, ServerFailed
from store.local.disk import disk_errors, write_atomically
from store.settings import Settings

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_PASSWORD_BYTES = 24


@dataclass(frozen=True)
class Record:
    """What `up` notes about the process that it started."""

    pid: int
    created: float
    """When the process began, in seconds since 1970: a reused pid has another."""
    port: int


@dataclass(frozen=True)
class Home:
    """Paths below the home folder, and the few files that Weightome itself keeps there."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> Home:
        """Home folder that the settings name, as an absolute path."""
        return cls(settings.home.expanduser().absolute())

    @property
    def conf(self) -> Path:
        """Folder of neo4j.conf."""
        return self.folder / "conf"

    @property
    def configuration(self) -> Path:
        """Neo4j's configuration."""
        return self.conf / "neo4j.conf"

    @property
    def data(self) -> Path:
        """Folder of the databases and their transaction logs."""
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.folder / "logs"

    @property
    def server_log(self) -> Path:
        """What Neo4j tells its operator."""
        return self.logs / "neo4j.log"

    @property
    def console_log(self) -> Path:
        """Standard output and error of the Java process."""
        return self.logs / "console.log"

    @property
    def java_arguments(self) -> Path:
        """Java's ``@file``."""
        return self.conf / "java.args"

    @property
    def password_file(self) -> Path:
        """The password, readable by its owner only."""
        return self.folder / "password"

    @property
    def record_file(self) -> Path:
        """The running process; absent when none was started."""
        return self.folder / "server.json"

    def create(self) -> None:
        """Create the folders that are missing; what lies in them only its owner can read.

        Raises
        ------
        DiskUnusable
            If that is not possible.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
            for name in ("conf", "data", "import", "logs", "run"):
                (self.folder / name).mkdir(exist_ok=True, mode=_PRIVATE_FOLDER)

    def link_plugins(self, folder: Path) -> None:
        """Make ``plugins`` of this home the folder of jars that Neo4j scans for procedures.

        Raises
        ------
        DiskUnusable
            If the link cannot be made.
        """
        link = self.folder / "plugins"
        partial = self.folder / ".plugins"
        with disk_errors(self.folder):
            partial.unlink(missing_ok=True)
            partial.symlink_to(folder, target_is_directory=True)
            partial.replace(link)

    @contextmanager
    def lock(self, console: Console) -> Iterator[None]:
        """Hold this home against other processes that would start or stop its server."""
        lock = FileLock(self.folder / "server.lock")
        with disk_errors(self.folder):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                console.print("Another process is starting or stopping Neo4j; waiting for it.")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def read_record(self) -> Record | None:
        """The recorded process; none if nothing was recorded or the record is damaged."""
        try:
            fields = json.loads(self.record_file.read_text("utf-8"))
            return Record(int(fields["pid"]), float(fields["created"]), int(fields["port"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise DiskUnusable(f"{self.record_file} cannot be read: {error.strerror}.") from error

    def write_record(self, record: Record) -> None:
        """Note the process that was started."""
        with disk_errors(self.folder):
            write_atomically(self.record_file, json.dumps(asdict(record)), mode=_PRIVATE_FILE)

    def forget_record(self) -> None:
        """Remove the note."""
        with disk_errors(self.folder):
            self.record_file.unlink(missing_ok=True)

    @property
    def has_users(self) -> bool:
        """Whether the store already knows a password, which only the password file can tell."""
        return any(
            path.exists()
            for path in (self.data / "dbms" / "auth.ini", self.data / "databases" / "system")
        )

    def ensure_password_file(self) -> None:
        """Write a new random password, unless there is one.

        Raises
        ------
        ServerFailed
            If the data was made with a password whose file is gone.
        DiskUnusable
            If the file cannot be written.
        """
        if self.password_file.exists() and self.password_file.stat().st_size > 0:
            return
        if self.has_users:
            raise ServerFailed(
                f"The password of the data in {self.data} is lost: put {self.password_file} back, "
                f"or remove {self.data} to begin with an empty store."
            )
        with disk_errors(self.folder):
            # Empty, if whoever created it was killed before a word stood in it.
            self.password_file.unlink(missing_ok=True)
            # Exclusive and private from the first byte: no moment in which others can read it.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(self.password_file, flags, _PRIVATE_FILE)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                    stream.write(secrets.token_hex(_PASSWORD_BYTES) + "\n")
            except BaseException:
                self.password_file.unlink()
                raise

    def read_password(self) -> SecretStr:
        """The password of the user ``neo4j``.

        Raises
        ------
        DiskUnusable
            If its file cannot be read.
        """
        with disk_errors(self.password_file):
            return SecretStr(self.password_file.read_text("ascii").strip())
