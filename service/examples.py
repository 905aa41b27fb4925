"""One example per address: a request about the network ``tiny``, and its answer.

``tests/http/test_examples.py`` asks a real service for each and compares the rows: an example
that is no longer true does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queries import catalogue, dynamics, links, paths, strength
from queries.question import symmetry_sentence
from queries.registry import questions
from store.query import Query, Table


@dataclass(frozen=True)
class Example:
    """A request that gets an answer.

    Parameters
    ----------
    address
        Path and query of the request.
    answer
        What comes back; its time and the moment of ingest differ each time.
    body
        What is posted, where anything is.
    """

    address: str
    answer: Table
    body: Mapping[str, Any] = field(default_factory=dict)


def _answer(query: Query, rows: list[list[Any]], **parameters: Any) -> Table:
    question = questions().get(query.name)
    sentence = symmetry_sentence(question.survives if question else None)
    notes = (sentence,) if sentence else ()
    return Table(query.columns, rows, query.cypher.strip(), parameters, took_ms=4.217, notes=notes)


_OWN = "MATCH (network:Network) WHERE network.links > $least RETURN network.name AS name"

EXAMPLES = {
    "runs": Example("/v1/runs", _answer(catalogue.RUNS, [["tiny-run", 1, 0, 0]], after=None)),
    "dynamics": Example(
        "/v1/runs/tiny-run/dynamics?statistic=fluctuation&convention=cnt",
        _answer(
            dynamics.STRENGTH_STATISTICS["fluctuation"],
            [
                [0, "tiny", "input", 0, 0.5],
                [0, "tiny", "fc1", 1, 4.908722395446248],
                [0, "tiny", "fc2", 2, 2.0],
            ],
            run="tiny-run",
            layer=None,
            unit=True,
            bias=True,
        ),
    ),
    "networks": Example(
        "/v1/networks?run=tiny-run",
        _answer(
            catalogue.NETWORKS,
            [
                [
                    *("tiny", "tiny-run", 0, "shared", "test", 3, 7, 12, 0, 17),
                    *({"accuracy": 0.5}, "2026-10-01T12:00:00Z"),
                ]
            ],
            run="tiny-run",
            after=None,
        ),
    ),
    "layers": Example(
        "/v1/networks/tiny/layers",
        _answer(
            catalogue.LAYERS,
            [
                ["input", 0, "input", "identity", 2, [2], False, 0, 0, []],
                ["fc1", 1, "linear", "identity", 3, [3], True, 6, 0, ["input"]],
                ["fc2", 2, "linear", "identity", 2, [2], True, 6, 0, ["fc1"]],
            ],
            network="tiny",
            after=-1,
        ),
    ),
    "neurons": Example(
        "/v1/networks/tiny/layers/fc1/neurons",
        _answer(
            catalogue.NEURONS,
            [
                [0, "2", 0.1, None, None, [], 2, 2],
                [1, "3", 0.2, None, None, [], 2, 2],
                [2, "4", 0.3, None, None, [], 2, 2],
            ],
            first=2,
            last=4,
        ),
    ),
    "neuron": Example(
        "/v1/networks/tiny/layers/fc1/neurons/2?k=2",
        _answer(
            catalogue.NEURON,
            [
                ["in", "input", 1, -6.0],
                ["in", "input", 0, 3.0],
                ["out", "fc2", 1, -6.0],
                ["out", "fc2", 0, 5.0],
            ],
            id=4,
            k=2,
        ),
    ),
    "strength": Example(
        "/v1/networks/tiny/strength?convention=plain",
        _answer(
            strength.STRENGTH,
            [
                ["input", 0, 0, 0.0, 2.0, 2.0],
                ["input", 0, 1, 0.0, 3.0, 3.0],
                ["fc1", 1, 0, 5.0, 3.0, 8.0],
                ["fc1", 1, 1, 3.0, 1.0, 4.0],
                ["fc1", 1, 2, -3.0, -1.0, -4.0],
                ["fc2", 2, 0, 3.0, 0.0, 3.0],
                ["fc2", 2, 1, 0.0, 0.0, 0.0],
            ],
            network="tiny",
            unit=False,
            bias=False,
        ),
    ),
    "links": Example(
        "/v1/networks/tiny/links",
        _answer(
            links.LINKS,
            [
                [
                    *("fc1", 1, 6, 0.8333333333333333, 3.8042374035044424),
                    *(-6.0, -5.0, -1.25, 2.0, 3.75, 4.75, 5.0, 0.0),
                ],
                [
                    *("fc2", 2, 6, 0.5, 3.8622100754188224),
                    *(-6.0, -5.25, -2.0, 1.5, 3.5, 4.75, 5.0, 0.0),
                ],
            ],
            network="tiny",
            bias=False,
            near_zero=0.001,
        ),
    ),
    "histogram": Example(
        "/v1/networks/tiny/histogram?layer=fc1&bins=4",
        _answer(
            links.HISTOGRAM,
            [
                ["fc1", 1, 0, -6.0, -3.25, 1],
                ["fc1", 1, 1, -3.25, -0.5, 1],
                ["fc1", 1, 2, -0.5, 2.25, 1],
                ["fc1", 1, 3, 2.25, 5.0, 3],
            ],
            network="tiny",
            layer="fc1",
            bins=4,
            bias=False,
        ),
    ),
    "paths": Example(
        "/v1/networks/tiny/paths?source=input/0&target=fc2&k=2",
        Table(
            ("rank", "cost", "product", "hops", "path", "weights"),
            [
                [
                    *(1, 0.6931471805599453, -18.0, 2),
                    *(["input/0", "fc1/2", "fc2/1"], [3.0, -6.0]),
                ],
                [
                    *(2, 0.8754687373538999, 15.0, 2),
                    *(["input/0", "fc1/2", "fc2/0"], [3.0, 5.0]),
                ],
            ],
            f"{paths.PROJECT['strongest'].cypher.strip()};\n\n{paths.YEN.cypher.strip()}",
            {"network": "tiny", "k": 2},
            took_ms=21.03,
            notes=(
                paths.COSTS["strongest"].meaning,
                symmetry_sentence(questions()["paths"].survives),
            ),
        ),
    ),
    "cypher": Example(
        "/v1/cypher",
        Table(("name",), [["tiny"]], _OWN, {"least": 10}, took_ms=4.217),
        {"cypher": _OWN, "parameters": {"least": 10}},
    ),
}
