"""The whole store to a file and back: nothing is lost, and a failure changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ingest.removal import delete
from ingest.writer import write
from queries.catalogue import networks
from queries.export import export
from queries.strength import strength
from store.connection import connect
from store.database import Database
from store.errors import Conflict, InvalidArgument, ServerFailed
from store.local.backup import backup, restore
from store.local.home import Home
from store.local.server import down, status
from store.query import Query
from store.settings import Settings
from tests.networks import hand_checkable

QUIET = Console(quiet=True)
CONTENT = Query(
    "content_for_the_test",
    "Everything in the store, counted.",
    """
MATCH (node) WITH count(node) AS nodes
OPTIONAL MATCH ()-[link]->() WITH nodes, count(link) AS links, sum(link.weight) AS sum
RETURN nodes, links, sum
""",
    ("nodes", "links", "sum"),
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A store of its own."""
    home = tmp_path_factory.mktemp("backed up") / "home"
    cache = Settings().cache_folder
    found = Settings(uri=None, home=home, cache=cache, heap_mb=1024, page_cache_mb=256, port=0)
    yield found
    down(found, console=QUIET)


def _content(database: Database) -> list[list[object]]:
    return database.read(CONTENT).rows


def test_nothing_to_back_up(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"There is no store in .* to back up"):
        backup(settings, tmp_path / "x.dump", console=QUIET)
    elsewhere = settings.model_copy(update={"uri": "bolt://127.0.0.1:1"})
    with pytest.raises(InvalidArgument, match="WEIGHTOME_URI names a server that is not Weigh"):
        backup(elsewhere, tmp_path / "x.dump", console=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_there_and_back(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "störe of mine.dump"
    with connect(settings) as database:
        write(database, hand_checkable(), name="one", run="training", step=3, metrics={"a": 0.5})
        write(database, hand_checkable(), name="two")
        before = _content(database)
        told = networks(database).rows
        totals = strength(database, "one").rows
        before = _content(database)
        export(database, "one", tmp_path / "before.safetensors")
    size = backup(settings, file, console=QUIET)
    assert file.stat().st_size == size > 1_000
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    assert status(settings).state == "running", "it ran before"
    with pytest.raises(Conflict, match=r"There is a file .* already: choose another"):
        backup(settings, file, console=QUIET)

    with connect(settings) as database:
        assert _content(database) == before, "a backup changes nothing"
        delete(database, "one")
        write(database, hand_checkable(), name="three")
        changed = _content(database)
    with pytest.raises(Conflict, match=r"There is a store in .* already: restoring replaces"):
        restore(settings, file, console=QUIET)

    # What is no backup leaves the store as it is.
    bad = tmp_path / "bad.dump"
    bad.write_bytes(b"no dump at all")
    with pytest.raises(ServerFailed, match=r"bad\.dump' cannot be restored: neo4j-admin database"):
        restore(settings, bad, replace=True, console=QUIET)
    with pytest.raises(InvalidArgument, match="There is no file"):
        restore(settings, tmp_path / "nothing.dump", replace=True, console=QUIET)
    with connect(settings) as database:
        assert _content(database) == changed

    restore(settings, file, replace=True, console=QUIET)
    assert status(settings).state == "running"
    with connect(settings) as database:
        assert _content(database) == before
        assert networks(database).rows == told
        assert strength(database, "one").rows == totals
        export(database, "one", tmp_path / "after.safetensors")
        # And it can be written to.
        write(database, hand_checkable(), name="four")
    after, first = (tmp_path / f"{name}.safetensors" for name in ("after", "before"))
    assert after.read_bytes() == first.read_bytes()
    leftovers = [each.name for each in Home.of(settings).folder.iterdir()]
    assert not [name for name in leftovers if name.startswith(".restoring")]


def test_into_an_empty_home(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "x.dump"
    down(settings, console=QUIET)
    backup(settings, file, console=QUIET)
    assert status(settings).state == "stopped", "it did not run before"
    other = settings.model_copy(update={"home": tmp_path / "other"})
    restore(other, file, console=QUIET)
    assert status(other).state == "stopped"
    assert (Home.of(other).data / "databases" / "neo4j").is_dir()
    again = tmp_path / "again.dump"
    assert backup(other, again, console=QUIET) > 1_000
