"""The home folder: private, with a password that is written once and a record that may be bad."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from store.errors import DiskUnusable, ServerFailed
from store.local.home import Home, Record
from store.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_home_of_the_settings_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.chdir("/")
    assert Home.of(Settings(home=Path("~/store"))).folder == Path("/users/me/store")
    assert Home.of(Settings(home=Path("here"))).folder == Path("/here")


def test_folders_are_private_even_in_a_home_that_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Home(tmp_path).create()
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert {path.name for path in folders} == {"conf", "data", "import", "logs", "run"}
    assert {mode(path) for path in folders} == {0o700}


def test_the_password_is_long_random_private_and_kept(home: Home) -> None:
    home.ensure_password_file()
    first = home.read_password().get_secret_value()
    assert re.fullmatch("[0-9a-f]{48}", first)
    assert mode(home.password_file) == 0o600
    home.ensure_password_file()
    assert home.read_password().get_secret_value() == first
    home.password_file.unlink()
    home.ensure_password_file()
    assert home.read_password().get_secret_value() != first


def test_the_password_file_is_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        home.ensure_password_file()
    finally:
        os.umask(before)
    assert mode(home.password_file) == 0o600


@pytest.mark.parametrize("trace", ["data/dbms/auth.ini", "data/databases/system"])
def test_data_without_its_password_is_told_what_to_do(home: Home, trace: str) -> None:
    (home.folder / trace).mkdir(parents=True)
    with pytest.raises(ServerFailed) as raised:
        home.ensure_password_file()
    assert str(raised.value) == (
        f"The password of the data in {home.data} is lost: put {home.password_file} back, "
        f"or remove {home.data} to begin with an empty store."
    )
    assert not home.password_file.exists()


def test_a_password_that_cannot_be_written_leaves_no_empty_file(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(count: int) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("store.local.home.secrets.token_hex", full)
    with pytest.raises(DiskUnusable, match="No space left on device"):
        home.ensure_password_file()
    assert not home.password_file.exists()


def test_a_record_is_read_as_it_was_written(home: Home) -> None:
    record = Record(pid=17, created=1234.5, port=7687)
    home.write_record(record)
    assert home.read_record() == record
    assert [path.name for path in home.folder.iterdir() if path.is_file()] == ["server.json"]
    home.forget_record()
    home.forget_record()
    assert home.read_record() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', '{"pid": "x", "port": 1}'])
def test_a_damaged_record_is_no_record(home: Home, text: str) -> None:
    home.record_file.write_text(text)
    assert home.read_record() is None


def test_a_file_in_place_of_the_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("I am a file")
    with pytest.raises(DiskUnusable, match="home cannot be used: "):
        Home(tmp_path / "home").create()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Path:
    folder = tmp_path / "tmpfs"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("options", "reason"),
    [("size=64k", "No space left on device"), ("ro", "Read-only file system")],
)
def test_a_disk_that_is_really_full_or_read_only(tmpfs: Path, options: str, reason: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmpfs)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        if "size" in options:
            with pytest.raises(OSError, match=reason):
                (tmpfs / "ballast").write_bytes(bytes(1_000_000))
        with pytest.raises(DiskUnusable, match=reason) as raised:
            Home(tmpfs).write_record(Record(1, 1.0, 1))
        assert str(raised.value) == f"{tmpfs} cannot be used: {reason}."
        with pytest.raises(DiskUnusable, match=reason):
            Home(tmpfs).ensure_password_file()
        assert not (tmpfs / "password").exists()
    finally:
        subprocess.run(["umount", str(tmpfs)], check=True)


def test_plugins_are_those_of_the_last_cache(home: Home, tmp_path: Path) -> None:
    for name in ("old cache", "nëw cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jar").touch()
        home.link_plugins(tmp_path / name)
    assert [jar.name for jar in (home.folder / "plugins").iterdir()] == ["nëw cache.jar"]


def test_a_folder_in_place_of_the_plugins_is_refused(home: Home, tmp_path: Path) -> None:
    (home.folder / "plugins").mkdir()
    with pytest.raises(DiskUnusable, match="home cannot be used: Is a directory"):
        home.link_plugins(tmp_path)
