"""Ask OpenAI-style streams for their usage, and hide the extra chunk from the client.

``stream_options.include_usage``: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-24): "an
additional chunk will be streamed before the data: [DONE] message. The usage field on this chunk shows the token usage
statistics for the entire request, and the choices field will always be an empty array."
"""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers

_EVENT_END = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_ASK = b',"stream_options":{"include_usage":true}}'


class UsageFilter:
    """Passes a stream's bytes on without the event that carries nothing but usage; they may be cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, chunk: bytes) -> bytes:
        """The bytes that may be shown now; an event that is not complete is held back, no client can read it either."""
        held = self._held + chunk
        shown: list[bytes] = []
        at = 0
        for end in _EVENT_END.finditer(held):
            event = held[at : end.end()]
            at = end.end()
            if not is_usage_event(event):
                shown.append(event)
        self._held = held[at:]
        return b"".join(shown)

    def rest(self) -> bytes:
        """What was held back when the stream ended."""
        rest, self._held = self._held, b""
        return b"" if is_usage_event(rest) else rest


def is_usage_event(event: bytes) -> bool:
    """Whether a server-sent event has usage and no choices (Azure's first one has neither, and stays)."""
    if b'"usage"' not in event or _EMPTY_CHOICES.search(event) is None:
        return False
    lines = (line.partition(b":") for line in event.splitlines())
    try:
        data = json.loads(b"\n".join(value for field, _, value in lines if field.strip() == b"data"))
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("choices") == [] and isinstance(data.get("usage"), dict)


def is_event_stream(headers: Headers) -> bool:
    """Whether a response with these headers is a stream of server-sent events."""
    return any(name == "content-type" and value.lower().startswith("text/event-stream") for name, value in headers)


def asking_for_usage(module: ModuleType, request: Any) -> Any:
    """The request to send in the place of an OpenAI-style stream's that does not say whether it wants usage.

    Args:
        module: The client's module.
        request: The caller's request; it stays as it is.

    Returns:
        The request that asks for usage; ``None`` where nothing is to be asked.
    """
    if request.method != "POST" or not request.url.path.endswith("/completions"):
        return None
    try:
        body = _asking(request.content)
    except module.RequestNotRead:
        return None
    if body is None:
        return None
    # httpx sets the length anew; a compressed answer could not be filtered on its way.
    dropped = ("content-length", "transfer-encoding", "accept-encoding")
    headers = [(name, value) for name, value in request.headers.multi_items() if name not in dropped]
    headers.append(("accept-encoding", "identity"))
    return module.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _asking(body: bytes) -> bytes | None:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or asked.get("stream") is not True:
        return None
    if "stream_options" not in asked:
        return body.rstrip()[:-1] + _ASK
    options = asked["stream_options"] or {}
    if not isinstance(options, dict) or "include_usage" in options:
        return None
    asked["stream_options"] = {**options, "include_usage": True}
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
