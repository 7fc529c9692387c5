"""The tools with which an API writes a script's answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.providers.names import finish_reason
from pytest_tokenbudget.records.call import Usage

if TYPE_CHECKING:
    from pytest_tokenbudget.records.reply import Called, Reply

JsonObject = dict[str, Any]

PIECE = 16
"""Characters of one streamed piece of text: about four tokens."""

CREATED = 1_700_000_000
"""A fixed time of creation: scripted answers are the same in every run."""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """An answer that is to be written.

    Attributes:
        body: The request's JSON object.
        model: The model that was asked for.
        number: How many requests the script was asked before.
        reply: What the model says; its tool calls have ids.
        usage: Its tokens; ``None`` where none are to be told.
    """

    body: JsonObject
    model: str
    number: int
    reply: Reply
    usage: Usage | None

    @property
    def answering_model(self) -> str:
        """The model that answers."""
        return self.reply.model or self.model

    @property
    def finish(self) -> str:
        """The finish reason in the normal form."""
        return finish_reason(self.reply.finish) or ("tool_call" if self.reply.calls else "stop")


@dataclass(frozen=True, slots=True)
class Event:
    """One streamed event: its bytes, and how many characters of generated content it carries."""

    data: bytes
    written: int = 0


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Writes the answers of one API.

    Attributes:
        plain: Gives the body of a plain answer.
        events: Gives the events of a streamed answer.
        error: Gives the body of an error, from its status and message.
        call_id: How the ids of tool calls begin.
    """

    plain: Callable[[ScriptedAnswer], JsonObject]
    events: Callable[[ScriptedAnswer], list[Event]]
    error: Callable[[int, str], JsonObject]
    call_id: str = "call"


def encode(value: object) -> bytes:
    """Write compact JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates, which JSON can only hold escaped
        return json.dumps(value, separators=(",", ":")).encode()


def data_event(value: object, written: int = 0) -> Event:
    """Write a server-sent event without a name."""
    return Event(b"data: " + encode(value) + b"\n\n", written)


def named_event(value: JsonObject, written: int = 0) -> Event:
    """Write a server-sent event that is named after its ``type``."""
    return Event(b"event: " + str(value["type"]).encode() + b"\ndata: " + encode(value) + b"\n\n", written)


def pieces(text: str) -> list[str]:
    """Cut a text as a stream carries it."""
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def arguments(call: Called) -> str:
    """Give a call's arguments as the JSON text that models write."""
    return json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))
