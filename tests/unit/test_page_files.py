"""What the page is made of: its modules, the libraries it ships, and what it must not hold."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "service/page"
VENDOR = PAGE / "vendor"
MODULES = sorted(
    path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*.js") if VENDOR not in path.parents
)
LIBRARIES: list[dict[str, Any]] = json.loads((VENDOR / "vendor.json").read_text("utf-8"))
_IMPORT = re.compile(
    r"""^(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']|^import\s*["']([^"']+)["']""",
    re.MULTILINE,
)


def import_map() -> dict[str, str]:
    """Specifiers and addresses of the one import map."""
    text = (PAGE / "index.html").read_text("utf-8")
    (written,) = re.findall(r'<script type="importmap">(.*?)</script>', text, re.DOTALL)
    found: dict[str, str] = json.loads(written)["imports"]
    return found


def imported(module: str) -> list[str]:
    """What a module imports."""
    text = (PAGE / module).read_text("utf-8")
    return [one or other for one, other in _IMPORT.findall(text)]


def code(name: str) -> str:
    """A file without the lines of its comments."""
    text = (PAGE / name).read_text("utf-8")
    return re.sub(r"^\s*(?://|/?\*).*$", "", text, flags=re.MULTILINE)


def test_the_import_map_names_every_module_and_library() -> None:
    expected = {f"weightome/{module}": f"./page/{module}" for module in MODULES}
    expected |= {each["name"]: f"./page/vendor/{each['file']}" for each in LIBRARIES}
    assert import_map() == expected


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_by_the_map_only(module: str) -> None:
    """`weightome view` puts them all into one file by that map."""
    assert set(imported(module)) <= set(import_map())
    assert not re.search(r"\bimport\s*\(", code(module))


def test_every_module_and_library_is_used() -> None:
    used = {name for module in MODULES for name in imported(module)}
    assert used | {"weightome/app.js"} == set(import_map())


@pytest.mark.parametrize("module", [*MODULES, "index.html", "page.css"])
def test_names_cannot_become_markup_and_nothing_comes_from_elsewhere(module: str) -> None:
    text = (PAGE / module).read_text("utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML"
    )
    assert not re.search(forbidden, text)
    outside = re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", code(module))
    assert set(outside) <= {"http://www.w3.org", "http://file.invalid"}


def test_the_document_holds_no_inline_script_or_style() -> None:
    text = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\bstyle=|\bon\w+=", text)
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == ['<script type="importmap">']


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library["name"])
def test_libraries_are_what_they_say(library: dict[str, Any]) -> None:
    content = (VENDOR / library["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == library["sha256"]
    assert b"sourceMappingURL" not in content
    assert re.fullmatch(r"\d+\.\d+\.\d+", library["version"])
    text = "".join((VENDOR / name).read_text("utf-8") for name in library["licences"])
    for part in (library, *library["includes"]):
        assert f"==== {part['name']} {part['version']} ({part['licence']})" in text


def test_the_folder_of_libraries_holds_nothing_else() -> None:
    listed = {"vendor.json"}
    for library in LIBRARIES:
        listed |= {library["file"], *library["licences"]}
    assert {path.name for path in VENDOR.iterdir()} == listed
