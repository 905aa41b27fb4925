"""A service of the tests: a process of its own, on a port of its own, before the real database."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import pytest

ROOT = Path(__file__).parents[1]
_URL = re.compile(
    r"^Weightome answers at (http://\S+:(\d+)) \(docs at /docs\)\. Ctrl-C stops it\.$"
)


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: subprocess.Popen[str]
    client: httpx.Client
    port: int
    log_file: IO[str]

    def log(self) -> str:
        """What it wrote on stderr so far."""
        self.log_file.seek(0)
        return self.log_file.read()


Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="session")
def start(command_environment: dict[str, str]) -> Start:
    """Starts ``python -m service`` with the given options and further environment variables."""

    @contextmanager
    def started(*options: str, **variables: str) -> Iterator[Service]:
        with (
            tempfile.TemporaryFile("w+") as log,
            subprocess.Popen(
                [sys.executable, "-m", "service", "--port", "0", *options],
                cwd=ROOT,
                env={**command_environment, **variables},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                line = process.stdout.readline().rstrip()
                found = _URL.match(line)
                if found is None:
                    process.wait(30)
                    log.seek(0)
                    raise AssertionError(f"no URL in {line!r}: {log.read()}")
                with httpx.Client(base_url=found[1], timeout=120) as client:
                    yield Service(process, client, int(found[2]), log)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                finally:
                    process.kill()

    return started
