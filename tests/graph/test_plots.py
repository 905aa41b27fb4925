"""Charts: what is drawn is what the answers say, and files are what their names say."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from queries import plots
from queries.divergence import Distributed, distribution, layer_divergence
from queries.dynamics import dynamics
from queries.plot_commands import mount
from queries.plots import draw, plot
from store.commandline import application, run
from store.database import Database
from store.errors import Conflict, InvalidArgument, NotFound, SettingsError
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices

RUN = "charts of a test"


@pytest.fixture(scope="module")
def names(database: Database) -> Iterator[list[str]]:
    """Three snapshots of a run."""
    from ingest.removal import delete
    from ingest.writer import write

    found = [f"chart {step}" for step in range(3)]
    for step, name in enumerate(found):
        matrices = [matrix * (step + 1) for matrix in random_matrices(0)]
        write(database, dense_network(matrices), name=name, run=RUN, step=step, replace=True)
    yield found
    for name in found:
        delete(database, name)


@pytest.mark.parametrize(("kind", "of"), [("links", "links"), ("strength", "total")])
def test_distributions(database: Database, names: list[str], kind: Any, of: Any) -> None:
    table = distribution(database, names[0], what=Distributed(of, 40)).records()
    figure = draw(database, kind, names[0])
    layers = list(dict.fromkeys(row["layer"] for row in table))
    assert [axes.get_title() for axes in figure.axes] == layers
    for axes in figure.axes:
        (steps,) = [each for each in axes.patches if isinstance(each, StepPatch)]
        rows = [row for row in table if row["layer"] == axes.get_title()]
        counts, edges, _ = steps.get_data()
        assert counts.tolist() == [row["count"] for row in rows]
        assert edges.tolist() == [row["low"] for row in rows] + [rows[-1]["high"]]
    assert figure.axes[0].get_ylabel() == ("links" if kind == "links" else "neurons")
    assert figure.axes[-1].get_xlabel() in ("link weight", "total strength")


def test_fluctuation(database: Database, names: list[str]) -> None:
    assert names
    table = dynamics(database, RUN, "fluctuation").records()
    (axes,) = draw(database, "fluctuation", RUN).axes
    for line in axes.lines:
        rows = [row for row in table if row["layer"] == line.get_label()]
        assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2]
        assert np.asarray(line.get_ydata()).tolist() == [row["value"] for row in rows]
    assert len(axes.lines) == 4
    assert len({line.get_color() for line in axes.lines}) == 4
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "layers fluctuation")


def test_divergence(database: Database, names: list[str]) -> None:
    table = layer_divergence(database, names[0]).records()
    axes, bar = draw(database, "divergence", names[0]).axes
    (image,) = axes.images
    drawn = np.asarray(image.get_array())
    layers = [label.get_text() for label in axes.get_xticklabels()]
    assert layers == ["fc1", "fc2", "fc3"]
    for row in table:
        places = layers.index(row["layer"]), layers.index(row["other_layer"])
        assert drawn[places] == drawn[places[::-1]] == row["jensen_shannon"]
    assert np.diag(drawn).tolist() == [0, 0, 0]
    assert image.get_clim() == (0, math.log(2))
    assert "nats" in bar.get_ylabel()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_files(database: Database, names: list[str], tmp_path: Path, suffix: str) -> None:
    for kind in ("links", "strength", "fluctuation", "divergence"):
        name = RUN if kind == "fluctuation" else names[0]
        file = tmp_path / f"{kind}.{suffix}"
        assert plot(database, kind, name, file) == file
        content = file.read_bytes()
        if suffix == "png":
            assert content.startswith(b"\x89PNG\r\n\x1a\n")
        else:
            root = ET.fromstring(content)  # noqa: S314 - our own file
            assert root.tag.endswith("svg")
            assert b"<dc:date>" not in content
        with pytest.raises(Conflict, match=r"There is a file .* already: choose another"):
            plot(database, kind, name, file)
        plot(database, kind, name, file, replace=True)
        assert file.read_bytes() == content, "the same chart is the same file"
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [f".{suffix}"] * 4


def test_bad_charts(
    database: Database, names: list[str], tmp_path: Path, stored: Callable[..., str]
) -> None:
    with pytest.raises(InvalidArgument, match="kind cannot be 'pie': choose from links, strength"):
        plot(database, "pie", names[0], tmp_path / "x.svg")  # type: ignore[arg-type]
    with pytest.raises(
        InvalidArgument, match=r"format cannot be '\.pdf': choose from \.png, \.svg"
    ):
        plot(database, "links", names[0], tmp_path / "x.pdf")
    with pytest.raises(NotFound, match="There is no network 'nothing'"):
        plot(database, "links", "nothing", tmp_path / "x.svg")
    with pytest.raises(InvalidArgument, match="cannot be written: No such file or directory"):
        plot(database, "links", names[0], tmp_path / "nowhere" / "x.svg")
    deep = stored(dense_network([np.ones((1, 1))] * 30))
    with pytest.raises(InvalidArgument, match="has 30 layers to draw, and 24 at most are readable"):
        plot(database, "links", deep, tmp_path / "x.svg")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib(
    database: Database, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [each for each in sys.modules if each.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"Charts need matplotlib: .*weightome\[plots\]"):
        plots.plot(database, "links", names[0], tmp_path / "x.svg")


def test_on_the_command_line(
    names: list[str],
    store_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for variable, value in store_environment.items():
        monkeypatch.setenv(variable, value)
    app = application("Charts.")
    mount(app)
    app.command("other")(lambda: None)
    file = str(tmp_path / "x.svg")
    assert run(app, "weightome", ["plot", "links", names[0], file]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert run(app, "weightome", ["plot", "links", names[0], file]) == 1
    assert "There is a file" in capsys.readouterr().err
