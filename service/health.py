"""``/health``: whether the service and its database are there, and nothing more."""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.description import FAILURES
from service.failures import UNAVAILABLE, Refusal
from store.errors import WeightomeError

_log = logging.getLogger("weightome.service")

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The service answers, and so does its database."""

    status: Literal["ok"] = Field("ok", description="Always `ok`; otherwise the answer is a 503.")


@router.get("/health", operation_id="health", responses={503: FAILURES[503]})
async def health_(request: Request) -> Health:
    """Whether the database answers. Needs no token and tells no secret."""
    state = request.app.state
    try:
        await state.desk.check(state.options.health_seconds)
    except WeightomeError as error:
        # Whoever watches asks every few seconds: the log holds changes only.
        if state.trouble != str(error):
            state.trouble = str(error)
            _log.warning("The database cannot be used: %s", error)
        raise Refusal(503, error.code, UNAVAILABLE) from error
    if state.trouble:
        state.trouble = ""
        _log.warning("The database can be used again.")
    return Health()
