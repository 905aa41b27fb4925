"""A crashed writer is told from a live one."""

from __future__ import annotations

import subprocess
import sys

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
        host, boot, pid, started, serial = writer.rsplit("|", 4)
        assert lease.ended(f"{host}|{boot}|{pid}|{float(started) - 60:.1f}|{serial}")


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


def test_before_a_reboot_and_on_another_machine() -> None:
    with lease.held() as writer:
        host, _, pid, started, serial = writer.rsplit("|", 4)
    assert lease.ended(f"{host}|1|{pid}|{started}|{serial}")
    assert not lease.ended(f"elsewhere|1|{pid}|{started}|{serial}")
