"""Every setting says what it is, in its help and in the README; the README names no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from store.settings import Settings

README = Path(__file__).parents[2] / "README.md"
FIELDS = Settings.model_fields


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"{Settings.model_config['env_prefix']}{field}".upper()


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_has_help(field: str) -> None:
    described = FIELDS[field].description or ""
    assert described.endswith("."), f"{field} has no sentence as its description"


@pytest.mark.parametrize(("suffix", "unit"), [("_seconds", "seconds"), ("_mb", "MiB")])
def test_a_quantity_names_its_unit(suffix: str, unit: str) -> None:
    quantities = [field for field in FIELDS if field.endswith(suffix)]
    assert quantities
    for field in quantities:
        assert unit in (FIELDS[field].description or ""), f"{field} does not say {unit!r}"


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_stands_in_the_readme(field: str) -> None:
    assert f"`{variable(field)}`" in README.read_text("utf-8")


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"\bWEIGHTOME_[A-Z][A-Z_]*[A-Z]\b", README.read_text("utf-8")))
    assert named <= {variable(field) for field in FIELDS}


def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("row_cap"), "7")
    assert Settings().row_cap == 7
