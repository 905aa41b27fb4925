"""A part of a network as a GraphML file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from queries.extract import Extract
from store.errors import InvalidArgument
from store.files import refuse_existing, whole_file

_SUFFIX: Final = ".graphml"
_TYPES: Final = {
    "graph": {"network": "string", "notes": "string"},
    "node": {"layer": "string", "layer_index": "int", "neuron": "int", "bias": "double"},
    "edge": {"weight": "double", "kind": "string", "position": "int"},
}
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write(part: Extract, path: Path, *, replace: bool = False) -> None:
    """Writes the file; see :meth:`queries.extract.Extract.to_graphml`."""
    if path.suffix != _SUFFIX:
        raise InvalidArgument(f"A subgraph is written to a {_SUFFIX} file, not to {path.name!r}.")
    refuse_existing(path, replace=replace)
    for name in (part.network, *part.layers):
        if _NOT_XML.search(name):
            raise InvalidArgument(f"The name {name!r} holds a character that XML does not allow.")
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.writelines(_lines(part))


def _lines(part: Extract) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    for owner, properties in _TYPES.items():
        for name, kind in properties.items():
            yield (
                f'<key id="{owner}_{name}" for="{owner}" attr.name="{name}" attr.type="{kind}"/>\n'
            )
    yield '<graph edgedefault="directed">\n'
    yield _data("graph", {"network": part.network, "notes": " ".join(part.notes) or None}) + "\n"
    quoted = [quoteattr(name) for name in part.names]
    for name, neuron in zip(quoted, part.neurons(), strict=True):
        yield f"<node id={name}>{_data('node', neuron)}</node>\n"
    for source, target, link in zip(*part.ends.tolist(), part.links(), strict=True):
        yield (
            f"<edge source={quoted[source]} target={quoted[target]}>{_data('edge', link)}</edge>\n"
        )
    yield "</graph>\n</graphml>\n"


def _data(owner: str, properties: dict[str, Any]) -> str:
    return "".join(
        f'<data key="{owner}_{name}">{escape(str(value))}</data>'
        for name, value in properties.items()
        if value is not None
    )
