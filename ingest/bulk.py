"""Networks -> an empty local store, through Neo4j's import tool.

Many times faster than over Bolt, but only into a store that holds no network. The tool makes the
database beside the store; where it fails, nothing happened. Then the database takes the store's
place with its networks hidden, as a writer's are; over Bolt they get constraints and what their
layers are, are verified as after any ingest, and get their names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from rich.console import Console

from ingest import lease
from ingest.claim import Claim
from ingest.completion import complete, properties_of
from ingest.import_files import ImportFiles, Placed, Sums
from ingest.layer_writer import describe_layers
from ingest.network import Network
from ingest.removal import discard
from ingest.report import Report
from ingest.verification import verify
from store import schema
from store.connection import connect
from store.errors import Conflict, StoreUnreachable
from store.local.home import Home
from store.local.replacement import DATABASE, beside, closed, exists, local_home, stopped, swap
from store.local.server import admin, up
from store.query import Query
from store.settings import Settings

# Only a lost machine lets it run out: whether a writer of this one has ended can be seen.
_LEASE = timedelta(days=1)

IMPORT = ("--id-type=actual", "--path-pattern-style=none")

FILES = "files"

HELD = Query(
    "held_nodes",
    "How many nodes a store holds beside its own one.",
    "RETURN COUNT { (node) WHERE NOT node:Store } AS nodes",
    ("nodes",),
)


@dataclass(frozen=True)
class Named:
    """A network and what it shall be called; see :func:`ingest.writer.write`."""

    network: Network
    name: str
    run: str | None = None
    step: int | None = None
    metrics: Mapping[str, float] | None = None


def build(
    settings: Settings,
    networks: Sequence[Named],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
    console: Console | None = None,
) -> list[Report]:
    """Writes networks into the local store, which must hold none.

    The server is stopped meanwhile and runs afterwards.

    Parameters
    ----------
    settings
        Of the local store.
    networks
        With names that differ.
    workers
        Threads that write the tool's files.
    progress
        Called with the number of links, fixed ones included, of each part that was written to
        the tool's files; the import itself comes after.
    console
        Where it is told what goes on; unset: standard error.

    Returns
    -------
    list of Report
        One per network; `seconds` are those of the whole build.

    Raises
    ------
    InvalidArgument
        If the settings name a server elsewhere.
    InvalidName, InvalidArgument
        If a name, a step or a metric cannot be used.
    Conflict
        If the store holds a network, complete or not, or two networks shall have one name.
    DiskUnusable, ServerFailed, VerificationFailed, StoreError
        The store is as it was, or holds networks that the next ingest or delete removes.

    Example
    -------
    >>> build(Settings(), [Named(network, "mnist")])[0].links           # doctest: +SKIP
    199210
    """
    started = time.perf_counter()
    console = console or Console(stderr=True)
    home = local_home(settings, "build its store: ingest without --bulk (ingest.ingest)")
    about = [
        properties_of(each.network, each.name, each.run, each.step, each.metrics or {})
        for each in networks
    ]
    names = [each.name for each in networks]
    for name in names:
        if names.count(name) > 1:
            raise Conflict(f"Two networks of one build cannot both be called {name!r}.")
    if exists(home):
        _refuse_networks(settings)
    with lease.held() as writer:
        placed = _placed(networks, writer)
        sums = _import(settings, placed, workers, progress or (lambda links: None), console)
        up(settings, console=console)
        console.print("The networks are being verified ...")
        with connect(settings) as database:
            schema.prepare(database)
            try:
                for each, of_links in zip(placed, sums, strict=True):
                    claim = Claim(each.identity, each.first, writer)
                    describe_layers(database, each.network, claim)
                    verify(
                        database, each.network, each.identity, each.first, of_links, workers=workers
                    )
                for each, named, properties in zip(placed, networks, about, strict=True):
                    claim = Claim(each.identity, each.first, writer)
                    complete(database, claim, named.name, named.run, named.step, properties, None)
            except (StoreUnreachable, KeyboardInterrupt) as error:
                error.add_note(
                    "What was built stays, hidden; the next ingest or delete removes it."
                )
                raise
            except BaseException:
                for each in placed:
                    discard(database, each.identity, writer, writer)
                raise
    seconds = time.perf_counter() - started
    return [Report.of(each.network, each.name, seconds) for each in networks]


def _import(
    settings: Settings,
    placed: Sequence[Placed],
    workers: int,
    progress: Callable[[int], None],
    console: Console,
) -> list[Sums]:
    """Makes a database of the networks that takes the place of the store's; what it must hold."""
    # Closed from here on: what another process wrote meanwhile would be replaced and lost.
    with (
        stopped(settings, console),
        closed(settings, console),
        beside(settings) as made,
    ):
        folder = Home.of(made).folder / FILES
        folder.mkdir(parents=True)
        files = ImportFiles(folder, workers, progress)
        console.print("The networks are being written to files ...")
        sums = files.write(_store(placed), placed)
        console.print("The import tool reads the files ...")
        # The tool runs in its home, so no name of a folder of the user's is among them.
        (folder / "arguments").write_text("\n".join(files.arguments), "ascii")
        admin(
            made, "database", "import", "full", DATABASE, *IMPORT, f"@{FILES}/arguments",
            console=console,
        )  # fmt: skip
        swap(Home.of(settings), Home.of(made))
    return sums


def _refuse_networks(settings: Settings) -> None:
    with connect(settings) as database:
        (held,) = database.read(HELD).column("nodes")
    if held:
        raise Conflict(
            "The store holds networks already, and the import tool only makes new ones: ingest "
            "without --bulk (ingest.ingest), or delete them first."
        )


def _placed(networks: Sequence[Named], writer: str) -> list[Placed]:
    firsts = accumulate((each.network.neuron_count for each in networks), initial=0)
    until = (datetime.now(UTC) + _LEASE).isoformat()
    return [
        Placed(
            each.network,
            identity,
            first,
            {
                "id": identity,
                "status": "writing",
                "wanted_name": each.name,
                "writer": writer,
                "lease:datetime": until,
            },
        )
        for identity, (each, first) in enumerate(zip(networks, firsts, strict=False))
    ]


def _store(placed: Sequence[Placed]) -> dict[str, Any]:
    last = placed[-1]
    return {
        "key": "weightome",
        "version": schema.WITHOUT_CONSTRAINTS,
        "next_network": len(placed),
        "next_neuron": last.first + last.network.neuron_count,
    }
