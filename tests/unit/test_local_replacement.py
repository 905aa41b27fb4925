"""A loaded database takes the place of the one that is there: wholly, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.local.home import Home
from store.local.replacement import beside, swap
from store.settings import Settings


def _home(folder: Path, content: str | None) -> Home:
    for part in ("databases", "transactions"):
        if content is not None:
            place = folder / "data" / part / "neo4j"
            place.mkdir(parents=True)
            (place / "file").write_text(content)
    return Home(folder)


def _content(home: Home) -> list[str | None]:
    files = [home.data / part / "neo4j" / "file" for part in ("databases", "transactions")]
    return [file.read_text() if file.exists() else None for file in files]


@pytest.mark.parametrize("content", ["old", None])
def test_it_takes_the_place(tmp_path: Path, content: str | None) -> None:
    home, loaded = _home(tmp_path / "home", content), _home(tmp_path / "loaded", "new")
    swap(home, loaded)
    assert _content(home) == ["new", "new"]
    assert not (loaded.folder / "before").exists()


@pytest.mark.parametrize("step", range(4))
def test_a_failure_at_any_step_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    home, loaded = _home(tmp_path / "home", "old"), _home(tmp_path / "loaded", "new")
    original = Path.rename
    steps = iter(range(100))

    def fails(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space left"):
        swap(home, loaded)
    assert _content(home) == ["old", "old"]
    assert _content(loaded) == ["new", "new"]


def test_what_killed_processes_left_goes(tmp_path: Path) -> None:
    settings = Settings(uri=None, home=tmp_path)
    left = tmp_path / ".beside-killed"
    (left / "home").mkdir(parents=True)
    (left / "lock").touch()
    with beside(settings) as made:
        assert not left.exists()
        made.home.mkdir()
        with beside(settings) as other:
            assert made.home.exists(), "its process is at work"
            assert other.home != made.home
    assert not list(tmp_path.glob(".beside-*"))
