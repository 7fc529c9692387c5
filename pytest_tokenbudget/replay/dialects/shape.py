"""The shape of a dialect."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.replay.asked import Asked, JsonObject
from pytest_tokenbudget.replay.replies import Called, Reply

PIECE = 16
"""Characters of one streamed piece of text: about four tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is to be written.

    Attributes:
        asked: The request.
        reply: What the model says; its tool calls have ids.
        usage: Its tokens; ``None`` where none are to be told.
    """

    asked: Asked
    reply: Reply
    usage: Usage | None

    @property
    def model(self) -> str:
        """The model that answers."""
        return self.reply.model or self.asked.model

    @property
    def finish(self) -> str:
        """Why it stopped, in the normal form."""
        return self.reply.finish or ("tool_calls" if self.reply.calls else "stop")


@dataclass(frozen=True, slots=True)
class Event:
    """One streamed event: its bytes, and how many characters of generated content it carries."""

    data: bytes
    written: int = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API.

    Attributes:
        api: Name of the wire format.
        recognises: Whether a request with this path and body speaks it.
        read: Model, stream, messages and tools of a request: path and body -> fields of :class:`Asked`.
        plain: The body of a plain answer.
        events: The events of a streamed answer.
        error: The body of an error: status and message.
    """

    api: str
    recognises: Callable[[str, JsonObject], bool]
    read: Callable[[str, JsonObject], dict[str, Any]]
    plain: Callable[[Answer], JsonObject]
    events: Callable[[Answer], list[Event]]
    error: Callable[[int, str], JsonObject]


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def data_event(value: object, written: int = 0) -> Event:
    """A server-sent event without a name."""
    return Event(b"data: " + encode(value) + b"\n\n", written)


def named_event(value: JsonObject, written: int = 0) -> Event:
    """A server-sent event that is named after its ``type``."""
    return Event(b"event: " + str(value["type"]).encode() + b"\ndata: " + encode(value) + b"\n\n", written)


def pieces(text: str) -> list[str]:
    """A text cut as a stream carries it."""
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def arguments(call: Called) -> str:
    """A call's arguments as the JSON text that models write."""
    return json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))


def dicts(value: object) -> list[JsonObject]:
    """The objects of a list; a request may hold anything."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def tool_names(tools: object, *path: str) -> tuple[str, ...]:
    """Names of the tools, each at ``path`` inside its definition or, for built-in tools, its ``type``."""
    names = []
    for tool in dicts(tools):
        place: object = tool
        for key in path:
            place = place.get(key) if isinstance(place, dict) else None
        names.append(str(place or tool.get("name") or tool.get("type") or "?"))
    return tuple(names)
