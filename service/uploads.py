"""``POST /v1/networks`` takes a model file, and ``DELETE`` removes a network.

The only place of the service that needs the room of ingest, and only once something is to be
changed: answering questions loads none of it.
"""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from queries import scope
from service.asking import refuse_unknown
from service.changes import Changes
from service.description import problems
from service.failures import Refusal
from service.ingesting import Ingesting
from service.jobs import Job, Jobs, Order
from service.options import Options
from service.parameters import NetworkName
from service.spool import Spool
from service.tracking import JOB_EXAMPLE, job_answer, jobs_of
from store import schema
from store.database import Database
from store.errors import Conflict, InvalidArgument, NotFound
from store.local.disk import is_disk_error

_log = logging.getLogger("weightome.service")

SUFFIXES = (".onnx", ".safetensors", ".pt2", ".h5", ".keras", ".pt", ".pth")
_LONGEST_FILE_NAME = 200
_MEDIA_TYPE = "application/octet-stream"
# The file is written in pieces of this length, in bytes.
_PIECE = 1 << 20
# Room that an upload leaves on the disk, in bytes: Neo4j may live there too.
_SPARE = 256_000_000

router = APIRouter(tags=["networks"])


@asynccontextmanager
async def jobs_taken_up(app: FastAPI, options: Options) -> AsyncIterator[None]:
    """Uploads and their jobs, for as long as the block runs; ``app.state`` has desk and changes."""
    state = app.state
    if options.spool is None or options.upload_bytes == 0:
        yield
        return
    spool = Spool(options.spool)
    taken_up = spool.open()
    work = Ingesting(state.desk, state.changes, spool, _undone)
    jobs = Jobs(work, spool, running=options.jobs_running, waiting=options.jobs_waiting)
    state.spool, state.jobs = spool, jobs
    state.before_stop.append(jobs.stop_listening)
    jobs.restore(taken_up)
    try:
        yield
    finally:
        await jobs.close()
        spool.close()


def _undone(database: Database, name: str, network: int | None) -> bool:
    """Removes what an ingest left of a name, unless the network of that id is complete."""
    from ingest.completion import is_complete
    from ingest.removal import clean_up

    if network is not None and is_complete(database, network):
        return False
    clean_up(database, name=name)
    return True


# -- a file --------------------------------------------------------------------------------------


async def _order(
    name: Annotated[
        str,
        Query(description="What the network shall be called.", examples=["mnist"]),
    ],
    file: Annotated[
        str,
        Query(
            description="Name of the file, whose end tells its format: "
            + ", ".join(f"`{suffix}`" for suffix in SUFFIXES)
            + ".",
            examples=["mnist.onnx"],
        ),
    ],
    view: Annotated[
        Literal["shared", "unrolled"],
        Query(
            description="`shared`: one neuron per channel or feature, one link per weight; "
            "`unrolled`: one neuron per value, one link per use of a weight.",
            examples=["shared"],
        ),
    ] = "shared",
    run: Annotated[
        str | None, Query(description="Run that it is a snapshot of.", examples=["training"])
    ] = None,
    step: Annotated[
        int | None,
        Query(description="When in the training it was taken; goes with `run`.", examples=[100]),
    ] = None,
    replace: Annotated[
        bool,
        Query(
            description="Takes the place of a network of that name, which stays until the new one "
            "is complete.",
            examples=[False],
        ),
    ] = False,
) -> Order:
    schema.valid_name(name)
    schema.valid_snapshot(run, step)
    return Order(name=name, file=file_name(file), view=view, run=run, step=step, replace=replace)


