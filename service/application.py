"""The service as an ASGI application, put together from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from service import (
    cypher,
    documentation,
    failures,
    health,
    listing,
    monitoring,
    questions,
    site,
    tracking,
    uploads,
)
from service.access import Access
from service.access_log import AccessLog
from service.address import Addresses
from service.changes import Changes
from service.desk import Desk
from service.doorway import Doorway
from service.monitoring import Monitoring
from service.options import Options
from service.origins import SharedOrigins
from service.shield import Shield
from service.visits import Visits
from store.database import Database

ABOUT = """
Trained neural networks as graphs: every neuron and every weighted link in Neo4j, and the questions
to ask of them. The same questions are the command `weightome` and the Python package `queries`.

Every answer is one object: `columns`, `rows` (lists in column order), `truncated` (whether `limit`
cut it), `took_ms`, the `cypher` that was run and its `parameters`. Every error is one object:
`{"error": {"code": ..., "message": ...}}`, where the code is stable and the message one sentence.
`/v1/queries` lists the questions for programs.

The same rows come as `?format=csv`, `ndjson` (one object a line) or `arrow` (an Arrow IPC stream),
or as the header `Accept` likes best; `?values=columns` has JSON in columns. Long answers are sent
in pieces. What does not fit into these formats is in the headers `Weightome-Truncated`,
`Weightome-Took-Ms` and `Weightome-Notes` (JSON). In CSV a text that a spreadsheet would take for a
formula has an apostrophe before it; the other formats have every value as it is, ids as text.

An answer that was cut and can go on has the address of the next page as `next`, and in the header
`Link` with `rel="next"`, in every format. A page begins behind the last row of the one before, so
rows that come or go meanwhile neither hide another nor show one twice; where the answer itself is
there no more, the page is a 409 `conflict`.

Names in an address are percent-encoded, a slash as `%2F`. A parameter that an address does not
know is an error, and so is one given twice. Where the service has tokens, send one as
`Authorization: Bearer TOKEN`: it may have the scopes `read` (to ask), `write` (to change what is
stored) and `cypher` (`/v1/cypher`). An answer's `X-Request-ID`, which may be the request's own, is
in the service's log. After a 429 or 503, wait as many seconds as `Retry-After` says.

`/health` and `/ready` tell those who watch over the service whether it lives and whether it can
answer; `/metrics` (scope `read`) is for Prometheus.

The examples are of the network `tiny` with the weights [[1,-2,3],[4,5,-6]] and
[[1,2],[-3,4],[5,-6]] and the biases [.1,.2,.3] and [.5,-.5].
"""


def create(open_database: Callable[[], Database], options: Options | None = None) -> FastAPI:
    """The application.

    Parameters
    ----------
    open_database
        Opens the database, such as :func:`store.connection.connect`; called when the service
        starts, and again after the database was lost. It may fail with one of our errors: the
        service then says so (503) until it succeeds.
    options
        What clients may do.

    Returns
    -------
    FastAPI
        Its lifespan opens the database, without waiting for it, and closes it.

    Example
    -------
    >>> app = create(connect, Options(cypher=True))                     # doctest: +SKIP
    """
    options = options or Options()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        access = Access(open_database)
        desk = Desk(access, options.concurrent, options.waiting, options.patience_seconds)
        app.state.desk = desk
        app.state.changes = Changes(access)
        desk.warm_up()
        # FastAPI prepares its routes at the first lookup. That takes about a second, in which
        # nobody else is answered: it shall not be the first client's.
        for route in app.routes:
            route.matches({"type": "http", "method": "GET", "path": "/"})
        try:
            async with uploads.jobs_taken_up(app, options):
                yield
        finally:
            desk.close()

    app = FastAPI(
        title="Weightome",
        # Of the API; which release of Weightome answers is nobody's business.
        version="1",
        description=ABOUT.strip(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.options = options
    app.state.trouble = ""
    app.state.before_stop = []
    app.state.monitoring = Monitoring(app.state)
    failures.install(app)
    # For the OpenAPI document only: the doorway checks the token before any route is looked up.
    token = [Depends(HTTPBearer(auto_error=False))] if options.tokens else []
    for router in (
        listing.router,
        questions.router(),
        cypher.router,
        uploads.router,
        tracking.router,
    ):
        app.include_router(router, dependencies=token)
    app.include_router(health.router)
    app.include_router(monitoring.router)
    app.include_router(documentation.router)
    app.include_router(site.router)
    # The last one added is the first to see a request.
    app.add_middleware(Doorway, options=options)
    app.add_middleware(Addresses)
    app.add_middleware(Shield)
    if options.origins:
        app.add_middleware(SharedOrigins, origins=options.origins)
    app.add_middleware(Visits, observers=(app.state.monitoring, AccessLog()))
    return app
