"""The service as an ASGI application, put together from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from service import cypher, documentation, failures, health, networks, questions, runs
from service.access import Access
from service.address import Addresses
from service.desk import Desk
from service.doorway import Doorway
from service.options import Options
from service.shield import Shield
from store.database import Database

ABOUT = """
Trained neural networks as graphs: every neuron and every weighted link in Neo4j, and the questions
to ask of them. The same questions are the command `weightome` and the Python package `queries`.

Every answer is one object: `columns`, `rows` (lists in column order), `truncated` (whether `limit`
cut it), `took_ms`, the `cypher` that was run and its `parameters`. Every error is one object:
`{"error": {"code": ..., "message": ...}}`, where the code is stable and the message one sentence.

Names in an address are percent-encoded, a slash as `%2F`. A parameter that an address does not
know is an error, and so is one given twice. Where the service has a token, send it as
`Authorization: Bearer TOKEN`.

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
        desk = Desk(Access(open_database), options.concurrent)
        app.state.desk = desk
        desk.warm_up()
        try:
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
    failures.install(app)
    # For the OpenAPI document only: the doorway checks the token before any route is looked up.
    token = [Depends(HTTPBearer(auto_error=False))] if options.token else []
    for router in (networks.router, runs.router, questions.router(), cypher.router):
        app.include_router(router, dependencies=token)
    app.include_router(health.router)
    app.include_router(documentation.router)
    # The last one added is the first to see a request.
    app.add_middleware(Doorway, options=options)
    app.add_middleware(Addresses)
    app.add_middleware(Shield)
    return app
