"""Keeps a cassette small: what is the same is written once.

Messages and tool schemas are kept by their content; a list that goes on from that of an earlier request, as a history does,
is written as that; and a chunk of a stream as what differs from the one before. All are exact: what is unfolded is what was folded, to the byte.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.replay.redaction import Redactor, dump

REFERENCE = "="
"""Key of an object that stands for stored content, ``{"=": "1f0a..."}``; or, as the first of a list, for the whole list
under the same key in an earlier request, ``{"=": 3}``."""

REQUESTS_COMPARED = 16
"""Earlier requests that are looked at for a list that goes on; more branches beside each other are rare."""

ITEM_CHARACTERS = 48
"""Members of lists (messages, tools) from this size on are stored once."""

VALUE_CHARACTERS = 160
"""Other values of a request (a system prompt) from this size on are stored once."""

SHARED_CHARACTERS = 24
"""A chunk that shares fewer characters than this with the one before is written whole."""

Packed = list[Any]
"""A chunk: ``[time, text]``, ``[time, head, text, tail]`` or ``[time, {"base64": ...}]`` or ``[time, {"json": ...}]``."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A request as a cassette has it.

    Attributes:
        request: The request with its large parts replaced by references.
        fresh: The contents by digest that it is the first to refer to.
        redacted: Whether something in it was redacted.
    """

    request: dict[str, Any]
    fresh: dict[str, Any]
    redacted: bool


@dataclass(frozen=True, slots=True)
class _List:
    """A list of an earlier request: its members as they were sent, and as they are written."""

    number: int
    members: list[Any]
    folded: list[Any]
    redacted: bool


class Folder:
    """Folds and redacts the requests of one cassette, in their order; looks at each content once.

    Args:
        redactor: Redacts contents.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._stored: dict[bytes, tuple[str, bool]] = {}
        self._recent: deque[dict[str, _List]] = deque(maxlen=REQUESTS_COMPARED)

    def fold(self, number: int, body: Mapping[str, Any]) -> Folded:
        """Fold a request.

        Args:
            number: The number of its interaction.
            body: The request.
        """
        fresh: dict[str, Any] = {}
        request: dict[str, Any] = {}
        lists: dict[str, _List] = {}
        redacted = False
        for key, value in body.items():
            if isinstance(value, list):
                begun = self._beginning(key, value)
                lists[key] = folded = self._list(number, key, value, begun, fresh)
                redacted |= folded.redacted
                kept = 0 if begun is None else len(begun.members)
                request[key] = folded.folded if begun is None else [{REFERENCE: begun.number}, *folded.folded[kept:]]
            else:
                request[key], is_redacted = self._value(value, key, VALUE_CHARACTERS, fresh)
                redacted |= is_redacted
        self._recent.appendleft(lists)
        return Folded(request, fresh, redacted)

    def _beginning(self, key: str, members: list[Any]) -> _List | None:
        """Find the longest list of an earlier request with which a list begins, of two members at least."""
        found, length = None, 1
        for lists in self._recent:
            earlier = lists.get(key)
            if earlier is None or not length < len(earlier.members) <= len(members):
                continue
            if members[: len(earlier.members)] == earlier.members:
                found, length = earlier, len(earlier.members)
        return found

    def _list(self, number: int, key: str, members: list[Any], begun: _List | None, fresh: dict[str, Any]) -> _List:
        known = [] if begun is None else begun.folded
        parts = [self._value(one, key, ITEM_CHARACTERS, fresh) for one in members[len(known) :]]
        redacted = (begun is not None and begun.redacted) or any(is_redacted for _, is_redacted in parts)
        return _List(number, members, [*known, *(part for part, _ in parts)], redacted)

    def _value(self, value: Any, key: str, least: int, fresh: dict[str, Any]) -> tuple[Any, bool]:
        """Give what is written for a value, and whether it was redacted."""
        written = dump(value)
        # An object that looks like a reference is stored, whatever its size, so that it is not taken for one.
        if len(written) < least and not (isinstance(value, dict) and REFERENCE in value):
            return self._cleaned(value, key)
        digest = _digest(written)
        if digest not in self._stored:
            cleaned, is_redacted = self._cleaned(value, key)
            name = _digest(dump(cleaned)).hex()
            self._stored[digest] = name, is_redacted
            fresh[name] = cleaned
        name, is_redacted = self._stored[digest]
        return {REFERENCE: name}, is_redacted

    def _cleaned(self, value: Any, key: str) -> tuple[Any, bool]:
        cleaned = self._redactor.value(value, key)
        return cleaned, cleaned is not value and cleaned != value


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6]


class Unfolder:
    """Unfolds the requests of one cassette, in their order."""

    def __init__(self) -> None:
        self._contents: dict[str, Any] = {}
        self._bodies: list[Mapping[str, Any]] = []

    def keep(self, name: str, content: Any) -> None:
        """Keep a content that requests may refer to."""
        self._contents[name] = content

    def unfold(self, folded: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Unfold the request of the next interaction.

        Raises:
            KeyError: If what it refers to is missing; the key is its name.
        """
        body = None if folded is None else {key: self._value(key, value) for key, value in folded.items()}
        self._bodies.append(body or {})
        return body

    def _value(self, key: str, value: Any) -> Any:
        if not isinstance(value, list):
            return self._found(value)
        begun: list[Any] = []
        if value and isinstance(value[0], dict) and value[0].keys() == {REFERENCE} and type(value[0][REFERENCE]) is int:
            begun, value = self._list(key, value[0][REFERENCE]), value[1:]
        return [*begun, *(self._found(one) for one in value)]

    def _list(self, key: str, number: int) -> list[Any]:
        if not 0 < number <= len(self._bodies) or not isinstance(found := self._bodies[number - 1].get(key), list):
            raise KeyError(f"{key} of call {number}")
        return found

    def _found(self, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {REFERENCE}:
            return self._contents[value[REFERENCE]]
        return value


def pack(chunks: tuple[bytes, ...], times: tuple[float, ...]) -> list[Packed]:
    """Write the chunks of an answer as a cassette has them."""
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
    """Measure the longest common beginning and, of the rest, the longest common end."""
    most = min(len(text), len(before))
    head = next((at for at in range(most) if text[at] != before[at]), most)
    rest = most - head
    tail = next((at for at in range(rest) if text[-1 - at] != before[-1 - at]), rest)
    return head, tail


def unpack(packed: object) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
    """Read chunks and times.

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
            or not (times[-1] if times else 0.0) <= entry[0] < 1e9
        ):
            raise ValueError(f"chunk {number} has no time, or an earlier one than the chunk before")
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
