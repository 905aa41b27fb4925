"""A crashed writer is told from a live one."""

from __future__ import annotations

import subprocess
import sys

from ingest import lease


def test_this_process_is_alive() -> None:
    assert not lease.ended(lease.token())


def test_a_process_that_ended() -> None:
    child = subprocess.run(
        [sys.executable, "-c", "from ingest import lease; print(lease.token())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert lease.ended(child.stdout.strip())


def test_another_process_with_the_same_pid() -> None:
    host, boot, pid, started = lease.token().rsplit("|", 3)
    assert lease.ended(f"{host}|{boot}|{pid}|{float(started) - 60:.1f}")


def test_before_a_reboot_and_on_another_machine() -> None:
    host, _, pid, started = lease.token().rsplit("|", 3)
    assert lease.ended(f"{host}|1|{pid}|{started}")
    assert not lease.ended(f"elsewhere|1|{pid}|{started}")
