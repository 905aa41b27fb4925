"""A model file put into the store by the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import save_file

from ingest.removal import delete
from store.database import Database
from store.errors import NotFound
from tests.browser.conftest import PATIENCE_MS, Visit, Visitor
from tests.serving import Service, Start

expect.set_options(timeout=PATIENCE_MS)

WEIGHTS = np.array([[1, -2], [3, 4], [5, 6]], dtype=np.float32)


@pytest.fixture(scope="module")
def taking(
    start: Start, crowd: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that takes files, with a spool of its own."""
    assert crowd is None
    with start("--spool", str(tmp_path_factory.mktemp("spool"))) as running:
        yield running


@pytest.fixture
def visitor(visit: Visit, taking: Service) -> Visitor:
    """Somebody at its page."""
    return visit(taking)


@pytest.fixture
def uploaded(database: Database) -> Iterator[str]:
    """A name that is free before and after."""
    yield "uploaded"
    try:
        delete(database, "uploaded")
    except NotFound:
        return


def model(folder: Path) -> Path:
    """A dense layer of two inputs and three outputs."""
    path = folder / "dense.safetensors"
    save_file({"fc.weight": WEIGHTS}, path)
    return path


def opened(visitor: Visitor) -> Page:
    """The page with the form open."""
    page = visitor.open()
    page.get_by_role("heading", name="Add a network").click()
    expect(page.get_by_role("form", name="Add a network")).to_be_visible()
    return page


def test_a_file_becomes_a_network(visitor: Visitor, uploaded: str, tmp_path: Path) -> None:
    page = opened(visitor)
    page.get_by_label("Choose a model file").set_input_files(model(tmp_path))
    # The file's name is a proposal.
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_value("dense")
    name.fill(uploaded)
    page.get_by_label("Run", exact=True).fill("uploads")
    page.get_by_label("Step", exact=True).fill("7")
    page.get_by_role("button", name="Add the network").click()
    row = page.locator('tr[data-network="uploaded"]')
    expect(row).to_have_count(1)
    expect(page.locator(".jobs")).to_contain_text("in the store")
    expect(row.locator("td.number")).to_have_text(["7", "2", "5", "6"])
    (stored,) = [each for each in visitor.rows("/v1/networks") if each["network"] == uploaded]
    assert (stored["run"], stored["step"], stored["source"]) == ("uploads", 7, "safetensors")
    (layer,) = visitor.rows(f"/v1/networks/{uploaded}/links")
    assert layer["mean"] == pytest.approx(WEIGHTS.mean())
    assert layer["max"] == 6


def test_a_file_is_dropped(visitor: Visitor, uploaded: str, tmp_path: Path) -> None:
    page = opened(visitor)
    content = model(tmp_path).read_bytes()
    page.evaluate(
        """([content, name]) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(content)], name));
          const form = document.querySelector("form.upload");
          for (const kind of ["dragenter", "dragover", "drop"]) {
            const how = { dataTransfer: files, bubbles: true, cancelable: true };
            form.dispatchEvent(new DragEvent(kind, how));
          }
        }""",
        [list(content), f"{uploaded}.safetensors"],
    )
    expect(page.get_by_label("Name", exact=True)).to_have_value(uploaded)
    page.get_by_role("button", name="Add the network").click()
    expect(page.locator('tr[data-network="uploaded"]')).to_have_count(1)


def test_what_cannot_be_read_says_why(visitor: Visitor, uploaded: str, tmp_path: Path) -> None:
    page = opened(visitor)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    page.get_by_label("Choose a model file").set_input_files(broken)
    page.get_by_label("Name", exact=True).fill(uploaded)
    page.get_by_role("button", name="Add the network").click()
    failed = page.locator(".jobs .failed")
    expect(failed).to_contain_text("uploaded")
    job = visitor.service.client.get("/v1/jobs").json()["jobs"][0]
    assert job["state"] == "failed"
    expect(failed).to_contain_text(job["error"]["message"])
    assert uploaded not in {each["network"] for each in visitor.rows("/v1/networks")}


def test_a_taken_name_is_refused_before_anything_is_written(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.expected.append(r"status of 409")
    page = opened(visitor)
    page.get_by_label("Choose a model file").set_input_files(model(tmp_path))
    page.get_by_label("Name", exact=True).fill("tiny")
    page.get_by_role("button", name="Add the network").click()
    expect(page.locator(".jobs .failed")).to_contain_text("There is a network 'tiny' already")
    assert len(visitor.rows("/v1/networks/tiny/layers")) == 3


def test_a_job_is_cancelled(visitor: Visitor, uploaded: str, tmp_path: Path) -> None:
    page = opened(visitor)
    path = tmp_path / "large.safetensors"
    save_file({"fc.weight": np.zeros((2_000, 2_000), dtype=np.float32)}, path)
    page.get_by_label("Choose a model file").set_input_files(path)
    page.get_by_label("Name", exact=True).fill(uploaded)
    page.get_by_role("button", name="Add the network").click()
    entry = page.locator(".jobs li")
    expect(entry).to_contain_text("links")
    entry.get_by_role("button", name="Cancel").click()
    expect(entry).to_contain_text("cancelled")
    assert uploaded not in {each["network"] for each in visitor.rows("/v1/networks")}
