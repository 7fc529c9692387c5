"""requests: ``Session.send``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import Library
from pytest_tokenbudget.capture.in_flight import in_flight_request
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.urllib3_body import play_requests, teed_body
from pytest_tokenbudget.records.exchange import Headers


@dataclass(slots=True)
class PlainRequest:
    """A request of a library that has no object for it.

    Attributes:
        method: HTTP method.
        url: The whole URL.
        headers: Request headers.
        body: The body as it was given.
    """

    method: str
    url: str
    headers: dict[str, Any]
    body: Any


class PreparedLibrary(Library):
    """Reads requests that have ``method``, ``url``, ``headers`` and ``body``: those of requests, botocore, urllib3."""

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it is a stream."""
        return (
            str(request.method).upper(),
            str(request.url),
            self.header_pairs(request.headers),
            sent_bytes(request.body),
        )

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of any mapping of headers."""
        return tuple((_text(name).lower(), _text(value)) for name, value in headers.items())

    def in_process(self, sender: Any, request: Any) -> bool:
        """Tell whether the adapter of a requests session holds an app; botocore's session has no adapters."""
        choose = getattr(sender, "get_adapter", None)
        try:
            return choose is not None and getattr(choose(url=request.url), "app", None) is not None
        except Exception:  # there is none for its scheme, and the session will say so
            return False


def sent_bytes(body: Any) -> bytes | None:
    """A body as bytes, ``None`` where it is neither a text nor bytes."""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The method that sends.

    Args:
        module: ``requests``, or ``requests_mock.mocker``: its mocker calls the ``send`` that it found when it was imported.
        client: Name and version of requests.
    """
    library = PreparedLibrary(client)
    if module.__name__ == "requests_mock.mocker":
        return (Watched(module, "_original_send", partial(_send, library, module.requests)),)
    return (Watched(module.Session, "send", partial(_send, library, module)),)


def _send(
    library: PreparedLibrary,
    module: ModuleType,
    original: Callable[..., Any],
    session: Any,
    request: Any,
    **options: Any,
) -> Any:
    streamed = bool(options.get("stream", session.stream))
    in_flight = in_flight_request(library, session, request, streamed=streamed)
    if in_flight is None:
        return original(session, request, **options)
    with in_flight:
        answer = in_flight.ask()
        if answer is None:
            response = original(session, request, **options)
        else:
            response = play_requests(module, request, answer, options, streamed=streamed)
    in_flight.arrived(response.status_code, response.headers)
    # Whether the body was read is known to the response alone: a hook may have read one that was to be streamed.
    if streamed and response.raw is not None and not getattr(response, "_content_consumed", False):
        response.raw = teed_body(response.raw, in_flight.builders)
    else:
        in_flight.whole(response.content or b"")
    return response
