"""``/v1/runs``: trainings."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from queries import catalogue
from service.asking import Bounded
from service.description import described

router = APIRouter(tags=["runs"])


@router.get("/v1/runs", **described("runs"))
async def runs_(ask: Bounded) -> Response:
    """Every run, with its number of snapshots and its first and last step."""
    return await ask(catalogue.runs)
