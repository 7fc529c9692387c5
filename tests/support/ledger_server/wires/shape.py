"""The shape of a wire of the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply
from ledger_server.sse import data


def asks_stream(path: str, body: dict[str, Any]) -> bool:
    """Whether the body says ``"stream": true``."""
    return body.get("stream") is True


def names_model(path: str, body: dict[str, Any]) -> str:
    """The body's ``model``."""
    return str(body.get("model") or "unknown")


@dataclass(frozen=True, slots=True)
class Wire:
    """One API.

    Attributes:
        api: Its name.
        matches: Whether a path belongs to it.
        plain: The body of a plain answer; numbers are ``None`` where no usage is to be sent.
        events: The events of a streamed answer, framed.
        error: The error object for a status and a message.
        told: Whether a streamed answer carries usage.
        frame_error: How an error is framed inside a stream.
        stream_type: Content type of a streamed answer.
        streams: Whether a request asks for a stream.
        model: The requested model.
    """

    api: str
    matches: Callable[[str], bool]
    plain: Callable[[Asked, Reply, str, Numbers | None], dict[str, Any]]
    events: Callable[[Asked, Reply, str, Numbers | None], list[bytes]]
    error: Callable[[int, str], dict[str, Any]]
    told: Callable[[Asked], bool] = lambda asked: True
    frame_error: Callable[[dict[str, Any]], bytes] = data
    stream_type: str = "text/event-stream; charset=utf-8"
    streams: Callable[[str, dict[str, Any]], bool] = asks_stream
    model: Callable[[str, dict[str, Any]], str] = names_model
