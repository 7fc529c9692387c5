"""Ask streams for their usage where their API tells it on request only, and hide the extra event from the client."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.exchange_builder import builtin_formats

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers

_EVENT_END = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")


class UsageFilter:
    """Passes a stream's bytes on without the usage that the client did not ask for; they may be cut anywhere."""

    def __init__(self) -> None:
        from pytest_tokenbudget.providers.openai_chat import without_usage

        self._held = b""
        self._without_usage = without_usage

    def pass_on(self, chunk: bytes) -> bytes:
        """The bytes that may be shown now; an event that is not complete is held back, no client can read it either."""
        held = self._held + chunk
        shown: list[bytes] = []
        at = 0
        for end in _EVENT_END.finditer(held):
            event = held[at : end.end()]
            at = end.end()
            shown.append(self._without_usage(event))
        self._held = held[at:]
        return b"".join(shown)

    def rest(self) -> bytes:
        """Give the bytes that were held back when the stream ended."""
        rest, self._held = self._held, b""
        return self._without_usage(rest)


def is_event_stream(headers: Headers) -> bool:
    """Tell whether a response with these headers is a stream of server-sent events."""
    return any(name == "content-type" and value.lower().startswith("text/event-stream") for name, value in headers)


def asking_for_usage(module: ModuleType, request: Any) -> Any:
    """The request that asks for usage, for a stream's that does not say whether it wants it; else ``None``."""
    from pytest_tokenbudget.providers.classify import classify
    from pytest_tokenbudget.providers.http_message import parse_request

    try:
        sent = request.content
    except module.RequestNotRead:
        return None
    found = classify(parse_request(request.method, str(request.url), (), sent), builtin_formats())
    body = found.format.ask_for_usage(found.request, sent) if found.kind == "call" and found.format else None
    if body is None:
        return None
    # httpx sets the length anew; a compressed answer could not be filtered on its way.
    dropped = ("content-length", "transfer-encoding", "accept-encoding")
    headers = [(name, value) for name, value in request.headers.multi_items() if name not in dropped]
    headers.append(("accept-encoding", "identity"))
    return module.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)
