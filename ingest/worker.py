"""``python -m ingest.worker``: one ingest for a program that watches over it.

The order is a line of JSON on stdin, which stays open for as long as the work is wanted: however
its owner ends, the work ends too. On stdout comes a line of JSON for everything that happens::

    {"phase": "reading"}
    {"network": 7}                                       its id, before its first link is written
    {"phase": "writing", "done": 50000, "total": 1800000}
    {"phase": "verifying", "done": 1800000, "total": 1800000}
    {"phase": "done", "done": 1800000, "total": 1800000}
    {"error": {"code": "unreadable_model", "message": "..."}}

SIGTERM and a closed stdin interrupt it as Ctrl-C does an ingest: what was written stays, hidden.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

import ingest
from ingest.completion import is_complete
from ingest.link_writer import write_links
from ingest.writer import begun
from store import settings
from store.commandline import FAILED, INTERRUPTED
from store.connection import connect
from store.database import Database
from store.errors import WeightomeError

# How often the number of links is told at most, in seconds.
_EVERY_SECONDS = 0.2
# How long an interrupted ingest may take to end its transactions, in seconds.
_PATIENCE = 5.0
_NICENESS = 5

Tell = Callable[[dict[str, Any]], None]


class Order(BaseModel):
    """What shall be written.

    Parameters
    ----------
    folder, file
        Where the model lies, and the name of its file: errors name the file only.
    lock
        File that a worker holds as long as it lives; the next one waits for that.
    name, run, step, replace, view, resume
        As for :func:`ingest.ingest`.
    network
        Id of the network that an earlier worker told for this order: it may be complete.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    file: str
    lock: Path
    name: str
    run: str | None = None
    step: int | None = None
    replace: bool = False
    view: str = "shared"
    resume: bool = False
    network: int | None = None


def work(order: Order, tell: Tell) -> None:
    """Writes the model of an order into the store that the settings name.

    Raises
    ------
    WeightomeError
        As :func:`ingest.ingest`.
    """
    chosen = settings.load()
    with connect(chosen) as database:
        # Only now: a local server that this had to start is to run as any other.
        _step_back()
        if order.network is not None and is_complete(database, order.network):
            tell({"phase": "done"})
            return
        tell({"phase": "reading"})
        os.chdir(order.folder)
        _write(order, database, chosen, tell)


def _write(order: Order, database: Database, chosen: settings.Settings, tell: Tell) -> None:
    network = ingest.ready(order.file, view=order.view)
    total = network.link_count + network.wire_count
    written, told = 0, time.monotonic()

    def advance(links: int) -> None:
        nonlocal written, told
        written += links
        if time.monotonic() - told > _EVERY_SECONDS:
            told = time.monotonic()
            tell({"phase": "writing", "done": written, "total": total})

    with begun(
        database,
        network,
        name=order.name,
        run=order.run,
        step=order.step,
        replace=order.replace,
        workers=chosen.workers,
        block_links=chosen.block_links,
        resume=order.resume,
    ) as writing:
        tell({"network": writing.claim.network})
        tell({"phase": "writing", "done": 0, "total": total})
        write_links(
            database,
            network,
            writing.plan,
            writing.claim,
            workers=chosen.workers,
            progress=advance,
        )
        tell({"phase": "verifying", "done": total, "total": total})
    tell({"phase": "done", "done": total, "total": total})


def _step_back() -> None:
    """Others go before this: the processor's time, and memory where it runs out."""
    os.nice(_NICENESS)
    with suppress(OSError):
        # Only Linux has it: whom the kernel ends first when there is no memory left.
        Path("/proc/self/oom_score_adj").write_text("1000")


def _interrupt(*_: object) -> None:
    # Once is enough: a second one would break off the first one's tidying.
    _on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


def _on_signals(act: signal.Handlers | Callable[[int, FrameType | None], Any]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, act)


def _end_with(owner: int) -> None:
    """Waits in a thread for the owner's end of a pipe to close; then this process ends too."""
    while os.read(owner, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(INTERRUPTED)


def main() -> int:
    """Works on the order on stdin; the exit status: 0, 1 after an error, 130 interrupted."""
    # A model file is untrusted, and so is what a reader has in its memory when one crashes it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _on_signals(_interrupt)
    # Whatever a library prints must not come between the lines.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=lines, flush=True)

    try:
        order = Order.model_validate_json(_first_line(0))
        threading.Thread(target=_end_with, args=(0,), daemon=True).start()
        with FileLock(order.lock):
            work(order, tell)
        _on_signals(signal.SIG_IGN)
    except WeightomeError as error:
        tell({"error": {"code": error.code, "message": str(error)}})
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        tell({"error": {"code": "out_of_memory", "message": "The model needs too much memory."}})
        return FAILED
    except Exception:
        traceback.print_exc()
        message = "Ingest failed unexpectedly; the log of the service says more."
        tell({"error": {"code": "internal_error", "message": message}})
        return FAILED
    return 0


def _first_line(source: int) -> bytes:
    """One byte after the other: nothing behind it is taken from whoever reads on."""
    line = b""
    while (byte := os.read(source, 1)) not in (b"", b"\n"):
        line += byte
    return line


if __name__ == "__main__":
    sys.exit(main())
