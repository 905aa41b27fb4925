"""Server-sent events: what happens to a job, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse

from service.jobs import ENDED, Job, Jobs

BEAT_SECONDS: Final = 15.0
"""Proxies and browsers give up a connection on which nothing comes for long."""

_HEADERS = {
    "Cache-Control": "no-store",
    # Nginx would keep events back until there are many.
    "X-Accel-Buffering": "no",
}


def event(name: str, job: Job) -> str:
    """One event, with the job as its data.

    Example
    -------
    >>> from datetime import UTC, datetime
    >>> job = Job(id="1", name="mnist", file="mnist.onnx", created=datetime(2026, 1, 1, tzinfo=UTC))
    >>> event("end", job).splitlines()[0]
    'event: end'
    """
    # JSON has no line breaks outside of texts, and escapes them there.
    return f"event: {name}\ndata: {job.model_dump_json(exclude_none=True)}\n\n"


async def _events(jobs: Jobs, identity: str) -> AsyncIterator[str]:
    async for job in jobs.follow(identity, BEAT_SECONDS):
        if job is None:
            yield ": still here\n\n"
        else:
            yield event("end" if job.state in ENDED else "progress", job)


def stream(jobs: Jobs, identity: str) -> StreamingResponse:
    """The events of a job: ``progress`` now and with each change, ``end`` last.

    Raises
    ------
    NotFound
        If there is no such job.
    """
    jobs.get(identity)
    return StreamingResponse(
        _events(jobs, identity), headers=_HEADERS, media_type="text/event-stream"
    )
