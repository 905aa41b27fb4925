"""Protocol buffers' wire format: where an ONNX file holds its tensors, before it is parsed.

The parser copies every byte that it reads. So the large tensors are found in the file first and
left out of what is parsed; they are read later, from where they lie. Nothing here needs onnx.

Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.readers.wording import damaged
from store.errors import UnreadableModel

# What a protocol buffer can be at most.
LARGEST_FILE = 2**31 - 1
# Tensors of fewer bytes stay in the message, where shape inference sees them.
SMALL = 1024
MOST_FIELDS = 2_000_000

_VARINT, _BYTES = 0, 2
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9

# Fields of ModelProto and how they are written.
_MODEL = {
    1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES,
    14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES,
}  # fmt: skip

Span = tuple[int, int]


class _MalformedError(ValueError):
    pass


@dataclass(frozen=True)
class _Field:
    """A field of a message: its number, how it is written, and where tag and content lie."""

    number: int
    kind: int
    tag: int
    begin: int
    end: int


def is_onnx(path: Path) -> bool:
    """Whether a file begins as an ONNX model does; it may be damaged further on.

    Reads a few bytes of each of the first fields and follows no length that it finds.

    Example
    -------
    >>> is_onnx(Path(__file__))
    False
    """
    try:
        with path.open("rb") as file:
            head = file.read(1)
        # Writers put the version of the format first; nothing else has its tag there.
        if head != b"\x08":
            return False
        content = _mapped(path)
        place = 0
        while place < len(content):
            field = _field(content, place, len(content))
            if _MODEL.get(field.number) != field.kind:
                return False
            # Where the file is cut off, the reader says so.
            if field.number == _GRAPH or field.end > len(content):
                return True
            place = field.end
    except (OSError, ValueError):
        return False
    return False


def without_tensors(path: Path) -> tuple[bytes, list[Span | None]]:
    """The bytes of a model's message without those of its large initializers.

    Parameters
    ----------
    path
        A regular file.

    Returns
    -------
    message, spans
        For each initializer of the main graph: where in the file its ``raw_data`` lies, or None
        if they are in the message.

    Raises
    ------
    UnreadableModel
        If the file is no protocol buffer, or too large to be one.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise UnreadableModel(
            f"The file {path.name!r} is {size} bytes long, and an ONNX file holds at most "
            f"{LARGEST_FILE}: save the model with its weights as external data."
        )
    if not size:
        raise damaged(path, "it is empty")
    try:
        return _stripped(_mapped(path))
    except _MalformedError as error:
        raise damaged(path, f"it is no protocol buffer ({error})") from error


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _stripped(content: memoryview) -> tuple[bytes, list[Span | None]]:
    pieces: list[bytes] = []
    spans: list[Span | None] = []
    graphs = 0
    for field in _fields(content, 0, len(content)):
        if (field.number, field.kind) != (_GRAPH, _BYTES):
            pieces.append(bytes(content[field.tag : field.end]))
            continue
        graphs += 1
        if graphs > 1:
            raise _MalformedError("two graphs")
        inner: list[bytes] = []
        for entry in _fields(content, field.begin, field.end):
            if (entry.number, entry.kind) != (_INITIALIZER, _BYTES):
                inner.append(bytes(content[entry.tag : entry.end]))
                continue
            tensor, span = _without_data(content, entry)
            spans.append(span)
            inner.append(_written(_INITIALIZER, tensor))
        pieces.append(_written(_GRAPH, b"".join(inner)))
    return b"".join(pieces), spans


def _without_data(content: memoryview, tensor: _Field) -> tuple[bytes, Span | None]:
    span: Span | None = None
    pieces = []
    for field in _fields(content, tensor.begin, tensor.end):
        if (field.number, field.kind) == (_RAW_DATA, _BYTES) and field.end - field.begin > SMALL:
            if span is not None:
                raise _MalformedError("a tensor has its bytes twice")
            span = (field.begin, field.end)
        else:
            pieces.append(bytes(content[field.tag : field.end]))
    return b"".join(pieces), span


def _written(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    head = bytearray([number << 3 | _BYTES])
    length = len(content)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def _fields(content: memoryview, start: int, stop: int) -> Iterator[_Field]:
    """The fields of a message, none of which reaches beyond it."""
    place = start
    for _ in range(MOST_FIELDS):
        if place >= stop:
            return
        field = _field(content, place, stop)
        if field.number == 0 or field.end > stop:
            raise _MalformedError("a field that reaches beyond the end")
        yield field
        place = field.end
    raise _MalformedError(f"more than {MOST_FIELDS} fields")


def _field(content: memoryview, tag: int, stop: int) -> _Field:
    """The field whose tag stands there; its content may reach beyond the end."""
    key, begin = _varint(content, tag, stop)
    match key & 7:
        case 0:
            _, end = _varint(content, begin, stop)
        case 1:
            end = begin + 8
        case 2:
            length, begin = _varint(content, begin, stop)
            end = begin + length
        case 5:
            end = begin + 4
        case kind:
            raise _MalformedError(f"a field of kind {kind}")
    return _Field(key >> 3, key & 7, tag, begin, end)


def _varint(content: memoryview, place: int, stop: int) -> tuple[int, int]:
    """A number of seven bits per byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= stop:
            break
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _MalformedError("a number without an end")
