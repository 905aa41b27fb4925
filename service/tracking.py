"""``/v1/jobs``: how far uploaded files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from service import events
from service.asking import refuse_unknown
from service.description import problems
from service.failures import Refusal
from service.jobs import Job, Jobs

JOB_EXAMPLE: Mapping[str, Any] = {
    "id": "6f1f0ac3b5e84d27",
    "state": "running",
    "name": "mnist",
    "file": "mnist.onnx",
    "progress": {"phase": "writing", "done": 75000, "total": 199210},
    "created": "2026-01-01T12:00:00Z",
}

router = APIRouter(tags=["jobs"])

JobId = Annotated[
    str, Path(description="Id of the job; `/v1/jobs` lists them.", examples=[JOB_EXAMPLE["id"]])
]


class JobList(BaseModel):
    """Jobs."""

    jobs: list[Job] = Field(description="Newest first.")


def jobs_of(request: Request) -> Jobs:
    """The jobs of the service.

    Raises
    ------
    Refusal
        403 ``uploads_disabled`` where it takes no files.
    """
    jobs: Jobs | None = getattr(request.app.state, "jobs", None)
    if jobs is None:
        raise Refusal(
            403,
            "uploads_disabled",
            "This service takes no files; its operator can change that with --upload-limit and "
            "--spool.",
        )
    return jobs


def job_answer(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A job as an answer."""
    return Response(
        job.model_dump_json(exclude_none=True), status, dict(headers or {}), "application/json"
    )


def _answers(status: int, description: str, example: Any) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}


@router.get(
    "/v1/jobs",
    operation_id="jobs",
    response_model=JobList,
    responses={
        **_answers(200, "The jobs.", {"jobs": [JOB_EXAMPLE]}),
        **problems(400, 401, 403),
    },
)
async def jobs_(request: Request) -> Response:
    """Every job, newest first; those that ended are kept for a day, and a thousand at most."""
    refuse_unknown(request)
    listed = JobList(jobs=jobs_of(request).newest_first())
    return Response(listed.model_dump_json(exclude_none=True), media_type="application/json")


@router.get(
    "/v1/jobs/{id}",
    operation_id="job",
    response_model=Job,
    responses={**_answers(200, "The job.", JOB_EXAMPLE), **problems(400, 401, 403, 404)},
)
async def job_(request: Request, id: JobId) -> Response:  # noqa: A002  (its name in the address)
    """How far a job is, and what became of it."""
    refuse_unknown(request)
    return job_answer(jobs_of(request).get(id))


@router.get(
    "/v1/jobs/{id}/events",
    operation_id="job_events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, each with the job as its data.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(400, 401, 403, 404),
    },
)
async def events_(request: Request, id: JobId) -> Response:  # noqa: A002  (its name in the address)
    """What happens to a job, as it happens: `progress` now and whenever it changed, and `end` last.
    The stream ends with the job, and without `end` where the service stops.
    """
    refuse_unknown(request)
    return events.stream(jobs_of(request), id)


@router.delete(
    "/v1/jobs/{id}",
    status_code=202,
    operation_id="cancel_job",
    response_model=Job,
    responses={
        **_answers(
            202,
            "It ends: at once where it waited, else when what it wrote is removed.",
            {**JOB_EXAMPLE, "state": "cancelled"},
        ),
        **problems(400, 401, 403, 404, 409),
    },
)
async def cancel_(request: Request, id: JobId) -> Response:  # noqa: A002  (its name in the address)
    """Cancels a job. What it wrote is removed: the store is then as it was before. A network that
    is complete by then stays, and the job is done.
    """
    refuse_unknown(request)
    return job_answer(jobs_of(request).cancel(id), 202)