@router.post(
    "/v1/networks",
    status_code=202,
    operation_id="upload",
    response_model=Job,
    responses={
        202: {
            "description": "The file is there, and its job waits; `Location` is the job's address.",
            "content": {"application/json": {"example": JOB_EXAMPLE}},
        },
        **problems(400, 401, 403, 408, 409, 413, 415, 429, 503, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file itself, not a form.",
            "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_(request: Request, order: Annotated[Order, Depends(_order)]) -> Response:
    """A model file for the store, as the body of the request. It becomes a job: `/v1/jobs/{id}`
    tells how far it is. No code in a file is ever run.
    """
    refuse_unknown(request)
    jobs = jobs_of(request)
    spool: Spool = request.app.state.spool
    limit: int = request.app.state.options.upload_bytes
    _check_head(request, limit, spool)
    with jobs.place(order.name):
        await request.app.state.desk.ask(lambda database: _check_name(database, order))
        with spool.coming(order.file) as (identity, path):
            with path.open("wb", buffering=0) as target:
                await _receive(request, target, limit, spool)
            job = jobs.add(identity, order)
    return job_answer(job, 202, {"Location": f"/v1/jobs/{job.id}"})


def _check_head(request: Request, limit: int, spool: Spool) -> None:
    """Refuses what the head of a request tells already, before its body is read."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE or "content-encoding" in request.headers:
        raise Refusal(
            415,
            "unsupported_media_type",
            f"Send the file itself, as it is, with 'Content-Type: {_MEDIA_TYPE}'.",
        )
    declared = int(request.headers.get("content-length", "0"))
    if declared > limit:
        raise _too_large(limit)
    if declared > spool.free_bytes() - _SPARE:
        raise _no_room()


def _check_name(database: Database, order: Order) -> None:
    try:
        scope.places(database, order.name)
    except NotFound:
        return
    if not order.replace:
        raise Conflict(
            f"There is a network {order.name!r} already: choose another name, or send replace=true."
        )


async def _receive(request: Request, target: Any, limit: int, spool: Spool) -> None:
    """Writes the body into a file, piece by piece, in threads."""
    received = 0
    piece = bytearray()
    try:
        async for part in request.stream():
            received += len(part)
            if received > limit:
                raise _too_large(limit)
            piece += part
            if len(piece) >= _PIECE:
                await _written(target, piece, spool)
                piece = bytearray()
        await _written(target, piece, spool)
    except ClientDisconnect:
        raise Refusal(499, "client_left", "The client left before it had sent its file.") from None
    if received == 0:
        raise InvalidArgument("The body is empty: send the file itself.")


async def _written(target: Any, piece: bytearray, spool: Spool) -> None:
    writing = asyncio.ensure_future(asyncio.to_thread(_write, target, piece, spool))
    try:
        await asyncio.shield(writing)
    finally:
        # The file must not be closed under the thread when the service stops.
        await asyncio.wait([writing])


def _write(target: Any, piece: bytearray, spool: Spool) -> None:
    try:
        if spool.free_bytes() < _SPARE:
            raise _no_room()
        rest = memoryview(piece)
        while rest:
            rest = rest[target.write(rest) :]
    except OSError as error:
        if not is_disk_error(error):
            raise
        _log.warning("An uploaded file could not be written: %s", error)
        raise _no_room() from error


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body_too_large", f"A file may have {limit} bytes at most here.")


def _no_room() -> Refusal:
    return Refusal(507, "no_room", "The disk of the service has no room for the file.")


def file_name(sent: str) -> str:
    """The name of a file without a path, if it can be a model's.

    Raises
    ------
    InvalidArgument

    Example
    -------
    >>> file_name("C:\\\\models\\\\mnist.onnx")
    'mnist.onnx'
    """
    name = PurePosixPath(sent.replace("\\", "/")).name
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        raise InvalidArgument("The file's name holds a control character or line break.")
    if len(name.encode()) > _LONGEST_FILE_NAME:
        raise InvalidArgument(f"The file's name has more than {_LONGEST_FILE_NAME} bytes.")
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".zip":
        raise InvalidArgument(
            "A folder as .zip is not taken: send its .safetensors file, or ingest the folder with "
            "'weightome ingest'."
        )
    if suffix not in SUFFIXES:
        raise InvalidArgument(
            f"A file called {name!r} is not taken: its name ends with none of "
            f"{', '.join(SUFFIXES)}."
        )
    return name


# -- removing ------------------------------------------------------------------------------------


@router.delete(
    "/v1/networks/{name}",
    status_code=204,
    operation_id="delete_network",
    response_class=Response,
    responses={
        204: {"description": "It is removed, every neuron and link of it, and nothing else."},
        **problems(400, 401, 403, 404, 409, 503),
    },
)
async def delete_(request: Request, name: NetworkName) -> Response:
    """Removes a network, and its run where that has no other snapshot. No question finds it any
    more at once; the answer comes when all of it is gone.
    """
    refuse_unknown(request)
    if (jobs := getattr(request.app.state, "jobs", None)) is not None:
        jobs.check_free(name)
    changes: Changes = request.app.state.changes
    await changes.make(lambda database: _delete(database, name))
    return Response(status_code=204)


def _delete(database: Database, name: str) -> None:
    from ingest.claim import replaced
    from ingest.removal import clean_up, delete

    clean_up(database, name=name)
    replaced(database, name, replace=True)
    delete(database, name)
