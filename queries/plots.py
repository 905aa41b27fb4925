"""Charts of the answers, as PNG or SVG (extra ``plots``: matplotlib)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from queries.divergence import Distributed, Of, distribution, layer_divergence
from queries.dynamics import dynamics
from queries.options import one_of
from store.database import Database
from store.errors import InvalidArgument, SettingsError
from store.files import refuse_existing, whole_file
from store.query import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["links", "strength", "fluctuation", "divergence"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Okabe & Ito: told apart by colour-blind readers too.
PALETTE: Final = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
_COLUMNS: Final = 4
_MOST_LAYERS: Final = 24


def plot(
    database: Database, kind: Kind, name: str, file: str | Path, *, replace: bool = False
) -> Path:
    """Draws a chart of a network or a run.

    Parameters
    ----------
    kind
        ``links``: distribution of the link weights of each layer of a network; ``strength``: of
        its neurons' total strength; ``fluctuation``: layers fluctuation over the steps of a run;
        ``divergence``: Jensen-Shannon divergence between the link weights of each two layers.
    name
        Of the network, or of the run.
    file
        Where to: `.png` or `.svg`.
    replace
        Whether a file that is there may be overwritten.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    NotFound
        If there is no network or run of that name.
    InvalidArgument
        If the kind or the format is not known, or there is nothing to draw.
    Conflict
        If the file is there already.
    SettingsError
        If matplotlib is not installed.

    References
    ----------
    Charts as in La Malfa et al., arXiv 2110.02628 and 2209.05488.

    Example
    -------
    >>> plot(database, "strength", "mnist", "strength.svg")             # doctest: +SKIP
    """
    one_of("kind", kind, KINDS)
    path = Path(file)
    one_of("format", path.suffix.lower(), (".png", ".svg"))
    refuse_existing(path, replace=replace)
    figure = draw(database, kind, name)
    # The same answer gives the same file: no date, no random ids.
    import matplotlib

    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with (
        matplotlib.rc_context({"svg.hashsalt": "weightome", "svg.fonttype": "none"}),
        whole_file(path) as unfinished,
    ):
        figure.savefig(unfinished, format=path.suffix.lower()[1:], dpi=150, metadata=metadata)
    return path


def draw(database: Database, kind: Kind, name: str) -> Figure:
    """The chart as a matplotlib figure, as :func:`plot` writes it."""
    try:
        from matplotlib.figure import Figure as Drawn
    except ImportError as error:
        raise SettingsError(
            "Charts need matplotlib: install weightome with its extra, pip install "
            "'weightome[plots]'."
        ) from error
    drawings: dict[str, Callable[[Figure, Database, str], None]] = {
        "links": lambda figure, db, network: _distributions(figure, db, network, "links"),
        "strength": lambda figure, db, network: _distributions(figure, db, network, "total"),
        "fluctuation": _fluctuation,
        "divergence": _divergence,
    }
    figure = Drawn(layout="constrained")
    drawings[kind](figure, database.limited(row_cap=1_000_000), name)
    return figure


_NAMES: Final = {"links": "link weight", "total": "total strength"}


def _distributions(figure: Figure, database: Database, network: str, of: Of) -> None:
    from matplotlib.ticker import MaxNLocator

    table = distribution(database, network, what=Distributed(of, 40))
    layers = list(dict.fromkeys(table.column("layer")))
    _some(layers, network)
    columns = min(_COLUMNS, len(layers))
    rows = math.ceil(len(layers) / columns)
    figure.set_size_inches(3.2 * columns, 2.4 * rows)
    for number, layer in enumerate(layers, start=1):
        axes = figure.add_subplot(rows, columns, number)
        found = [row for row in table.records() if row["layer"] == layer]
        edges = [row["low"] for row in found] + [found[-1]["high"]]
        axes.stairs([row["count"] for row in found], edges, fill=True, color=PALETTE[0])
        axes.axvline(0, color="#888888", linewidth=0.8, zorder=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(layer, fontsize=10)
        _plain(axes)
        if number > len(layers) - columns:
            axes.set_xlabel(_NAMES[of])
        if number % columns == 1 or columns == 1:
            axes.set_ylabel("links" if of == "links" else "neurons")


def _fluctuation(figure: Figure, database: Database, run: str) -> None:
    table = dynamics(database, run, "fluctuation")
    layers = list(dict.fromkeys(table.column("layer")))
    _some(layers, run)
    figure.set_size_inches(7, 4)
    axes = figure.add_subplot()
    for number, layer in enumerate(layers):
        rows = [row for row in table.records() if row["layer"] == layer]
        axes.plot(
            [row["step"] for row in rows],
            [row["value"] for row in rows],
            color=PALETTE[number % len(PALETTE)],
            # Beyond the palette colours come again, and lines tell apart.
            linestyle=("-", "--", ":", "-.")[number // len(PALETTE) % 4],
            marker="o",
            markersize=3,
            label=layer,
        )
    axes.set_xlabel("step")
    axes.set_ylabel("layers fluctuation")
    axes.legend(frameon=False, fontsize=8)
    _plain(axes)


def _divergence(figure: Figure, database: Database, network: str) -> None:
    table: Table = layer_divergence(database, network)
    layers = list(dict.fromkeys([*table.column("layer"), *table.column("other_layer")]))
    _some(layers, network)
    values = np.zeros((len(layers), len(layers)))
    for one, other, _, found in table.rows:
        places = layers.index(one), layers.index(other)
        values[places] = values[places[::-1]] = found
    figure.set_size_inches(1.5 + 0.6 * len(layers), 1.2 + 0.6 * len(layers))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=math.log(2))
    axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
    axes.set_yticks(range(len(layers)), layers)
    for (row, column), value in np.ndenumerate(values):
        bright = value > math.log(2) / 2
        axes.text(
            column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
            color="black" if bright else "white",
        )  # fmt: skip
    figure.colorbar(image, ax=axes, label="Jensen-Shannon divergence, nats", shrink=0.8)


def _some(layers: list[Any], name: str) -> None:
    if not layers:
        raise InvalidArgument(f"{name!r} has no links to draw.")
    if len(layers) > _MOST_LAYERS:
        raise InvalidArgument(
            f"{name!r} has {len(layers)} layers to draw, and {_MOST_LAYERS} at most are readable."
        )


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
