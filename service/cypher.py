"""``/v1/cypher``: the client's own question, read only, where the operator allows it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import Response

from queries import cypher
from service.asking import Bounded
from service.description import described
from service.failures import Refusal

_GREATEST_INTEGER = 2**63 - 1

router = APIRouter(tags=["cypher"])


def _storable(value: Any) -> Any:
    """The value, when the database can take it as a parameter: JSON allows more."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and not -_GREATEST_INTEGER - 1 <= value <= _GREATEST_INTEGER:
        raise ValueError("an integer has more than 64 bits")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("NaN and Infinity are not JSON")
    if isinstance(value, str):
        _encodable(value)
    elif isinstance(value, list):
        for part in value:
            _storable(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            _encodable(key)
            _storable(part)
    return value


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None


class Question(BaseModel):
    """A query in Cypher."""

    model_config = ConfigDict(extra="forbid")

    cypher: str = Field(
        min_length=1,
        description="The query. It may read the graph and nothing else: whatever writes, loads "
        "files or administers the server is refused before it runs.",
        examples=["MATCH (network:Network) RETURN network.name AS name, network.links AS links"],
    )
    parameters: Annotated[dict[str, JsonValue], AfterValidator(_storable)] = Field(
        default={}, description="Values of the query's `$parameters`.", examples=[{}]
    )


@router.post("/v1/cypher", **described("cypher", 403, 413))
async def cypher_(request: Request, ask: Bounded, question: Question) -> Response:
    """Your own Cypher, read only. Refused with `cypher_disabled` unless the service was started
    with `--enable-cypher`.
    """
    if not request.app.state.options.cypher:
        raise Refusal(
            403,
            "cypher_disabled",
            "This service takes no Cypher; its operator can start it with --enable-cypher.",
        )
    return await ask(
        lambda database: cypher.cypher(database, question.cypher, dict(question.parameters))
    )
