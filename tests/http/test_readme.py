"""What the README shows is what its commands print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.removal import delete
from store.database import Database
from tests.http.conftest import Service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")

# Numbers agree to their printed digits, up to what another processor may change in the last one.
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
_SECONDS = re.compile(r"\bin \d+\.\d s\b|\"took_ms\": ?[\d.]+")


def transcript() -> Iterator[tuple[str, str]]:
    """Each command of the README's console blocks, and what stands below it."""
    for block in re.findall(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


COMMANDS = dict(transcript())
ASKING = [
    command for command, shown in COMMANDS.items() if command.startswith("weightome ") and shown
]


def agree(printed: str, shown: str) -> None:
    """Same text, same numbers."""
    ours = [line.rstrip() for line in _SECONDS.sub("", printed).strip().splitlines()]
    theirs = [line.rstrip() for line in _SECONDS.sub("", shown).strip().splitlines()]
    assert len(ours) == len(theirs), printed
    for got, expected in zip(ours, theirs, strict=True):
        assert _NUMBER.sub("#", got).split() == _NUMBER.sub("#", expected).split()
        numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(got)]
        wanted = [float(number.replace(",", "")) for number in _NUMBER.findall(expected)]
        assert numbers == pytest.approx(wanted, rel=2e-3, abs=2e-3)


@pytest.fixture(scope="module")
def demo(command_environment: dict[str, str], database: Database) -> Iterator[str]:
    """What ``make demo`` prints; its networks stay for the other commands."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^demo:.*\n\t@\$\(RUN\) (\S+)$", makefile, re.MULTILINE)
    assert recipe is not None
    done = subprocess.run(
        [sys.executable, recipe[1]],
        env=command_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    yield done.stdout
    for step in ("000", "001", "005", "020", "060"):
        delete(database, f"digits-{step}")


def test_make_demo(demo: str) -> None:
    agree(demo, COMMANDS["make demo"])


def test_there_are_commands() -> None:
    assert len(ASKING) >= 4


@pytest.mark.parametrize("command", ASKING)
def test_command(demo: str, command_environment: dict[str, str], command: str) -> None:
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=command_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    agree(done.stdout, COMMANDS[command])


def test_curl(demo: str, service: Service) -> None:
    (command,) = (command for command in COMMANDS if command.startswith("curl "))
    (address,) = re.findall(r"http://127.0.0.1:8080(/[^']*)", command)
    agree(service.client.get(address).text, COMMANDS[command])


def test_python_blocks(demo: str, command_environment: dict[str, str], service: Service) -> None:
    """The Python of the README runs, with a model where it takes one."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    model = "import torch\nmodel = torch.nn.Linear(3, 2)\n"
    program = model + "\n".join(blocks) + "\ningest.delete(database, 'mnist-100')\n"
    program = program.replace("http://127.0.0.1:8080", str(service.client.base_url))
    program = program.replace("with connect() as database:", "database = connect()\nif database:")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=command_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "MATCH (network:Network {name: $network})" in done.stdout
    assert "shape: (122, 6)" in done.stdout
