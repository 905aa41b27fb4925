"""Every error has an HTTP status, and the envelope says no more than it should."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from service.envelope import failure, sentence
from service.failures import STATUS, described, status_of
from store import errors


def _subclasses(kind: type[errors.WeightomeError]) -> Iterator[type[errors.WeightomeError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


ALL = sorted(set(_subclasses(errors.WeightomeError)), key=lambda kind: kind.__name__)


def test_there_are_errors() -> None:
    assert len(ALL) >= 20


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[errors.WeightomeError]) -> None:
    assert 400 <= status_of(kind) < 600


def test_the_base_itself_has_none_so_a_new_branch_must_choose() -> None:
    assert errors.WeightomeError not in STATUS
    with pytest.raises(KeyError):
        status_of(errors.WeightomeError)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NotFound, 404),
        (errors.InvalidArgument, 400),
        (errors.InvalidName, 400),
        (errors.InvalidQuery, 400),
        (errors.QueryRefused, 403),
        (errors.PermissionDenied, 403),
        (errors.Conflict, 409),
        (errors.StoreUnreachable, 503),
        (errors.ServerFailed, 503),
        (errors.TimeLimitExceeded, 504),
        (errors.MemoryLimitExceeded, 507),
    ],
)
def test_status(kind: type[errors.WeightomeError], status: int) -> None:
    assert status_of(kind) == status


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert sentence("a\n  b\tc") == "a b c."
    assert len(sentence("x" * 10_000)) == 500


def test_a_message_with_half_a_surrogate_pair_is_still_utf8() -> None:
    body = bytes(failure(404, "not_found", "No '\ud800'.").body)
    assert json.loads(body.decode())["error"]["code"] == "not_found"


def test_a_broken_body_is_described_without_its_position() -> None:
    text = described({"loc": ("body", 12), "msg": "JSON decode error"})
    assert text == "The body is not usable: JSON decode error."
