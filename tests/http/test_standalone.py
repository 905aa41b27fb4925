"""Views as files: what is in them and what is not, and the command that writes them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.inside import opened
from service.standalone import FURTHER_BYTES, Page, document, standalone
from store.connection import connect
from store.errors import InvalidArgument, NotFound
from store.settings import Settings
from tests.http.conftest import ROOT

ANSWERS = re.compile(r'<script type="application/json" id="weightome-answers"[^>]*>(.*?)</script>')


def _made(settings: Settings, name: str, *panels: str) -> Page:
    return asyncio.run(standalone(lambda: connect(settings), name, panels))


def _answers(page: str) -> dict[str, Any]:
    (text,) = ANSWERS.findall(page)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    "target",
    [
        "/v1/networks/tiny/layers",
        "/v1/networks/tiny/strength?convention=cnt",
        "/v1/networks/tiny/layers/fc1/neurons/2?k=1",
        "/v1/networks?run=tiny-run",
    ],
)
def test_this_process_answers_as_a_service_does(
    settings: Settings, client: httpx.Client, target: str
) -> None:
    async def asked() -> dict[str, Any]:
        async with opened(lambda: connect(settings)) as inside:
            return await inside.ask(target)

    ours, theirs = asyncio.run(asked()), client.get(target).json()
    assert {**ours, "took_ms": 0} == {**theirs, "took_ms": 0}


def test_errors_are_ours(settings: Settings, tiny: str) -> None:
    async def asked(target: str) -> None:
        async with opened(lambda: connect(settings)) as inside:
            await inside.ask(target)

    with pytest.raises(NotFound, match="There is no network 'none'"):
        asyncio.run(asked("/v1/networks/none/layers"))
    with pytest.raises(InvalidArgument, match="There is no parameter 'x'"):
        asyncio.run(asked(f"/v1/networks/{tiny}/layers?x=1"))


def test_a_file_tells_of_nothing_else_in_the_store(settings: Settings, examples: None) -> None:
    page = _made(settings, "step-0", "architecture")
    assert page.panels == ("architecture",)
    assert page.left_out == 0
    answers = _answers(page.html)
    assert [row[0] for row in answers["/v1/networks"]["rows"]] == ["step-0"]
    assert page.answers == len(answers)
    assert not re.search("tiny|step-1|observed", page.html.split("importmap")[0])
    # Only what its panels need is in it: the charts are not.
    (imports,) = re.findall(r'<script type="importmap">(.*?)</script>', page.html)
    assert "echarts" not in json.loads(imports)["imports"]


def test_nothing_is_asked_of_anybody(settings: Settings, tiny: str) -> None:
    page = _made(settings, tiny).html
    assert "./page/" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#|\./docs|\./openapi)[^"]*"', page) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src &#x27;none&#x27;; script-src data: &#x27;sha256-")
    assert "connect-src" not in policy
    # The licence of a library goes along with it.
    assert "Apache License" in page
    assert len(page) < 2_000_000 + FURTHER_BYTES


def test_no_name_ends_the_script() -> None:
    name = '</script><script>alert(1)</script><!-- "\u2028'
    page = document({name: {"columns": [name], "rows": []}}, ["architecture"], "#/x")
    assert _answers(page) == {name: {"columns": [name], "rows": []}}
    assert "<script>alert" not in page


def test_what_a_file_has_no_room_for_is_counted(
    settings: Settings, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _made(settings, tiny, "distributions")
    monkeypatch.setattr("service.standalone.FURTHER_BYTES", 0)
    least = _made(settings, tiny, "distributions")
    assert (whole.left_out, least.answers) == (0, 4)
    assert least.left_out == whole.answers - least.answers > 0


@pytest.mark.parametrize(
    ("name", "panels", "error", "sentence"),
    [
        ("none", (), NotFound, r"There is no network and no run 'none'\."),
        ("tiny", ("dynamics",), NotFound, r"There is no run 'tiny'\."),
        ("tiny-run", ("paths",), NotFound, r"There is no network 'tiny-run'\."),
        ("tiny", ("graph",), InvalidArgument, r"There is no panel 'graph': choose from archi"),
        ("tiny", ("paths", "dynamics"), InvalidArgument, "some about a run"),
    ],
)
def test_what_cannot_be_shown(
    settings: Settings,
    tiny: str,
    name: str,
    panels: tuple[str, ...],
    error: type[Exception],
    sentence: str,
) -> None:
    with pytest.raises(error, match=sentence):
        _made(settings, name, *panels)


def test_the_command(command_environment: dict[str, str], tiny: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weightome", "view", *arguments],
            env=command_environment, cwd=ROOT, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip

    file = tmp_path / "net.html"
    done = run(tiny, "-o", str(file), "--panel", "paths", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["columns"] == ["file", "panels", "answers", "bytes"]
    answers = _answers(file.read_text("utf-8"))
    assert answer["rows"] == [[str(file), ["paths"], len(answers), file.stat().st_size]]
    again = run(tiny, "-o", str(file))
    assert (again.returncode, again.stdout) == (1, "")
    assert "already: choose another, or pass --replace." in again.stderr
    other = run(tiny, "-o", str(tmp_path / "net.pdf"))
    assert "A view is written to a .html file, not to 'net.pdf'." in other.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.html"]
