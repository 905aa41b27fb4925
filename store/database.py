"""The only door to the database.

:class:`Database` speaks in :class:`~store.query.Query` and :class:`~store.query.Table`; behind it
stands a :class:`Connection`: the official driver (:class:`DriverConnection`), a py2neo graph
(:mod:`store.py2neo`), or in tests a recorder.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

import neo4j
import numpy as np
from neo4j import exceptions as theirs
from numpy.typing import NDArray

from store import errors
from store.cancelling import Cancelling
from store.query import Query, Table

_FETCH_SIZE = 2_000
RETRY_SECONDS = 30.0
"""How long a transaction is tried again after transient errors, where the caller names no time."""
_FIRST_PAUSE = 1.0

# The driver logs every retry; without a handler Python would print that on stderr.
logging.getLogger("neo4j").addHandler(logging.NullHandler())

# Transactions carry this metadata, so that one can be told from others and be ended.
_MARK: Final = "weightome"
_TERMINATE: Final = (
    "SHOW TRANSACTIONS YIELD transactionId AS id, metaData WHERE metaData.weightome = $mark "
    "TERMINATE TRANSACTIONS id YIELD message RETURN message"
)


@dataclass(frozen=True)
class Answer:
    """What a connection brings back: rows, and what a write changed."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    truncated: bool = False
    counters: Mapping[str, int] | None = None
    plan: Mapping[str, Any] | None = None


class Connection(Protocol):
    """One way to reach a Neo4j server."""

    def run(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        write: bool,
        seconds: float | None,
        row_cap: int | None,
        cancelling: Cancelling | None = None,
    ) -> Answer:
        """Runs one statement in one transaction.

        Parameters
        ----------
        cypher, parameters
            The statement.
        write
            Opens the transaction for writing; otherwise the server refuses writes.
        seconds
            Time limit that the server keeps, or None for the server's own.
        row_cap
            Most rows to bring back, or None for all.
        cancelling
            What may end it before it is done, where the connection can.
        """
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...


