"""What a model would take, told without reading it, and the refusal of what would take too much."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

import ingest
from ingest.commands import mount
from ingest.estimate import LINK_BYTES, NEURON_BYTES
from store.commandline import application
from store.errors import InputError


@pytest.fixture
def giant(tmp_path: Path) -> Path:
    """3e9 weights in a file that is a hole: reading it all would take 12 GB and show zeros."""
    size = 4 * 60_000 * 50_000
    entry = {"dtype": "F32", "shape": [60_000, 50_000], "data_offsets": [0, size]}
    header = json.dumps({"fc.weight": entry}).encode()
    file = tmp_path / "giant.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    return file


def test_a_giant_is_measured_without_reading_it(giant: Path) -> None:
    expected = ingest.measure(giant)
    assert (expected.layers, expected.neurons) == (2, 110_000)
    assert expected.links == expected.parameters == 3_000_000_000
    assert expected.disk_bytes == 3_000_000_000 * LINK_BYTES + 110_000 * NEURON_BYTES
    assert expected.seconds > 3_600


def test_a_giant_is_refused_before_any_database_is_opened(
    giant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "connect", lambda settings: pytest.fail("it was opened"))
    says = r"3,000,000,000 links, which take about 231 GB on disk and 10\.4 hours: .* --yes"
    with pytest.raises(InputError, match=says):
        ingest.ingest(giant, name="giant")


def test_the_command(tmp_path: Path) -> None:
    save_file({"a.weight": np.ones((4, 3), "f4"), "a.bias": np.ones(4, "f4")}, tmp_path / "m.pt")
    app = application("")
    mount(app)
    done = CliRunner().invoke(app, ["estimate", str(tmp_path / "m.pt"), "--format", "json"])
    answer = json.loads(done.stdout)
    assert answer["columns"][:4] == ["layers", "neurons", "links", "wires"]
    assert answer["rows"][0][:5] == [2, 7, 12, 0, 16]
