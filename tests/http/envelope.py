"""What the two envelopes must be, wherever they come from."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def check(answer: httpx.Response, status: int, code: str) -> str:
    """Asserts that an answer is the error envelope and nothing else; its message."""
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    content = answer.json()
    assert list(content) == ["error"]
    assert sorted(content["error"]) == ["code", "message"]
    assert content["error"]["code"] == code
    message: str = content["error"]["message"]
    assert 10 <= len(message) <= 500
    assert "\n" not in message
    assert message.endswith((".", "..."))
    for inside in ("Traceback", "/work/", ".py", "bolt://", "pydantic", "neo4j."):
        assert inside not in message
    return message


def close(value: Any) -> Any:
    """Rows to compare with: the server may add up the weights in another order each time."""
    if isinstance(value, list):
        return [close(part) for part in value]
    return pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, float) else value