class Database:
    """Reads and writes of one Neo4j database.

    Parameters
    ----------
    connection
        How the server is reached.
    read_seconds
        Time limit of a read, in seconds, where the call names none.
    row_cap
        Most rows of a read, where the call names none.
    cancelling
        What may end its reads.

    Example
    -------
    >>> from store.connection import connect                            # doctest: +SKIP
    >>> with connect() as database:                                     # doctest: +SKIP
    ...     database.read(Query("one", "One.", "RETURN 1 AS x", ("x",))).rows
    [[1]]
    """

    def __init__(
        self,
        connection: Connection,
        *,
        read_seconds: float = 120.0,
        row_cap: int = 10_000,
        cancelling: Cancelling | None = None,
    ) -> None:
        self._connection = connection
        self.read_seconds = read_seconds
        self.row_cap = row_cap
        self._cancelling = cancelling

    def read(
        self,
        query: Query,
        /,
        *,
        seconds: float | None = None,
        row_cap: int | None = None,
        **parameters: Any,
    ) -> Table:
        """Runs a query in READ mode, within a time limit and a row cap.

        Parameters
        ----------
        query
            What to ask.
        seconds
            Time limit; default `read_seconds`.
        row_cap
            Most rows; default the database's. Beyond it `Table.truncated` is True.
        **parameters
            Values of the query's parameters.

        Returns
        -------
        Table

        Raises
        ------
        StoreError
            One of its subclasses; never a driver error.
        """
        started = time.perf_counter()
        answer = self._connection.run(
            query.cypher,
            parameters,
            write=False,
            seconds=self.read_seconds if seconds is None else seconds,
            row_cap=self.row_cap if row_cap is None else row_cap,
            cancelling=self._cancelling,
        )
        took = (time.perf_counter() - started) * 1000
        return Table(
            answer.columns, answer.rows, query.cypher.strip(), parameters, answer.truncated, took
        )

    def limited(self, *, seconds: float | None = None, row_cap: int | None = None) -> Database:
        """The same database with another time limit (seconds) or row cap for its reads."""
        return Database(
            self._connection,
            read_seconds=self.read_seconds if seconds is None else seconds,
            row_cap=self.row_cap if row_cap is None else row_cap,
            cancelling=self._cancelling,
        )

    def cancelled_by(self, cancelling: Cancelling | None) -> Database:
        """The same database, whose reads something may end; None: nothing may."""
        return Database(
            self._connection,
            read_seconds=self.read_seconds,
            row_cap=self.row_cap,
            cancelling=cancelling,
        )

    def columns(
        self, query: Query, /, *, seconds: float | None = None, **parameters: Any
    ) -> dict[str, NDArray[Any]]:
        """Reads bulk data in columns: the way for one value per link.

        Parameters
        ----------
        query
            Each of its rows holds lists, such as ``collect(link.weight)``; one row is one chunk.

        Returns
        -------
        dict of str to numpy.ndarray
            Per column the chunks joined end to end. There is no row cap.
        """
        answer = self._connection.run(
            query.cypher,
            parameters,
            write=False,
            seconds=self.read_seconds if seconds is None else seconds,
            row_cap=None,
            cancelling=self._cancelling,
        )
        return {
            name: np.concatenate([np.asarray(row[position]) for row in answer.rows])
            if answer.rows
            else np.empty(0)
            for position, name in enumerate(answer.columns)
        }

    def write(self, query: Query, /, **parameters: Any) -> Answer:
        """Runs a query in a write transaction, tried again after transient errors.

        Returns
        -------
        Answer
            Its rows and, in `counters`, what the transaction changed.
        """
        return self._connection.run(
            query.cypher, parameters, write=True, seconds=None, row_cap=None
        )

    def explain(
        self, cypher: str, parameters: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The server's plan of a query, which is not run.

        Returns
        -------
        Mapping
            ``operatorType``, ``args`` and ``children``, nested as the plan is.
        """
        answer = self._connection.run(
            f"EXPLAIN {cypher}",
            parameters or {},
            write=False,
            seconds=self.read_seconds,
            row_cap=None,
            cancelling=self._cancelling,
        )
        if answer.plan is None:
            raise errors.InvalidQuery("The server gave no plan for this query.")
        return answer.plan

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class DriverConnection:
    """A server reached with the official `neo4j` driver.

    Parameters
    ----------
    uri, user, password, database
        Where, and as whom.
    retry_seconds
        How long a transaction is tried again after transient errors, a lost server among them.

    Raises
    ------
    StoreUnreachable, AuthenticationFailed
        From the constructor, when no server answers or it does not know the user.
    """

    def __init__(
        self,
        uri: str,
        user: str,
        password: str,
        *,
        database: str = "neo4j",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        with ours(uri):
            self._driver = neo4j.GraphDatabase.driver(
                uri,
                auth=(user, password),
                notifications_min_severity="OFF",
                user_agent="weightome",
                warn_notification_severity="OFF",
            )
        try:
            with ours(uri):
                self._driver.verify_connectivity()
        except BaseException:
            self._driver.close()
            raise
        self._uri = uri
        self._database = database
        self._retry_seconds = retry_seconds

    def run(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        write: bool,
        seconds: float | None,
        row_cap: int | None,
        cancelling: Cancelling | None = None,
    ) -> Answer:
        interrupted = False
        # Without a caller who could cancel nothing is ever cancelled.
        cancelling = cancelling or Cancelling()

        def attempt() -> Answer:
            nonlocal interrupted
            mark = str(uuid.uuid4())
            with (
                cancelling.ending(lambda: self._terminate(mark)),
                self._driver.session(
                    database=self._database,
                    default_access_mode=neo4j.WRITE_ACCESS if write else neo4j.READ_ACCESS,
                    fetch_size=_FETCH_SIZE if row_cap is None else min(_FETCH_SIZE, row_cap + 1),
                ) as session,
            ):
                transaction = session.begin_transaction(metadata={_MARK: mark}, timeout=seconds)
                try:
                    answer = _fetched(transaction, cypher, parameters, write, row_cap)
                except (theirs.Neo4jError, theirs.DriverError):
                    # The driver has rolled it back and given its connection to whoever waits for
                    # one; closing the transaction would still use it.
                    raise
                except KeyboardInterrupt:
                    # The driver would wait for the rest of the answer before it lets go.
                    interrupted = True
                    self._terminate(mark)
                    transaction.close()
                    raise
                except BaseException:
                    transaction.close()
                    raise
                transaction.commit()
            return answer

        try:
            with ours(self._uri):
                return _retried(attempt, self._retry_seconds, cancelling.pause)
        except errors.WeightomeError:
            # What the driver says of the transaction that was ended is not the news.
            if interrupted:
                raise KeyboardInterrupt from None
            cancelling.check()
            raise

    def _terminate(self, mark: str) -> None:
        """Ends our own transaction of that mark at the server."""
        with ours(self._uri), self._driver.session(database=self._database) as session:
            session.run(_TERMINATE, mark=mark).consume()

    def close(self) -> None:
        self._driver.close()


def _retried(
    attempt: Callable[[], Answer], seconds: float, rest: Callable[[float], None] | None = None
) -> Answer:
    """Tries again after transient errors, with longer and longer pauses.

    The driver's own retries would exhaust a server without memory again and again: it takes that
    for transient, also at the commit, which a function that it calls does not see.
    """
    pause = _FIRST_PAUSE
    deadline: float | None = None
    while True:
        try:
            with _its_cause():
                return attempt()
        except (theirs.Neo4jError, theirs.DriverError) as error:
            code = getattr(error, "code", None) or ""
            if not error.is_retryable() or "OutOfMemory" in code:
                raise
            # Time counts from the first failure: a long transaction has its second chance too.
            deadline = time.monotonic() + seconds if deadline is None else deadline
            if time.monotonic() > deadline:
                raise
        # Rivals that failed together shall not meet again.
        (rest or time.sleep)(pause * random.uniform(0.8, 1.2))  # noqa: S311
        pause *= 2


@contextmanager
def _its_cause() -> Iterator[None]:
    """Raises why a result failed, where the driver says only that it did.

    Which of the two it raises depends on when the server's answer arrives.
    """
    try:
        yield
    except theirs.ResultFailedError as error:
        if isinstance(error.__cause__, (theirs.Neo4jError, theirs.DriverError)):
            raise error.__cause__ from None
        raise


def _fetched(
    transaction: neo4j.Transaction,
    cypher: str,
    parameters: Mapping[str, Any],
    write: bool,
    row_cap: int | None,
) -> Answer:
    result = transaction.run(cypher, dict(parameters))
    columns = tuple(result.keys())
    rows: list[list[Any]] = []
    truncated = False
    for record in result:
        if row_cap is not None and len(rows) == row_cap:
            truncated = True
            break
        rows.append(list(record.values()))
    summary = result.consume()
    return Answer(
        columns,
        rows,
        truncated,
        _counters(summary.counters) if write else None,
        summary.plan,
    )


def _counters(counters: neo4j.SummaryCounters) -> dict[str, int]:
    return {
        name: getattr(counters, name)
        for name in (
            "nodes_created",
            "nodes_deleted",
            "relationships_created",
            "relationships_deleted",
            "properties_set",
        )
    }


@contextmanager
def ours(uri: str) -> Iterator[None]:
    """Turns every error of the driver into one of ours; see :func:`translated`."""
    try:
        yield
    except (theirs.GqlError, OSError, ValueError, OverflowError) as error:
        raise translated(error, uri) from error


_NO_MEMORY = "The query needed more memory than one transaction may use."

# First match wins: a class stands before its bases.
_BY_CLASS: tuple[tuple[type[Exception], type[errors.WeightomeError], str], ...] = (
    (theirs.AuthError, errors.AuthenticationFailed, "{uri} did not accept the user and password."),
    (
        theirs.IncompleteCommit,
        errors.TransactionFailed,
        "The connection to {uri} broke during a commit; its outcome is unknown.",
    ),
    (theirs.ServiceUnavailable, errors.StoreUnreachable, "No Neo4j answers at {uri}."),
    (theirs.SessionExpired, errors.StoreUnreachable, "The connection to {uri} was lost."),
    (theirs.ConnectionPoolError, errors.StoreUnreachable, "No free connection to {uri} in time."),
    (theirs.ConfigurationError, errors.SettingsError, "{uri} cannot be used: {message}"),
    (theirs.ConstraintError, errors.ConstraintViolated, "The store holds this already: {message}"),
    (theirs.CypherSyntaxError, errors.InvalidQuery, "This is not valid Cypher: {message}"),
    (theirs.CypherTypeError, errors.InvalidQuery, "The query mixes types: {message}"),
    (theirs.Forbidden, errors.PermissionDenied, "The server does not allow this: {message}"),
    (theirs.DatabaseUnavailable, errors.StoreUnreachable, "{uri} is not available: {message}"),
    (theirs.NotALeader, errors.StoreUnreachable, "{uri} takes no writes at the moment."),
    (theirs.ForbiddenOnReadOnlyDatabase, errors.PermissionDenied, "{uri} is read-only."),
    (theirs.TransientError, errors.TransactionFailed, "It was rolled back: {message}"),
    (theirs.DatabaseError, errors.TransactionFailed, "The server failed: {message}"),
    (theirs.ClientError, errors.InvalidQuery, "The server refused the query: {message}"),
    (theirs.Neo4jError, errors.TransactionFailed, "The server failed: {message}"),
    (theirs.ResultError, errors.StoreError, "The answer could not be read: {message}"),
    (theirs.TransactionError, errors.TransactionFailed, "The transaction failed: {message}"),
    (theirs.SessionError, errors.TransactionFailed, "The session failed: {message}"),
    (theirs.BrokenRecordError, errors.StoreError, "The answer could not be read: {message}"),
    (theirs.DriverError, errors.StoreError, "The driver failed: {message}"),
    (theirs.GqlError, errors.StoreError, "The server failed: {message}"),
    (OSError, errors.StoreUnreachable, "{uri} cannot be reached: {message}"),
    (OverflowError, errors.InvalidArgument, "A parameter is a number of more than 64 bits."),
    (UnicodeError, errors.InvalidArgument, "A text among the parameters is not valid Unicode."),
    (ValueError, errors.SettingsError, "{uri} cannot be used: {message}"),
)

_BY_CODE: tuple[tuple[str, type[errors.WeightomeError], str], ...] = (
    ("TransactionTimedOut", errors.TimeLimitExceeded, "The query ran longer than its time limit."),
    ("General.OutOfMemoryError", errors.MemoryLimitExceeded, _NO_MEMORY),
    ("MemoryPoolOutOfMemoryError", errors.MemoryLimitExceeded, _NO_MEMORY),
    ("TransactionOutOfMemoryError", errors.MemoryLimitExceeded, _NO_MEMORY),
    ("AccessMode", errors.PermissionDenied, "Only reading is allowed here."),
    ("DatabaseNotFound", errors.SettingsError, "{uri} has no such database: {message}"),
)


def translated(error: Exception, uri: str = "the server") -> errors.WeightomeError:
    """Our error for one of the driver's: first by server code, then by class.

    Example
    -------
    >>> type(translated(theirs.SessionExpired("gone"))).__name__
    'StoreUnreachable'
    """
    message = (str(getattr(error, "message", "") or error).strip().splitlines() or [""])[0]
    known = by_code(str(getattr(error, "code", "") or ""), message, uri)
    if known is not None:
        return known
    for kind, mine, text in _BY_CLASS:
        if isinstance(error, kind):
            return mine(text.format(uri=uri, message=message))
    raise AssertionError(f"{type(error).__name__} is not a driver error") from error


def by_code(code: str, message: str, uri: str) -> errors.WeightomeError | None:
    """Our error for a server's status code, where the code says more than the driver's class."""
    for part, mine, text in _BY_CODE:
        if part in code:
            return mine(text.format(uri=uri, message=message))
    return None
