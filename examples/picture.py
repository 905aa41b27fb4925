"""Draws the demo's network from the store: ``python examples/picture.py > docs/digits.svg``."""

from __future__ import annotations

import sys
from xml.sax.saxutils import escape

from queries.catalogue import layers
from queries.paths import paths
from queries.strength import strength
from store.connection import connect

NETWORK, DIGIT = "digits-060", 3
WIDTH, HEIGHT, MARGIN = 880, 430, 50
WEAK, NEGATIVE, POSITIVE = (236, 236, 232), (201, 62, 52), (38, 104, 178)

Point = tuple[float, float]


def colour(value: float, most: float) -> str:
    """Between grey (0) and blue (most) or red (-most)."""
    end = POSITIVE if value > 0 else NEGATIVE
    share = min(1.0, abs(value) / most)
    return "#" + "".join(
        f"{round(weak + (strong - weak) * share):02x}"
        for weak, strong in zip(WEAK, end, strict=True)
    )


def positions(names: list[str], sizes: list[int]) -> dict[str, Point]:
    """Where each neuron stands: the 64 pixels as a square, every other layer as a column."""
    places: dict[str, Point] = {}
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        x = MARGIN + 110 + (WIDTH - 2 * MARGIN - 130) * number / (len(sizes) - 1)
        for neuron in range(size):
            if number == 0:
                row, column = divmod(neuron, 8)
                places[f"{name}/{neuron}"] = (MARGIN + 26 * column, 122 + 26 * row)
            else:
                gap = min(34.0, (HEIGHT - 2 * MARGIN) / (size - 1))
                y = HEIGHT / 2 + gap * (neuron - (size - 1) / 2)
                places[f"{name}/{neuron}"] = (x, y)
    return places


def main() -> None:
    with connect() as database:
        shown = layers(database, NETWORK).records()
        totals = strength(database, NETWORK).records()
        strongest = paths(database, NETWORK, "input", f"output/{DIGIT}", k=10).records()
    places = positions([row["layer"] for row in shown], [row["size"] for row in shown])
    most = {
        layer["layer"]: max(abs(row["total"]) for row in totals if row["layer"] == layer["layer"])
        for layer in shown
    }
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        '<g font-family="sans-serif" font-size="13" fill="#555">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for row in reversed(strongest):
        line = " ".join(
            f"{places[neuron][0]:.1f},{places[neuron][1]:.1f}" for neuron in row["path"]
        )
        stroke = colour(row["product"], abs(strongest[0]["product"]))
        svg.append(f'<polyline points="{line}" fill="none" stroke="{stroke}" stroke-width="1.8"/>')
    for row in totals:
        x, y = places[f"{row['layer']}/{row['neuron']}"]
        radius = 9 if row["layer"] == "input" else 4.6 if row["layer"] == "hidden1" else 7
        fill = colour(row["total"], most[row["layer"]])
        title = f"{row['layer']}/{row['neuron']}: strength {row['total']:+.3f}"
        svg.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="#888" '
            f'stroke-width="0.6"><title>{escape(title)}</title></circle>'
        )
    for row in shown:
        column = [places[f"{row['layer']}/{neuron}"] for neuron in range(row["size"])]
        x = sum(point[0] for point in column) / len(column)
        label = escape(f"{row['layer']} ({row['size']})")
        svg.append(f'<text x="{x:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{label}</text>')
    x, y = places[f"output/{DIGIT}"]
    svg.append(f'<text x="{x + 14:.0f}" y="{y + 5:.0f}" font-weight="bold">{DIGIT}</text>')
    sys.stdout.write("\n".join([*svg, "</g></svg>"]) + "\n")


if __name__ == "__main__":
    main()
