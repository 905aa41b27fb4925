"""``/docs``: the OpenAPI document as one page without scripts, which works offline.

FastAPI's own page loads its program from another company's server; this one loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2530; background: #fff; }
h2 { margin: 2.5rem 0 .5rem; font: 600 1.05rem ui-monospace, monospace; overflow-wrap: anywhere; }
h2 b { color: #0b62a4; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid #d6dce4; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
pre { background: #f2f5f8; padding: .8rem; max-height: 24rem; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }
a { color: #0b62a4; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe5ec; background: #14181d; }
  pre { background: #1f252c; }
  th, td { border-color: #36404b; }
  h2 b, a { color: #6cb8f0; }
}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs_(request: Request) -> Response:
    """The page."""
    return HTMLResponse(page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    operations = [
        (method, address, operation)
        for address, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{method.upper()} {escape(address)}</a>'
        for method, address, operation in operations
    )
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{_prose(document['info']['description'])}<ul>{contents}</ul>"
        f"{''.join(_operation(document, *operation) for operation in operations)}"
    )


def _prose(markdown: str) -> str:
    """Paragraphs, with `code` as the only markup."""
    paragraphs = []
    for paragraph in escape(markdown.strip(), quote=False).split("\n\n"):
        parts = paragraph.split("`")
        coded = (f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))
        paragraphs.append(f"<p>{''.join(coded)}</p>")
    return "".join(paragraphs)


def _operation(
    document: dict[str, Any], method: str, address: str, operation: dict[str, Any]
) -> str:
    fields = [
        (parameter["name"], parameter["in"], parameter["schema"], parameter)
        for parameter in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        body = operation["requestBody"]
        for media_type, content in body["content"].items():
            if media_type != "application/json":
                fields.append((media_type, "body", content["schema"], body))
                continue
            name = content["schema"]["$ref"].rpartition("/")[2]
            properties = document["components"]["schemas"][name]["properties"]
            fields += [(key, "body", schema, schema) for key, schema in properties.items()]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{place}<td>{_kind(schema)}"
        f"<td>{_prose(about.get('description', ''))}"
        for name, place, schema, about in fields
    )
    header = "<tr><th>Parameter<th>In<th>Value<th>Meaning"
    examples = [
        content["example"]
        for status, response in operation["responses"].items()
        if status.startswith("2")
        for content in response.get("content", {}).values()
        if "example" in content
    ]
    example = "".join(
        f"<pre>{escape(_compact(shown), quote=False)}</pre>" for shown in examples[:1]
    )
    media_types = dict.fromkeys(
        media_type
        for status, response in operation["responses"].items()
        if status.startswith("2")
        for media_type in response.get("content", ())
    )
    sent = ", ".join(f"<code>{escape(media_type)}</code>" for media_type in media_types)
    return (
        f'<h2 id="{escape(operation["operationId"])}"><b>{method.upper()}</b> '
        f"{escape(address)}</h2>{_prose(operation['description'])}"
        f"{f'<table>{header}{rows}</table>' if rows else ''}"
        f"{f'<p>Answers with {sent}.</p>' if sent else ''}{example}"
    )


def _kind(schema: dict[str, Any]) -> str:
    parts = schema.get("anyOf", [schema])
    choices = schema.get("enum") or [choice for part in parts for choice in part.get("enum", ())]
    kinds = [part.get("type") for part in parts]
    text = ", ".join(f"<code>{escape(choice)}</code>" for choice in choices) or " or ".join(
        str(kind) for kind in kinds if kind and kind != "null"
    )
    default = schema.get("default")
    return (
        text if default is None else f"{text}; default <code>{escape(json.dumps(default))}</code>"
    )


def _compact(example: dict[str, Any]) -> str:
    """JSON with one line per field and per row."""
    lines = []
    for key, value in example.items():
        if key == "rows":
            text = "[\n    " + ",\n    ".join(json.dumps(row) for row in value) + "\n  ]"
        else:
            text = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"
