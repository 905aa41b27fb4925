"""Parameters that addresses share, each described once."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator

MOST_ROWS = 100_000

# Only now: service.address says why.
_DECODED = AfterValidator(unquote)


NetworkName = Annotated[
    str,
    _DECODED,
    Path(
        description="Name of a network, percent-encoded (`/` is `%2F`); `/v1/networks` lists them.",
        examples=["tiny"],
    ),
]
RunName = Annotated[
    str,
    _DECODED,
    Path(
        description="Name of a run, percent-encoded (`/` is `%2F`); `/v1/runs` lists them.",
        examples=["tiny-run"],
    ),
]
LayerName = Annotated[
    str,
    _DECODED,
    Path(
        description="Name of a layer, percent-encoded; `/v1/networks/{name}/layers` lists them.",
        examples=["fc1"],
    ),
]
NeuronIndex = Annotated[
    int, Path(ge=0, description="Position of the neuron in its layer, from 0.", examples=[2])
]
Limit = Annotated[
    int | None,
    Query(
        ge=1,
        le=MOST_ROWS,
        description="Most rows of the answer; `truncated` tells whether there are more. "
        "Default: the service's row cap.",
        examples=[100],
    ),
]
Seconds = Annotated[
    float | None,
    Query(
        gt=0,
        allow_inf_nan=False,
        description="Time limit of each database query, in seconds; at most, and by default, "
        "the service's own.",
        examples=[10],
    ),
]
FormatName = Annotated[
    Literal["json", "csv", "ndjson", "arrow"] | None,
    Query(
        alias="format",
        description="What the answer is sent as; default: what the header `Accept` likes best, "
        "and JSON where it says nothing.",
        examples=["json"],
    ),
]
Values = Annotated[
    Literal["rows", "columns"],
    Query(
        description="Whether JSON has `rows`, one list for each, or `values`, one list for each "
        "column.",
        examples=["rows"],
    ),
]
