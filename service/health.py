"""``/health`` and ``/ready``: whether the service lives, and whether it can answer questions."""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.description import FAILURES
from service.failures import UNAVAILABLE, Refusal
from store.errors import WeightomeError

# A lost database is back in seconds or needs its operator; a watcher asks about this often.
_RETRY_SECONDS = "5"

_log = logging.getLogger("weightome.service")

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """It is as it should be."""

    status: Literal["ok"] = Field("ok", description="Always `ok`.")


@router.get("/health", operation_id="health")
async def health_() -> Health:
    """Whether the service lives: it answers, whatever its database does. Needs no token.

    For what restarts a process that hangs; `/ready` tells whether questions can be asked.
    """
    return Health()


@router.get("/ready", operation_id="ready", responses={503: FAILURES[503]})
async def ready_(request: Request) -> Health:
    """Whether questions can be asked: the database answers and has Graph Data Science. Otherwise
    the answer is a 503. Needs no token and tells no secret.
    """
    state = request.app.state
    try:
        await state.desk.check(state.options.health_seconds)
    except WeightomeError as error:
        # Whoever watches asks every few seconds: the log holds changes only.
        if state.trouble != str(error):
            state.trouble = str(error)
            _log.warning("The database cannot be used: %s", error)
        raise Refusal(503, error.code, UNAVAILABLE, {"Retry-After": _RETRY_SECONDS}) from error
    if state.trouble:
        state.trouble = ""
        _log.warning("The database can be used again.")
    return Health()
