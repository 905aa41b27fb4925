"""Networks built into an empty local store by the import tool, on servers of these tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

import ingest
from ingest import bulk, import_files
from ingest.bulk import Named, build
from ingest.removal import delete
from ingest.writer import write
from queries import catalogue
from queries.export import export
from queries.strength import strength
from store import schema
from store.connection import connect
from store.database import Database
from store.errors import Conflict, InvalidArgument, ServerFailed, VerificationFailed
from store.local.home import Home
from store.local.server import down, status
from store.query import Query
from store.settings import Settings
from tests.graph.test_crash import UNFINISHED
from tests.graph.test_resume import check
from tests.graph.test_writer import counts
from tests.networks import dense_network, mixed

ROOT = Path(__file__).parents[2]
CONSTRAINTS = Query(
    "constraint_names", "", "SHOW CONSTRAINTS YIELD name RETURN collect(name) AS names", ("names",)
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home of its own, whose server the builds stop and start."""
    home = tmp_path_factory.mktemp('it\'s a "bulk" home, é') / "home"
    chosen = Settings(
        uri=None, home=home, cache=Settings().cache_folder, heap_mb=1024, page_cache_mb=256, port=0
    )
    yield chosen
    down(chosen, console=Console(quiet=True))


def environment(settings: Settings) -> dict[str, str]:
    """That of a command that shall build into the same home."""
    inherited = {key: value for key, value in os.environ.items() if "WEIGHTOME" not in key}
    return inherited | {
        "WEIGHTOME_HOME": str(settings.home),
        "WEIGHTOME_CACHE": str(settings.cache_folder),
        "WEIGHTOME_HEAP_MB": "1024",
        "WEIGHTOME_PAGE_CACHE_MB": "256",
        "WEIGHTOME_PORT": "0",
    }


def emptied(settings: Settings) -> None:
    with connect(settings) as database:
        for name in catalogue.networks(database).column("network"):
            delete(database, name)
        assert counts(database) == [1, 0]


def any_bits(number: int, dtype: str) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]]:
    """Finite floats of every magnitude, with both zeros."""
    size = np.dtype(dtype).itemsize
    raw = np.random.default_rng(number).integers(0, 256, (60, 70, size), dtype=np.uint8)
    values = raw.view(dtype)[..., 0]
    values[~np.isfinite(values)] = -0.0
    # Sums of larger ones are no number.
    values[np.abs(values.astype(np.float64)) > 1e300] = -0.0
    values[0, :4] = [0.0, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny]
    return values


def test_a_first_build_is_what_the_writer_writes(settings: Settings) -> None:
    """Into a home that never had a server; names with every quote; several networks, a run."""
    networks = {'it\'s "mixed", `a` \\ é': mixed(), "dense": dense_network([np.ones((3, 4))])}
    reports = build(
        settings,
        [
            Named(network, name, "training", step)
            for step, (name, network) in enumerate(networks.items())
        ],
    )
    assert status(settings).state == "running"
    assert [(each.name, each.links) for each in reports] == [
        (name, network.link_count) for name, network in networks.items()
    ]
    with connect(settings) as database:
        assert set(catalogue.networks(database).column("network")) == set(networks)
        for name, network in networks.items():
            check(database, network, name)
        assert len(database.read(CONSTRAINTS).rows[0][0]) == len(schema.CONSTRAINTS)
        assert schema.check(database) == schema.VERSION
        built = strength(database, next(iter(networks)))
        nodes = catalogue.layers(database, next(iter(networks)))
        # The same network over Bolt, beside it: the ids go on where the build ended.
        write(database, mixed(), name="over bolt")
        check(database, mixed(), "over bolt")
        written = strength(database, "over bolt")
        assert [row[:3] for row in built.rows] == [row[:3] for row in written.rows]
        np.testing.assert_allclose(
            [row[3:] for row in built.rows], [row[3:] for row in written.rows], rtol=1e-12
        )
        assert nodes.columns == catalogue.layers(database, "over bolt").columns
        assert properties(database, "over bolt") == properties(database, next(iter(networks)))
    emptied(settings)
    assert not leftovers(settings)


PROPERTIES = Query(
    "property_types",
    "Names and types of what nodes and links of a network hold.",
    """
MATCH (:Network {name: $name})-[has]->(part)
OPTIONAL MATCH (part)-[more:HAS_NEURON|FEEDS]->(inner)
OPTIONAL MATCH (inner)-[link:LINK|WIRE]->()
UNWIND [[labels(part)[0], part], [labels(inner)[0], inner], [type(link), link], [type(more), more]]
    AS pair
WITH pair[0] AS kind, pair[1] AS thing WHERE thing IS NOT NULL
UNWIND keys(thing) AS key
RETURN DISTINCT kind, key, valueType(thing[key]) AS type ORDER BY kind, key, type
""",
    ("kind", "key", "type"),
)


