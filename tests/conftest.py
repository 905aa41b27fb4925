"""A real Neo4j with GDS, started once per test session, and small networks in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries.matching import match
from queries.observing import observe
from store.connection import connect
from store.database import Database
from store.errors import NotFound
from store.settings import Settings
from tests.networks import dense_network, hand_checkable

# Files of tests that take minutes, the longest first: begun at the end, one process would work on
# them while the other has nothing left.
_LONG = (
    "tests/graph/test_published.py",
    "tests/http/test_jobs.py",
    "tests/local/test_bulk.py",
    "tests/graph/test_commands.py",
    "tests/graph/test_crash.py",
    "tests/local/test_backup.py",
    "tests/local/test_server.py",
    "tests/local/test_memory_limit.py",
    "tests/graph/test_resume.py",
    "tests/graph/test_symmetries.py",
)
_THEN = ("tests/http/", "tests/browser/", "tests/graph/", "tests/reference/", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first, then those with a service, then those with a database."""
    order = (*_LONG, *_THEN)

    def place(item: pytest.Item) -> int:
        return next(n for n, start in enumerate(order) if item.nodeid.startswith(start))

    items.sort(key=place)


@pytest.fixture(scope="session")
def store_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables with which any process reaches the session's own server.

    ``WEIGHTOME_TEST_URI`` and ``WEIGHTOME_TEST_PASSWORD`` name another one: an empty database of
    yours, of another Neo4j version say.
    """
    if "WEIGHTOME_TEST_URI" in os.environ:
        yield {
            "WEIGHTOME_URI": os.environ["WEIGHTOME_TEST_URI"],
            "WEIGHTOME_PASSWORD": os.environ["WEIGHTOME_TEST_PASSWORD"],
            # Nothing of a test belongs into the home of whoever runs it.
            "WEIGHTOME_HOME": str(tmp_path_factory.mktemp("weightome-home")),
        }
        return
    from store.local.server import down, up

    environment = {
        "WEIGHTOME_HOME": str(tmp_path_factory.mktemp("weightome-home")),
        "WEIGHTOME_CACHE": str(Settings().cache_folder),
        "WEIGHTOME_HEAP_MB": "2048",
        "WEIGHTOME_PAGE_CACHE_MB": "512",
    }
    up(_settings(environment))
    yield environment
    down(_settings(environment))


def _settings(environment: dict[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("WEIGHTOME_")]:
            patch.delenv(variable)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        return Settings()


@pytest.fixture(scope="session")
def settings(store_environment: dict[str, str]) -> Settings:
    """The settings that those variables stand for."""
    return _settings(store_environment)


@pytest.fixture(scope="session")
def command_environment(store_environment: dict[str, str]) -> dict[str, str]:
    """The whole environment of a subprocess that shall reach the session's server."""
    inherited = {key: value for key, value in os.environ.items() if "WEIGHTOME" not in key}
    return {**inherited, **store_environment}


@pytest.fixture(scope="session")
def database(settings: Settings) -> Iterator[Database]:
    """The session's database."""
    with connect(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny(database: Database) -> Iterator[str]:
    """The hand-checkable network of the design, as snapshot 0 of the run ``tiny-run``."""
    write(
        database,
        hand_checkable(),
        name="tiny",
        run="tiny-run",
        step=0,
        metrics={"accuracy": 0.5},
        replace=True,
    )
    yield "tiny"
    delete(database, "tiny")


@pytest.fixture(scope="session")
def examples(database: Database, tiny: str) -> Iterator[None]:
    """What else the examples of the questions are about."""
    for step in (0, 1):
        matrix = np.array([[1, -2], [3, 4 + step]], dtype=np.float32)
        network = dense_network([matrix, matrix])
        write(
            database,
            network,
            name=f"step-{step}",
            run="two-steps",
            step=step,
            metrics={"accuracy": float(step)},
            replace=True,
        )
    match(database, "step-0", "step-1")
    # A ReLU that nothing makes positive.
    matrices = [np.array([[1, -2], [3, -4]], dtype=np.float32), np.ones((2, 2), dtype=np.float32)]
    dead = dense_network(matrices, activations=["relu", "identity"])
    write(database, dead, name="dead", replace=True)
    write(database, hand_checkable(), name="observed", replace=True)
    observe(database, "observed", np.array([[1, 1], [1, -1]]), name="ones", labels=[0, 1])
    yield
    for name in ("step-0", "step-1", "dead", "observed"):
        delete(database, name)


@pytest.fixture
def stored(database: Database, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Writes a network under a name of the test's own; all are deleted after the test."""
    names: list[str] = []

    def store(network: Network, **options: object) -> str:
        name = f"{request.node.name}-{len(names)}"[:150]
        write(database, network, name=name, **options)  # type: ignore[arg-type]
        names.append(name)
        return name

    yield store
    for name in names:
        try:
            delete(database, name)
        except NotFound:
            # The test itself deleted or replaced it.
            continue


@pytest.fixture
def random_network() -> Callable[..., Network]:
    """A dense network of the given layer sizes with normal float32 weights."""

    def network(*sizes: int, seed: int = 0, bias: bool = True) -> Network:
        random = np.random.default_rng(seed)
        matrices = [
            random.normal(size=shape).astype(np.float32) for shape in itertools.pairwise(sizes)
        ]
        biases = [random.normal(size=size).astype(np.float32) for size in sizes[1:]]
        return dense_network(matrices, biases if bias else None)

    return network
