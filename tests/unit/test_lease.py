"""A crashed writer is told from a live one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ingest import lease

_SHOW = "from ingest import lease\nwith lease.held() as writer: print(writer)"


def test_work_under_way_and_work_that_failed() -> None:
    with lease.held() as writer:
        assert not lease.ended(writer)
        with lease.held() as other:
            assert other != writer
        assert lease.ended(other)
        assert not lease.ended(writer)
    assert lease.ended(writer)


def test_a_process_that_ended() -> None:
    child = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True
    )
    assert lease.ended(child.stdout.strip())


def test_another_process_with_the_same_pid() -> None:
    with lease.held() as writer:
        machine, _, process = writer.rpartition("/")
        pid, started, serial = process.split("|")
        assert lease.ended(f"{machine}/{pid}|{float(started) - 3600}|{serial}")


def test_a_process_that_runs() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            _SHOW.replace("print(writer)", "print(writer, flush=True); input()"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        writer = child.stdout.readline().strip()
        assert not lease.ended(writer)
        child.communicate("\n")
    assert lease.ended(writer)


@pytest.mark.parametrize("machine", ["elsewhere", "before|the|reboot", "a/b"])
def test_what_cannot_be_seen_from_here_is_not_said_to_have_ended(machine: str) -> None:
    assert not lease.ended(f"{machine}/1|0.0|serial")
    assert not lease.ended("written by somebody else")
