"""botocore's own HTTP session, which carries Amazon Bedrock's calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.in_flight import in_flight_request
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.requests_client import PreparedLibrary
from pytest_tokenbudget.capture.urllib3_body import RawBody
from pytest_tokenbudget.capture.urllib3_local import play_botocore


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The method of ``botocore.httpsession`` to watch."""
    library = PreparedLibrary(client)
    return (Watched(module.URLLib3Session, "send", lambda send: _send(library, send)),)


def _send(library: PreparedLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, request: Any) -> Any:
        if not ACTIVE.recorders:
            return original(self, request)
        streamed = bool(getattr(request, "stream_output", False))
        in_flight = in_flight_request(library, self, request, streamed=streamed)
        if in_flight is None:
            return original(self, request)
        in_flight.begin()
        try:
            answer = None if in_flight.plain else in_flight.ask()
            if answer is None:
                response = original(self, request)
            else:
                response = play_botocore(request, answer, streamed=streamed)
        except BaseException as error:
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        in_flight.arrived(response.status_code, response.headers)
        if streamed:
            response.raw = RawBody(response.raw, in_flight.builders)
        else:
            in_flight.whole(response.content or b"")
        return response

    return send
