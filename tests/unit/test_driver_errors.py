"""Every error of the driver, and every status code we know, becomes one of ours."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from neo4j import exceptions as driver_errors

from store import errors
from store.database import _BY_CLASS, Answer, _retried, ours, translated


def _driver_errors() -> Iterator[type[Exception]]:
    for _, kind in inspect.getmembers(driver_errors, inspect.isclass):
        if issubclass(kind, Exception) and kind.__module__.startswith("neo4j"):
            yield kind


@pytest.mark.parametrize("kind", list(_driver_errors()), ids=lambda kind: kind.__name__)
def test_no_driver_error_is_unmapped(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    mine = translated(error, "bolt://here")
    assert isinstance(mine, errors.WeightomeError)
    # Only the two roots may fall through to the plain StoreError.
    if kind not in (driver_errors.GqlError, driver_errors.DriverError):
        assert type(mine) is not errors.StoreError or issubclass(
            kind, (driver_errors.ResultError, driver_errors.BrokenRecordError)
        )


def test_there_are_driver_errors_to_map() -> None:
    assert len(list(_driver_errors())) >= 30


def test_a_class_stands_before_its_bases() -> None:
    for position, (kind, _, _) in enumerate(_BY_CLASS):
        for earlier, _, _ in _BY_CLASS[:position]:
            assert not issubclass(kind, earlier), f"{kind.__name__} is never reached"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Neo.ClientError.Transaction.TransactionTimedOut", errors.TimeLimitExceeded),
        (
            "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
            errors.TimeLimitExceeded,
        ),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", errors.MemoryLimitExceeded),
        (
            "Neo.TransientError.General.TransactionOutOfMemoryError",
            errors.MemoryLimitExceeded,
        ),
        ("Neo.ClientError.Statement.AccessMode", errors.PermissionDenied),
        ("Neo.ClientError.Statement.SyntaxError", errors.InvalidQuery),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", errors.ConstraintViolated),
        ("Neo.ClientError.Security.Unauthorized", errors.AuthenticationFailed),
        ("Neo.ClientError.Security.Forbidden", errors.PermissionDenied),
        ("Neo.TransientError.Transaction.DeadlockDetected", errors.TransactionFailed),
        ("Neo.DatabaseError.General.UnknownError", errors.TransactionFailed),
        ("Neo.ClientError.Database.DatabaseNotFound", errors.SettingsError),
    ],
)
def test_server_codes(code: str, expected: type[Exception]) -> None:
    error = driver_errors.Neo4jError._hydrate_neo4j(code=code, message="first line\nsecond line")
    mine = translated(error, "bolt://here")
    assert type(mine) is expected
    assert "second line" not in str(mine), "a message is one sentence"


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), ours("bolt://here"):
        raise KeyError("a bug is not the driver's")


DEADLOCK = "Neo.TransientError.Transaction.DeadlockDetected"
NO_MEMORY = "Neo.TransientError.General.MemoryPoolOutOfMemoryError"
SYNTAX = "Neo.ClientError.Statement.SyntaxError"
ANSWER = Answer((), [])


class Attempts:
    """Fails with these codes in turn, then succeeds; time passes only in pauses."""

    def __init__(self, patch: pytest.MonkeyPatch, *codes: str) -> None:
        self.codes = list(codes)
        self.made = 0
        self.now = 0.0
        patch.setattr("store.database.time.monotonic", lambda: self.now)
        patch.setattr("store.database.time.sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> Answer:
        self.made += 1
        if self.codes:
            raise driver_errors.Neo4jError._hydrate_neo4j(code=self.codes.pop(0), message="no")
        return ANSWER


def test_transient_errors_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, DEADLOCK, DEADLOCK)
    assert _retried(attempts, 30.0) is ANSWER
    assert attempts.made == 3
    assert 2.4 <= attempts.now <= 3.6, "one second, then two, each a fifth more or less"


def test_transient_errors_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch, *[DEADLOCK] * 100)
    with pytest.raises(driver_errors.TransientError):
        _retried(attempts, 10.0)
    assert 10.0 < attempts.now < 30.0


@pytest.mark.parametrize("code", [NO_MEMORY, SYNTAX])
def test_what_would_only_fail_again(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    attempts = Attempts(monkeypatch, code)
    with pytest.raises(driver_errors.Neo4jError):
        _retried(attempts, 30.0)
    assert (attempts.made, attempts.now) == (1, 0.0)


@pytest.mark.parametrize(("code", "made"), [(DEADLOCK, 2), (SYNTAX, 1)])
def test_why_a_result_failed(monkeypatch: pytest.MonkeyPatch, code: str, made: int) -> None:
    """The driver may say only that it did; its cause decides whether to try again."""
    attempts = Attempts(monkeypatch, code)

    def attempt() -> Answer:
        try:
            return attempts()
        except driver_errors.Neo4jError as cause:
            failed = driver_errors.ResultFailedError
            raise failed.__new__(failed) from cause

    if made == 2:
        assert _retried(attempt, 30.0) is ANSWER
    else:
        with pytest.raises(driver_errors.CypherSyntaxError):
            _retried(attempt, 30.0)
    assert attempts.made == made
