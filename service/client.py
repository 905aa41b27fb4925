"""A service from another program: the questions of the query layer, answered from afar.

::

    from queries.strength import strength
    from service.client import Client

    with Client("http://127.0.0.1:8080") as client:
        client.ask(strength, "mnist", convention="cnt").to_pandas()

It gives the tables and raises the errors that the same call with a database does.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, Literal, ParamSpec

from queries import catalogue
from queries.question import question_of
from service.calls import Calls, error_of, strange
from service.jobs import Job
from service.places import segment, target
from store import errors
from store.database import Database
from store.query import Table

P = ParamSpec("P")
Ask = Callable[Concatenate[Database, P], Table]

_FIRST_LOOK: Final = 0.05
_LAST_LOOK: Final = 2.0
"""Seconds between two looks at a job, at first and at last."""


class Client:
    """A service, asked over HTTP.

    Parameters
    ----------
    url
        Where it answers, such as ``http://127.0.0.1:8080``.
    token
        What it wants as ``Authorization: Bearer``; None: nothing is sent.
    timeout
        How long an answer may take, in seconds; longer than the service's own time limit.

    Raises
    ------
    SettingsError
        If httpx is not installed.
    InvalidArgument
        If the url is none.

    Example
    -------
    >>> with Client("http://127.0.0.1:8080") as client:                 # doctest: +SKIP
    ...     client.networks().column("network")
    ['mnist']
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 150.0) -> None:
        self._calls = Calls(url, token, timeout)
        self._limits: dict[str, str] = {}

    def limited(self, *, seconds: float | None = None, row_cap: int | None = None) -> Client:
        """The same client, whose answers have so many rows at most and take so long, in seconds.

        What is not given is the service's own.
        """
        other = copy.copy(self)
        given = {"seconds": seconds, "limit": row_cap}
        other._limits = {name: str(value) for name, value in given.items() if value is not None}
        return other

    # -- questions -------------------------------------------------------------------------------

    def ask(self, question: Ask[P], /, *arguments: P.args, **options: P.kwargs) -> Table:
        """The answer to any question of the query layer.

        Parameters
        ----------
        question
            Its function, such as :func:`queries.strength.strength`.
        *arguments, **options
            As it takes them behind the database.

        Returns
        -------
        Table
            What the function itself gives, with every float as it is; values that JSON has as
            text, such as times, are text. Where it was cut, :meth:`pages` goes on.

        Raises
        ------
        WeightomeError
            What the function itself raises; StoreUnreachable where no service answers, or one
            that stays busy; AuthenticationFailed and PermissionDenied where the token will not do.
        TypeError
            If the function is no question, or does not take these arguments.

        Example
        -------
        >>> client.ask(strength, "tiny", convention="cnt").rows[0]      # doctest: +SKIP
        ['input', 0, 0, 1.0, 2.0, 3.0]
        """
        asked = question_of(question)
        return self._table(target(asked, asked.given(*arguments, **options)))

    def pages(
        self, question: Ask[P], /, *arguments: P.args, **options: P.kwargs
    ) -> Iterator[Table]:
        """The answer to a question page by page, as far as it goes on.

        Yields
        ------
        Table
            As :meth:`ask`; `truncated` in the last one where rows are missing all the same.

        Raises
        ------
        Conflict
            If the network is no longer the one of the page before.
        """
        asked = question_of(question)
        given = asked.given(*arguments, **options)
        while True:
            table = self._table(target(asked, given))
            yield table
            if table.after is None:
                return
            given["after"] = table.after

    def runs(self) -> Table:
        """Every run; see :func:`queries.catalogue.runs`."""
        return self.ask(catalogue.runs)

    def networks(self, run: str | None = None) -> Table:
        """Every network, or those of a run; see :func:`queries.catalogue.networks`."""
        return self.ask(catalogue.networks, run)

    def layers(self, network: str) -> Table:
        """The layers of a network; see :func:`queries.catalogue.layers`."""
        return self.ask(catalogue.layers, network)

    def neurons(self, network: str, layer: str) -> Table:
        """The neurons of a layer; see :func:`queries.catalogue.neurons`."""
        return self.ask(catalogue.neurons, network, layer)

    def neuron(self, network: str, layer: str, index: int, *, k: int = 10) -> Table:
        """The strongest links of a neuron; see :func:`queries.catalogue.neuron`."""
        return self.ask(catalogue.neuron, network, layer, index, k=k)

    def cypher(self, text: str, parameters: Mapping[str, Any] | None = None) -> Table:
        """Your own Cypher, read only; see :func:`queries.cypher.cypher`.

        Raises
        ------
        PermissionDenied
            If the service takes none.
        """
        body = json.dumps({"cypher": text, "parameters": dict(parameters or {})}).encode()
        headers = {"Content-Type": "application/json"}
        return self._table("/v1/cypher", "POST", lambda: body, headers)

    # -- changes ---------------------------------------------------------------------------------

    def upload(
        self,
        path: str | Path,
        *,
        name: str,
        view: Literal["shared", "unrolled"] = "shared",
        run: str | None = None,
        step: int | None = None,
        replace: bool = False,
    ) -> Job:
        """Sends a model file, which the service ingests.

        Parameters
        ----------
        path
            The file; its end tells the format.
        name
            What the network shall be called.
        view
            ``shared``: one neuron per channel; ``unrolled``: one per channel and position.
        run, step
            The run that it is a snapshot of, and when it was taken.
        replace
            Takes the place of a network of that name.

        Returns
        -------
        Job
            As it begins; see :meth:`wait`.

        Raises
        ------
        InvalidArgument
            If the file cannot be read, or the service does not take it.
        Conflict
            If there is a network of that name.
        """
        file = Path(path)
        query: dict[str, str] = {"name": name, "file": file.name, "view": view}
        if run is not None:
            query["run"] = run
        if step is not None:
            query["step"] = str(step)
        if replace:
            query["replace"] = "true"
        try:
            length = file.stat().st_size
            file.open("rb").close()
        except OSError as error:
            raise errors.InvalidArgument(
                f"{str(file)!r} cannot be read: {error.strerror}."
            ) from error
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        told = self._calls.json("/v1/networks", "POST", lambda: _pieces(file), headers, query)
        return Job.model_validate(told)

    def job(self, identity: str) -> Job:
        """How far an upload is.

        Raises
        ------
        NotFound
            If there is no such job.
        """
        return Job.model_validate(self._calls.json(f"/v1/jobs/{segment(identity)}"))

    def wait(self, job: Job | str, *, seconds: float | None = None) -> Job:
        """An upload that ended: done or cancelled.

        Parameters
        ----------
        seconds
            How long to wait at most; None: as long as it takes.

        Raises
        ------
        WeightomeError
            Why it failed.
        TimeLimitExceeded
            If it goes on still; it is not cancelled by that.
        """
        identity = job if isinstance(job, str) else job.id
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = _FIRST_LOOK
        while True:
            now = self.job(identity)
            if now.error is not None:
                raise error_of(now.error.code, now.error.message, 500)
            if now.finished is not None:
                return now
            if deadline is not None and time.monotonic() + pause > deadline:
                raise errors.TimeLimitExceeded(
                    f"The upload of {now.name!r} is not done after {seconds:g} s; it goes on."
                )
            time.sleep(pause)
            pause = min(_LAST_LOOK, 1.5 * pause)

    def delete(self, name: str) -> None:
        """Removes a network, with all its neurons and links.

        Raises
        ------
        NotFound
            If there is no network of that name.
        """
        self._calls.send(f"/v1/networks/{segment(name)}", "DELETE")

    # -- HTTP ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Gives the connections back."""
        self._calls.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _table(
        self,
        address: str,
        method: str = "GET",
        content: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Table:
        told = self._calls.json(address, method, content, headers, self._limits)
        try:
            return Table.from_json(told)
        except (KeyError, TypeError, ValueError) as error:
            raise strange() from error


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            yield piece
