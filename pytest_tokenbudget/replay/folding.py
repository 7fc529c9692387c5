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
from typing import Any

REFERENCE = "="
"""Key of an object that stands for stored content, ``{"=": "1f0a..."}``; or, as the first of a list, for the whole list
under the same key in an earlier take, ``{"=": 3}``."""

RECENT = 16
"""Takes that are looked at for a list that goes on; more branches beside each other are rare."""

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


class Folder:
    """Folds the requests of one cassette, in their order."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._lists: deque[tuple[int, dict[str, list[Any]]]] = deque(maxlen=RECENT)

    def fold(self, number: int, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Replace the large parts of a request by references.

        Args:
            number: The number of its take.
            body: The request.

        Returns:
            The folded request, and the contents by digest that it is the first to refer to.
        """
        fresh: dict[str, Any] = {}
        folded = {key: self._value(value, fresh) for key, value in body.items()}
        lists = {key: value for key, value in folded.items() if isinstance(value, list)}
        shortened = {key: self._continued(key, members) for key, members in lists.items()}
        self._lists.appendleft((number, lists))
        return folded | shortened, fresh

    def _value(self, value: Any, fresh: dict[str, Any]) -> Any:
        if isinstance(value, list):
            return [
                self._stored(one, ITEM_CHARACTERS, fresh) if isinstance(one, dict | list | str) else one
                for one in value
            ]
        return self._stored(value, VALUE_CHARACTERS, fresh) if isinstance(value, dict | str) else value

    def _stored(self, value: Any, least: int, fresh: dict[str, Any]) -> Any:
        written = dump(value)
        # An object that looks like a reference is stored, whatever its size, so that it is not taken for one.
        if len(written) < least and not (isinstance(value, dict) and REFERENCE in value):
            return value
        name = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        if name not in self._written:
            self._written.add(name)
            fresh[name] = value
        return {REFERENCE: name}

    def _continued(self, key: str, members: list[Any]) -> list[Any]:
        """Write a list as what goes on from the longest list of an earlier request with which it begins."""
        length, number = 0, 0
        for earlier, lists in self._lists:
            begun = lists.get(key, [])
            if length < len(begun) <= len(members) and members[: len(begun)] == begun:
                length, number = len(begun), earlier
        return [{REFERENCE: number}, *members[length:]] if length > 1 else members


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
            raise KeyError(f"{key} of take {number}")
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
