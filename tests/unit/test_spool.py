"""What survives a service: its jobs and their files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.jobs import Job, Order, Record, State
from service.spool import Spool, prepare, root_for
from store.errors import SettingsError
from store.settings import Settings


def kept_job(spool: Spool, name: str) -> Record:
    with spool.coming("model.onnx") as (identity, path):
        path.write_text(name)
        job = Job(id=identity, name=name, file="model.onnx", created=datetime.now(UTC))
        record = Record(job=job, order=Order(name=name, file="model.onnx"))
        spool.keep(record)
    return record


def test_the_jobs_of_the_dead_are_taken_up_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    dead, living = Spool(tmp_path), Spool(tmp_path)
    assert dead.open() == living.open() == []
    record, others = kept_job(dead, "a"), kept_job(living, "b")
    with dead.coming("half.onnx") as (_, path):
        path.write_text("half")
        # As when its process is killed.
        dead._lock.release()
        heir = Spool(tmp_path)
        assert heir.open() == [record]
    assert (heir.model(record.job.id) / "model.onnx").read_text() == "a"
    assert (living.model(others.job.id) / "model.onnx").read_text() == "b"
    assert not list(tmp_path.rglob("half.onnx"))
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    heir.forget(record.job.id)
    heir.close()
    living.close()
    last = Spool(tmp_path)
    assert last.open() == [others]
    last.close()


def test_what_lies_in_a_spool_is_for_its_owner_only(tmp_path: Path) -> None:
    prepare(tmp_path / "spool")
    spool = Spool(tmp_path / "spool")
    spool.open()
    record = kept_job(spool, "a")
    for path in [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]:
        assert oct(path.stat().st_mode)[-3:] == ("700" if path.is_dir() else "600"), path
    record.job.state = State.DONE
    spool.keep(record)
    assert not spool.model(record.job.id).exists(), "a job that ended needs no file"
    spool.close()


def test_a_file_that_was_not_kept_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.open()
    with pytest.raises(KeyError), spool.coming("a.onnx") as (_, path):
        raise KeyError
    assert not path.parent.parent.exists()
    spool.close()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_record_that_cannot_be_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    spool.open()
    record = kept_job(spool, "a")
    (spool.model(record.job.id).parent / "record.json").write_text("{")
    spool._lock.release()
    assert Spool(tmp_path).open() == []
    assert f"The record of job {record.job.id} cannot be read" in caplog.text


def test_stores_do_not_share_a_spool(tmp_path: Path) -> None:
    local = Settings(home=tmp_path, uri=None)
    roots = {
        root_for(local),
        root_for(Settings(home=tmp_path / "other", uri=None), tmp_path / "spool"),
        root_for(Settings(home=tmp_path, uri="bolt://a")),
        root_for(Settings(home=tmp_path, uri="bolt://a", database="b")),
        root_for(Settings(home=tmp_path, uri="bolt://b")),
    }
    assert len(roots) == 5
    assert {root.parent for root in roots} == {tmp_path / "spool"}
    assert root_for(local) == root_for(local)


def test_a_folder_that_cannot_be_a_spool(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="--spool"):
        prepare(file / "spool")
