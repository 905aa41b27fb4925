"""What the panels of the page ask: at first, and after one step of a reader.

A page without a service behind it holds the answers; tests/browser/test_standalone.py opens every
panel of one and finds nothing missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from service.places import segment

Records = list[dict[str, Any]]
Answers = Mapping[str, Mapping[str, Any]]

_BINS: Final = 40
_COSTS: Final = ("strongest", "nearest", "hops", "excitatory", "inhibitory")
_MANY_LINKS: Final = 300_000
_MOST_CARDS: Final = 400


@dataclass(frozen=True)
class Subject:
    """What a panel is about.

    Parameters
    ----------
    name
        Of the network or the run.
    layers
        Records of the network's question `layers`; empty for a run.
    snapshots
        Names of the run's networks; empty for a network.
    """

    name: str
    layers: Records
    snapshots: tuple[str, ...] = ()

    def at(self, question: str, **given: Any) -> str:
        """The address of a question about it."""
        about = "runs" if self.snapshots else "networks"
        return _address(f"/v1/{about}/{segment(self.name)}/{question}", **given)


@dataclass(frozen=True)
class Panel:
    """One panel of the page.

    Parameters
    ----------
    about
        ``network`` or ``run``.
    first
        Addresses that it asks when it is opened.
    further
        Addresses that it asks when a reader chooses something, given the answers to the first.
    """

    about: str
    first: Callable[[Subject], Iterator[str]]
    further: Callable[[Subject, Answers], Iterator[str]]


def _address(path: str, **given: Any) -> str:
    texts = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value not in (None, "")
    }
    return f"{path}?{urlencode(texts, doseq=True)}" if texts else path


def records(answer: Mapping[str, Any]) -> Records:
    """The rows of an answer by the names of their columns."""
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


def _linked(of: Subject) -> list[str]:
    return [layer["layer"] for layer in of.layers if layer["links_in"]]


def _architecture(of: Subject) -> Iterator[str]:
    yield of.at("layers")


def _facts(of: Subject, _: Answers) -> Iterator[str]:
    yield of.at("links")
    for layer in _linked(of):
        yield of.at("histogram", layer=layer, bins=_BINS)


def _distributions(of: Subject) -> Iterator[str]:
    yield of.at("layers")
    yield of.at("histogram", bins=_BINS)
    yield of.at("links")


def _other_distributions(of: Subject, _: Answers) -> Iterator[str]:
    yield of.at("layer-strength")
    for what in ("total", "in", "out"):
        yield of.at("distribution", of=what, bins=_BINS)
    yield of.at("histogram", bins=_BINS, bias=True)
    yield of.at("links", bias=True)
    yield of.at("layer-strength", bias=True)
    for layer in _linked(of):
        yield of.at("histogram", layer=layer, bins=_BINS)


def _drawn(of: Subject, sign: str = "both", **measure: str) -> Iterator[str]:
    picking = {**measure, "per_layer": 64, "pick": "even", "limit": 20_000}
    yield of.at("drawn-neurons", **picking)
    yield of.at("drawn-links", **picking, k=300, evenly=True, sign=sign, wires=True)


def _neurons(of: Subject) -> Iterator[str]:
    yield of.at("layers")
    yield from _drawn(of, measure="strength", column="total")


def _cards(of: Subject, answers: Answers) -> Iterator[str]:
    for sign in ("positive", "negative"):
        yield from _drawn(of, sign, measure="strength", column="total")
    for column in ("in", "out"):
        yield from _drawn(of, measure="strength", column=column)
    # Biases and degrees are on the neurons without a measure.
    yield from _drawn(of)
    asked, _ = _drawn(of, measure="strength", column="total")
    drawn = records(answers[asked])
    drawn.sort(key=lambda each: -abs(each["value"]) if isinstance(each["value"], float) else 0.0)
    for neuron in drawn[:_MOST_CARDS]:
        layer, index = neuron["layer"], neuron["neuron"]
        yield of.at("neuron-card", neuron=f"{layer}/{index}")
        yield of.at(f"layers/{segment(layer)}/neurons/{index}", k=10)


def _pairs(of: Subject) -> list[tuple[str, str]]:
    """Source and target of what feeds what; the one that is shown at first stands first."""
    found = [(source, layer) for layer in of.layers for source in layer["fed_by"]]
    found.sort(key=lambda pair: not pair[1]["links_in"])
    return [(source, target["layer"]) for source, target in found]


def _cells(of: Subject, pair: tuple[str, str], value: str) -> str:
    source, target = pair
    return of.at(
        "weight-matrix", source=source, target=target, rows=128, columns=128, of=value,
        wires=False, limit=128**2,
    )  # fmt: skip


def _matrix(of: Subject) -> Iterator[str]:
    yield of.at("layers")
    for pair in _pairs(of)[:1]:
        yield _cells(of, pair, "mean")


def _other_matrices(of: Subject, _: Answers) -> Iterator[str]:
    for value in ("mean", "absolute", "greatest"):
        for pair in _pairs(of):
            yield _cells(of, pair, value)


def _best(of: Subject, cost: str) -> str:
    feeding = {
        source for layer in of.layers for source in layer["fed_by"] if source != layer["layer"]
    }
    sources = [layer["layer"] for layer in of.layers if not layer["fed_by"]]
    targets = [layer["layer"] for layer in of.layers if layer["layer"] not in feeding]
    source, target = (
        (sources or [of.layers[0]["layer"]])[0],
        (targets or [of.layers[-1]["layer"]])[-1],
    )
    return of.at("paths", source=source, target=target, cost=cost, k=10)


def _paths(of: Subject) -> Iterator[str]:
    yield of.at("layers")
    # Of large networks the page wants to be told between which neurons.
    if sum(layer["links_in"] for layer in of.layers) <= _MANY_LINKS:
        yield _best(of, "strongest")


def _other_paths(of: Subject, answers: Answers) -> Iterator[str]:
    if _best(of, "strongest") in answers:
        yield from (_best(of, cost) for cost in _COSTS)


def _dynamics(of: Subject) -> Iterator[str]:
    yield _address("/v1/networks", run=of.name)
    yield of.at("dynamics", statistic="fluctuation")
    for network in of.snapshots:
        yield _address(f"/v1/networks/{segment(network)}/histogram", bins=_BINS)


def _other_dynamics(of: Subject, answers: Answers) -> Iterator[str]:
    listed = records(answers[_address("/v1/networks", run=of.name)])
    for metric in sorted({name for each in listed for name in each["metrics"]}):
        yield of.at("dynamics", statistic=f"metric:{metric}")
    strengths = ("fluctuation", "strength_mean", "in_mean", "out_mean")
    links = ("link_mean", "link_std", "link_min", "link_max")
    for statistic in (*strengths, *links):
        yield of.at("dynamics", statistic=statistic)
    layers = records(answers[of.at("dynamics", statistic="fluctuation")])
    for layer in dict.fromkeys(each["layer"] for each in layers):
        for statistic in (*strengths, *links):
            yield of.at("dynamics", statistic=statistic, layer=layer)
        for network in of.snapshots:
            where = f"/v1/networks/{segment(network)}/histogram"
            yield _address(where, bins=_BINS, layer=layer)


PANELS: Final = {
    "architecture": Panel("network", _architecture, _facts),
    "distributions": Panel("network", _distributions, _other_distributions),
    "paths": Panel("network", _paths, _other_paths),
    "neurons": Panel("network", _neurons, _cards),
    "matrix": Panel("network", _matrix, _other_matrices),
    "dynamics": Panel("run", _dynamics, _other_dynamics),
}
"""The panels that can stand in a file, by the names that the page gives them."""
