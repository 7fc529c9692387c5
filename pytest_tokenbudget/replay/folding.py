"""How a cassette stays small: what is the same is written once.

Messages and tool schemas are kept by their content; a chunk of a stream is written as what differs from the one before.
Both are exact: what is unfolded is what was folded, to the byte.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

REFERENCE = "="
"""Key of an object that stands for stored content: ``{"=": "1f0a..."}``."""

ITEM_CHARACTERS = 48
"""Members of lists (messages, tools) from this size on are stored once."""

VALUE_CHARACTERS = 160
"""Other values of a request (a system prompt) from this size on are stored once."""

SHARED_CHARACTERS = 24
"""A chunk that shares fewer characters than this with the one before is written whole."""

Packed = list[Any]
"""A chunk: ``[time, text]``, ``[time, head, text, tail]`` or ``[time, {"base64": ...}]`` or ``[time, {"json": ...}]``."""


def dump(value: object) -> str:
    """Compact JSON. Keys stay in their order: the number of tokens depends on it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fold(body: Mapping[str, Any], keep: Callable[[str, Any], None]) -> dict[str, Any]:
    """A request with its large parts replaced by references.

    Args:
        body: The request.
        keep: Called with digest and content of each part, every time that it occurs.
    """

    def stored(value: Any, least: int) -> Any:
        written = dump(value)
        # An object that looks like a reference is stored, whatever its size, so that it is not taken for one.
        if len(written) < least and not (isinstance(value, dict) and REFERENCE in value):
            return value
        name = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        keep(name, value)
        return {REFERENCE: name}

    folded: dict[str, Any] = {}
    for key, value in body.items():
        if isinstance(value, list):
            folded[key] = [stored(one, ITEM_CHARACTERS) if isinstance(one, dict | list | str) else one for one in value]
        elif isinstance(value, dict | str):
            folded[key] = stored(value, VALUE_CHARACTERS)
        else:
            folded[key] = value
    return folded


def unfold(folded: Mapping[str, Any], contents: Mapping[str, Any]) -> dict[str, Any]:
    """The request again.

    Raises:
        KeyError: If a content is missing; the key is its name.
    """

    def found(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {REFERENCE}:
            return contents[value[REFERENCE]]
        return value

    return {
        key: [found(one) for one in value] if isinstance(value, list) else found(value) for key, value in folded.items()
    }


def pack(chunks: tuple[bytes, ...], times: tuple[float, ...]) -> list[Packed]:
    """The chunks of an answer as a cassette has them."""
    packed: list[Packed] = []
    before = ""
    for chunk, at in zip(chunks, times, strict=True):
        try:
            text = chunk.decode("utf-8")
        except UnicodeDecodeError:
            packed.append([at, {"base64": base64.b64encode(chunk).decode()}])
            before = ""
            continue
        packed.append([at, *_packed(text, before)])
        before = text
    return packed


def _packed(text: str, before: str) -> list[Any]:
    head, tail = _shared(text, before)
    if head + tail >= SHARED_CHARACTERS:
        return [head, text[head : len(text) - tail], tail]
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if dump(value) == text:
            return [{"json": value}]
    return [text]


def _shared(text: str, before: str) -> tuple[int, int]:
    """Lengths of the longest common beginning and, of the rest, the longest common end."""
    most = min(len(text), len(before))
    head = next((at for at in range(most) if text[at] != before[at]), most)
    rest = most - head
    tail = next((at for at in range(rest) if text[-1 - at] != before[-1 - at]), rest)
    return head, tail


def unpack(packed: object) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
    """Chunks and times again.

    Raises:
        ValueError: If it is not of the form that :func:`pack` writes.
    """
    if not isinstance(packed, list):
        raise ValueError("chunks is no list")
    chunks: list[bytes] = []
    times: list[float] = []
    before = ""
    for number, entry in enumerate(packed):
        if (
            not isinstance(entry, list)
            or not entry
            or isinstance(entry[0], bool)
            or not isinstance(entry[0], int | float)
        ):
            raise ValueError(f"chunk {number} has no time")
        times.append(float(entry[0]))
        match entry[1:]:
            case [str() as text]:
                pass
            case [int() as head, str() as middle, int() as tail] if head >= 0 and 0 <= tail <= len(before) - head:
                text = before[:head] + middle + before[len(before) - tail :]
            case [{"json": value}]:
                text = dump(value)
            case [{"base64": str() as encoded}]:
                try:
                    chunks.append(base64.b64decode(encoded, validate=True))
                except binascii.Error as error:
                    raise ValueError(f"chunk {number}: {error}") from None
                before = ""
                continue
            case _:
                raise ValueError(f"chunk {number} is not understood")
        chunks.append(text.encode("utf-8", "surrogatepass"))
        before = text
    return tuple(chunks), tuple(times)
