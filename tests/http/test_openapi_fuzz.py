"""Schemathesis makes requests of the OpenAPI document: no 5xx, nothing that it does not describe.

What changes the store or streams for ever is left to ``test_uploads.py``, and ``seconds`` and
``memory`` to ``test_bad_requests.py``: a limit that is over is a 504 or 507, as it should be.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_LEFT_OUT = {"job_events", "upload", "delete_network", "cancel_job"}
_OWN_LIMITS = {"seconds", "memory"}
# What there is: a request that finds nothing shows little. Requests that are meant to be wrong have
# other values all the same.
_THERE: dict[str, list[str]] = {
    "layer": ["fc1"],
    "source": ["input", "input/0"],
    "target": ["fc2", "fc2/1"],
    "networks": ["tin*", "step-*"],
    "other": ["observed"],
    "observation": ["ones"],
    "neuron": ["fc1/1"],
    "run": ["tiny-run"],
    "statistic": ["link_mean", "metric:accuracy"],
}
_NAMES = {"/v1/networks": ["tiny", "observed"], "/v1/runs": ["tiny-run", "two-steps"]}


@pytest.fixture(scope="module")
def operations(open_client: httpx.Client, examples: None) -> dict[str, Any]:
    """What may be asked, by operation id."""
    document = open_client.get("/openapi.json").json()
    for address, methods in document["paths"].items():
        there = _THERE | {"name": _NAMES.get("/".join(address.split("/")[:3]), [])}
        for method, operation in list(methods.items()):
            if operation["operationId"] in _LEFT_OUT:
                del methods[method]
                continue
            parameters = [
                each for each in operation.get("parameters", []) if each["name"] not in _OWN_LIMITS
            ]
            for each in parameters:
                kinds = each["schema"].get("anyOf", [each["schema"]])
                if there.get(each["name"]) and kinds[0].get("type") == "string":
                    each["schema"] = {"enum": there[each["name"]]}
            operation["parameters"] = parameters
    document["paths"] = {address: each for address, each in document["paths"].items() if each}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=str(open_client.base_url))
    results: list[Any] = list(schema.get_all_operations())
    return {each.ok().definition.raw["operationId"]: each.ok() for each in results}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_address(operations: dict[str, Any], mode: GenerationMode) -> None:
    assert {"runs", "networks", "strength", "paths", "queries", "cypher", "jobs"} <= set(operations)
    assert len(operations) > 60
    statuses: dict[str, set[int]] = {}
    for name, operation in operations.items():
        strategy = operation.as_strategy(generation_mode=mode)

        @seed(7)
        @settings(
            max_examples=4,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case: Any) -> None:
            response = case.call_and_validate(checks=CHECKS)
            statuses.setdefault(name, set()).add(response.status_code)  # noqa: B023

        try:
            ask()
        except Unsatisfiable:
            # It takes nothing or any text, so nothing can be wrong.
            assert mode is GenerationMode.NEGATIVE
            assert all(each["in"] == "path" for each in operation.definition.raw["parameters"])
    answered = {name for name, found in statuses.items() if 200 in found}
    if mode is GenerationMode.POSITIVE:
        # Not only refusals were looked at.
        assert len(answered) > 40, statuses
    else:
        assert {400, 404} <= set().union(*statuses.values())
