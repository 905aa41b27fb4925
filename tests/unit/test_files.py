"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from store.errors import Conflict, InvalidArgument
from store.files import refuse_existing, whole_file


def test_it_appears_at_the_end_and_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_text("old")
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    with (tmp_path / "usual").open("w"):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_what_was(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "answer"
    path.write_text("old")

    def fails() -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise failure

    with pytest.raises(failure):
        fails()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none" / "answer", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("/dev/full"), "No space left on device"),
    ):
        with (
            pytest.raises(InvalidArgument, match=f"cannot be written: {reason}"),
            whole_file(path) as unfinished,
        ):
            unfinished.write_text("new")
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed_and_pipes_are_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "answer")
    with whole_file(tmp_path / "link") as unfinished:
        unfinished.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "answer").read_text() == "new"

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with whole_file(pipe) as unfinished:
        unfinished.write_text("through")
    reader.join(20)
    assert read == ["through"]
    assert pipe.is_fifo()


def test_what_is_there_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    refuse_existing(path)
    path.touch()
    with pytest.raises(Conflict, match=r"There is a file .*answer' already: choose another"):
        refuse_existing(path)
    refuse_existing(path, replace=True)
