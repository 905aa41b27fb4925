"""``/v1/runs``: trainings, and how their networks changed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from queries import catalogue, dynamics
from service.asking import Bounded
from service.description import described
from service.parameters import Bias, Convention, OfLayer, RunName, Statistic

router = APIRouter(tags=["runs"])


@router.get("/v1/runs", **described("runs"))
async def runs_(ask: Bounded) -> Response:
    """Every run, with its number of snapshots and its first and last step."""
    return await ask(catalogue.runs)


@router.get("/v1/runs/{name}/dynamics", **described("dynamics", 404))
async def dynamics_(
    ask: Bounded,
    name: RunName,
    statistic: Statistic = "fluctuation",
    layer: OfLayer = None,
    convention: Convention = "plain",
    bias: Bias = False,
) -> Response:
    """One layer statistic, or one recorded metric, across the snapshots of a run."""
    return await ask(
        lambda database: dynamics.dynamics(
            database, name, statistic, layer=layer, convention=convention, bias=bias
        )
    )
