"""Which media type an ``Accept`` header likes best: RFC 9110, section 12.5.1, case by case."""

from __future__ import annotations

import pytest

from service.accept import best
from service.formats import MEDIA_TYPES

JSON, CSV, NDJSON, ARROW = MEDIA_TYPES.values()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (CSV, CSV),
        ("TEXT/CSV", CSV),
        (NDJSON, NDJSON),
        (ARROW, ARROW),
        ("text/*", CSV),
        ("application/*", JSON),
        # A browser.
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", JSON),
        # The greatest quality wins, wherever it stands.
        (f"{CSV};q=0.4, {NDJSON};q=0.9, {ARROW};q=0.5", NDJSON),
        (f"{JSON};q=0.1, {CSV};q=0.2", CSV),
        (f"{JSON} ; q=0.300 , {CSV} ; Q=0.301", CSV),
        # Of equals, our order; but what is named goes before what a star lets in.
        (f"{ARROW}, {CSV}, {JSON}", JSON),
        (f"{CSV}, */*", CSV),
        (f"{CSV}, application/*", CSV),
        # The most particular range decides, also when it says no.
        (f"*/*, {JSON};q=0", CSV),
        ("application/*;q=0, */*;q=0.1", CSV),
        (f"*/*;q=1, application/*;q=0.2, {ARROW};q=0.9, text/*;q=0.1", ARROW),
        # Parameters are not looked at, quoted commas and semicolons are no ends.
        (f"{CSV}; charset=utf-8; header=present", CSV),
        (f'{CSV}; note="a,b;q=0"; q=0.5, {JSON};q=0.4', CSV),
        # What cannot be read counts as not said.
        (f"{JSON};q=2, {CSV}", CSV),
        (f"{JSON};q=0.1234, {CSV};q=0.1", CSV),
        (f"nonsense, ,;q=1, {CSV}", CSV),
        ("application/json, text/plain, */*", JSON),
    ],
)
def test_the_best(header: str, expected: str) -> None:
    assert best(header, list(MEDIA_TYPES.values())) == expected


@pytest.mark.parametrize(
    "header",
    [
        "text/html",
        "image/*",
        f"{JSON};q=0",
        "*/*;q=0",
        "*/*;q=0.000",
        "json",
        "application/json;q=x",
        "*/json",
        '"',
        ";",
        f"{JSON}x",
    ],
)
def test_none_will_do(header: str) -> None:
    assert best(header, list(MEDIA_TYPES.values())) is None