def properties(database: Database, name: str) -> list[list[str]]:
    return database.read(PROPERTIES, name=name).rows


def leftovers(settings: Settings) -> list[Path]:
    return list(Home.of(settings).folder.glob(".beside-*"))


def test_refusals(settings: Settings) -> None:
    network = Named(dense_network([np.ones((2, 3))]), "one")
    elsewhere = settings.model_copy(update={"uri": "bolt://127.0.0.1:1"})
    with pytest.raises(InvalidArgument, match=r"not Weightome's own, .* ingest without --bulk"):
        build(elsewhere, [network])
    with pytest.raises(Conflict, match="cannot both be called 'one'"):
        build(settings, [network, network])
    with pytest.raises(InvalidArgument, match="needs a step"):
        build(settings, [replace(network, run="r")])
    with pytest.raises(InvalidArgument, match="2 steps were given for 1 models"):
        ingest.build({"a": torch.nn.Linear(2, 2)}, run="r", steps=[1, 2], settings=settings)
    with connect(settings) as database:
        write(database, network.network, name="there")
        held = counts(database)
    with pytest.raises(Conflict, match="The store holds networks already"):
        build(settings, [network])
    with connect(settings) as database:
        assert counts(database) == held
    emptied(settings)


def test_an_import_that_fails_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(settings):
        pass
    monkeypatch.setattr(bulk, "IMPORT", ("--id-type=actual", "--no-such-option"))
    with pytest.raises(ServerFailed, match="database import failed"):
        build(settings, [Named(mixed(), "broken")])
    assert status(settings).state == "running", "as before"
    with connect(settings) as database:
        assert catalogue.networks(database).rows == []
        assert counts(database)[1] == 0
    assert not leftovers(settings)


def test_verification_sees_a_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files hold one link with another weight."""
    original = import_files._append
    changed = False

    def faulty(stream: object, columns: list[object]) -> None:
        nonlocal changed
        weights = columns[2] if len(columns) == 5 else None
        if isinstance(weights, np.ndarray) and weights.dtype == np.float64 and not changed:
            columns[2], changed = weights + 0.001 * (np.arange(weights.size) == 7), True
        original(stream, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(import_files, "_append", faulty)
    with pytest.raises(VerificationFailed, match="weights of layer"):
        build(settings, [Named(mixed(), "faulty"), Named(mixed(), "another")])
    with connect(settings) as database:
        assert counts(database) == [1, 0], "neither of the two is there"


# Builds a network and is killed when it says the given word.
BUILDER = """
import os, signal, sys
from rich.console import Console
from ingest.bulk import Named, build
from store.settings import load
from tests.networks import mixed

class Killing:
    def write(self, text):
        if sys.argv[1] in text:
            os.kill(os.getpid(), signal.SIGKILL)
    def flush(self):
        pass

build(load(), [Named(mixed(), "killed")], console=Console(file=Killing()))
"""


def test_killed(settings: Settings) -> None:
    """What is left is a hidden network, which the next ingest removes."""
    killed = subprocess.run(
        [sys.executable, "-c", BUILDER, "being verified"],
        env=environment(settings),
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with connect(settings) as database:
        assert catalogue.networks(database).rows == []
        write(database, mixed(), name="after")
        assert database.read(UNFINISHED).rows == []
        check(database, mixed(), "after")
    emptied(settings)


def test_every_weight_to_the_bit_by_command(settings: Settings, tmp_path: Path) -> None:
    """A float32 and a float64 model of any bits, built by one command, exported, compared."""
    models = {
        name: torch.from_numpy(any_bits(number, dtype).copy())
        for number, (name, dtype) in enumerate((("single", "f4"), ("double", "f8")))
    }
    files = [str(tmp_path / f"{name}.safetensors") for name in models]
    for file, tensor in zip(files, models.values(), strict=True):
        save_file({"weight": tensor}, file)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "weightome.py", "ingest", *files, "--bulk", *options],
            env=environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    names = ["--name", "single", "--name", "double"]
    wrong = run("--name", "single")
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "weightome: --name wants one value for each FILE, not 1.\n",
    )
    assert "Networks need names that differ" in run(*names[:2], *names[:2]).stderr
    assert "--bulk goes with neither --replace" in run(*names, "--replace").stderr
    done = run(*names, "--run", "r", "--step", "1", "--step", "2", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row[:4] for row in rows] == [[name, 2, 130, 4200] for name in models]
    assert "import tool reads the files" in done.stderr
    with connect(settings) as database:
        for name, tensor in models.items():
            out = tmp_path / f"{name}-out.safetensors"
            export(database, name, out)
            back = load_file(out)["weight"]
            assert back.dtype == tensor.dtype
            assert back.numpy().tobytes() == tensor.numpy().tobytes()
