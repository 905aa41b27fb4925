"""What is shipped: the wheel, the pinned requirements, the containers, and what CI runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from store.local.configuration import Memory, configuration_text

ROOT = Path(__file__).parents[2]
ROOMS = ("store", "ingest", "queries", "service")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


# -- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built from a copy: a build leaves traces in its source."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(
        ROOT,
        folder / "source",
        ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-deps",
         "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(folder / "source")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("weightome-*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_rooms_whole_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {"weightome.py"} | {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"store/local/server.lock", "store/local/gds.lock"} <= held


def test_the_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    texts = {
        name.split(".dist-info/")[1]: wheel.read(name).decode()
        for name in wheel.namelist()
        if ".dist-info/" in name
    }
    assert texts["licenses/LICENSE"] == (ROOT / "LICENSE").read_text("utf-8")
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    assert "weightome = weightome:main" in texts["entry_points.txt"]


SERVED = """
import asyncio, json, re
import service
from service.application import create
from service.inside import Inside
from store.errors import StoreUnreachable

def no_database():
    raise StoreUnreachable("None is needed.")

async def served():
    inside = Inside(create(no_database))
    status, page = await inside.get("/")
    found = {"/": status}
    for path in re.findall(r'"\\./(page/[^"]+)"', page.decode()):
        found[path] = (await inside.get(f"/{path}"))[0]
    return found

print(json.dumps([service.__file__, asyncio.run(served())]))
"""


def test_the_wheel_serves_its_page(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, statuses = json.loads(done.stdout)
    assert Path(file).is_relative_to(tmp_path)
    assert set(statuses.values()) == {200}
    assert {"/", "page/app.js", "page/page.css", "page/panels/neurons.js"} <= statuses.keys()


# -- requirements --------------------------------------------------------------------------------


def pins(name: str) -> dict[str, tuple[Requirement, int]]:
    """The requirements of a pinned file, each with its number of hashes."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    entries = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found: dict[str, tuple[Requirement, int]] = {}
    for entry in entries:
        requirement, *hashes = re.split(r"\s+--hash=sha256:(?=[0-9a-f]{64}(?:\s|$))", entry)
        parsed = Requirement(requirement)
        assert canonicalize_name(parsed.name) not in found, f"{parsed.name} is pinned twice"
        found[canonicalize_name(parsed.name)] = (parsed, len(hashes))
    return found


@pytest.mark.parametrize("name", ["build.txt", "dev.txt", "service.txt"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    assert pins(name)
    for requirement, hashes in pins(name).values():
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement
        assert hashes >= 1, f"{requirement} has no hash"


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").iterdir()), ids=lambda p: p.name)
def test_requirement_files_name_no_index(path: Path) -> None:
    text = path.read_text("utf-8")
    for line in text.splitlines():
        assert not re.search(r"://|@|--(?:extra-)?index|--find-links|^-[if]\b", line), line
        assert not re.search(r"\b[\w-]+\.(?:com|io|net|org)\b", line), line


def test_what_is_shipped_is_what_was_tested() -> None:
    tested = pins("dev.txt")
    for name in ("build.txt", "service.txt"):
        for package, (requirement, _) in pins(name).items():
            assert requirement.specifier == tested[package][0].specifier, package


def assert_pinned(wanted: list[str], pinned: dict[str, tuple[Requirement, int]]) -> None:
    """Each wanted requirement is pinned at a version that it allows."""
    for text in wanted:
        requirement = Requirement(text)
        pin, _ = pinned[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), f"{text}: {pin}"


def test_the_pins_are_those_of_pyproject() -> None:
    extras = PROJECT["optional-dependencies"]
    single = [text for name, texts in extras.items() if name != "all" for text in texts]
    assert_pinned(PROJECT["dependencies"] + single, pins("dev.txt"))
    assert_pinned(PROJECT["dependencies"], pins("service.txt"))
    assert Requirement(extras["all"][0]).extras == set(extras) - {"all"}


def test_the_service_needs_no_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    names = {
        canonicalize_name(Requirement(text).name)
        for extra in set(extras) - {"all"}
        for text in extras[extra]
    }
    assert names.isdisjoint(pins("service.txt"))


# -- containers ----------------------------------------------------------------------------------

SECRETS = {"WEIGHTOME_PASSWORD": "not-a-secret", "WEIGHTOME_TOKEN": "not-a-secret-either"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, its variables still in it."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


def test_ports_are_published_on_this_machine_only(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["ports"], name
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"


def test_compose_runs_the_neo4j_of_the_lock(compose: dict[str, Any]) -> None:
    image, _, tag = compose["services"]["neo4j"]["image"].partition(":")
    lock = (ROOT / "store/local/server.lock").read_text("utf-8")
    (version,) = re.findall(r"\borg\.neo4j:neo4j-kernel:(?:jar:)?([\w.]+)", lock)
    assert (image, tag) == ("neo4j", version)


# What is different in a container: addresses, ports, folders, and a password of the user's.
LOCAL_ONLY = re.compile(
    r"server\.(bolt|http|https|default_\w+)\b|server\.directories\.plugins|dbms\.security\.auth_enabled"
)


def test_neo4j_is_closed_as_the_local_server_is(compose: dict[str, Any]) -> None:
    environment = compose["services"]["neo4j"]["environment"]
    in_compose = {
        name.removeprefix("NEO4J_").replace("__", "\0").replace("_", ".").replace("\0", "_"): value
        for name, value in environment.items()
        if name.startswith("NEO4J_") and name not in {"NEO4J_AUTH", "NEO4J_PLUGINS"}
    }
    heap = {in_compose.pop(f"server.memory.heap.{end}_size") for end in ("initial", "max")}
    assert heap == {"2048m"}
    text = configuration_text(port=7687, memory=Memory(heap_mb=2048, page_cache_mb=1024))
    settings = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert in_compose == {
        name: value for name, value in settings.items() if not LOCAL_ONLY.match(name)
    }


def test_services_start_when_what_they_need_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["service"]["depends_on"] == {"neo4j": {"condition": "service_healthy"}}
    assert all("healthcheck" in service for service in services.values())


def test_the_image_is_built_from_hashed_requirements() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    installs = re.findall(r"pip install ([^&\n]*)", text)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install
    assert re.search(r"^USER weightome$", text, re.MULTILINE)


def compose_config(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs ``docker compose config``; skips the test where that cannot be."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    command = [docker, "compose", "--env-file", os.devnull]
    if subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose plugin")
    inherited = {name: value for name, value in os.environ.items() if "WEIGHTOME" not in name}
    return subprocess.run(
        [*command, "config", "--quiet"],
        cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_compose_accepts_the_file() -> None:
    done = compose_config(SECRETS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_asks_for_a_missing_secret(missing: str) -> None:
    done = compose_config({name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert f"{missing} is missing a value: the " in done.stderr


# -- CI ------------------------------------------------------------------------------------------


def test_ci_runs_lint_and_tests() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text("utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make")] == ["make lint", "make test"]
