"""Ask OpenAI-style streams for their usage, and hide the extra chunk from the client.

``stream_options.include_usage``: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-24): "an
additional chunk will be streamed before the data: [DONE] message. The usage field on this chunk shows the token usage
statistics for the entire request, and the choices field will always be an empty array."
"""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class UsageFilter:
    """Passes a stream's bytes on without the event that carries nothing but usage; events may be cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, chunk: bytes) -> bytes:
        """The bytes that may be shown now; an event that is not complete is held back."""
        self._held += chunk
        shown: list[bytes] = []
        at = 0
        for end in _EVENT_END.finditer(self._held):
            event = self._held[at : end.end()]
            at = end.end()
            if not (b'"usage"' in event and _EMPTY_CHOICES.search(event)):
                shown.append(event)
        self._held = self._held[at:]
        return b"".join(shown)

    def rest(self) -> bytes:
        """What was held back when the stream ended."""
        rest, self._held = self._held, b""
        return rest


def asking_for_usage(module: ModuleType, request: Any) -> tuple[Any, UsageFilter | None]:
    """The request that asks for usage, where it is an OpenAI-style stream that does not ask already.

    Args:
        module: The client's module.
        request: The caller's request; it stays as it is.

    Returns:
        The request to send, and the filter for its answer; the same request and ``None`` where nothing is to be done.
    """
    body = getattr(request, "_content", None)
    if request.method != "POST" or not body or not request.url.path.endswith("/completions"):
        return request, None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return request, None
    if not isinstance(asked, dict) or asked.get("stream") is not True:
        return request, None
    options = asked.get("stream_options") or {}
    if not isinstance(options, dict) or "include_usage" in options:
        return request, None
    asked["stream_options"] = {**options, "include_usage": True}
    headers = [(name, value) for name, value in request.headers.multi_items() if name != "content-length"]
    # Compressed answers could not be filtered on the way.
    headers = [(name, value) for name, value in headers if name != "accept-encoding"] + [("accept-encoding", "identity")]
    content = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    renewed = module.Request(request.method, request.url, headers=headers, content=content, extensions=request.extensions)
    return renewed, UsageFilter()
