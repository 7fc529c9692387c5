"""botocore's own HTTP session, which carries Amazon Bedrock's calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.in_flight import in_flight_request
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.requests_client import PreparedLibrary
from pytest_tokenbudget.capture.urllib3_body import play_botocore, teed_body


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods to watch.

    Args:
        module: ``botocore.httpsession``; or what answers before the session is asked: ``moto.core.botocore_stubber``,
            and ``botocore.stub``, which makes no request at all.
        client: Name and version of botocore.
    """
    library = PreparedLibrary(client)
    if module.__name__ == "moto.core.botocore_stubber":
        return (Watched(module.BotocoreStubber, "__call__", lambda stub: _answered_by_moto(library, stub)),)
    if module.__name__ == "botocore.stub":
        return (Watched(module.Stubber, "activate", _noting_the_stubber),)
    return (Watched(module.URLLib3Session, "send", lambda send: _send(library, send)),)


def _noting_the_stubber(original: Callable[..., Any]) -> Callable[..., Any]:
    def activate(self: Any) -> Any:
        for recorder in ACTIVE.recorders:
            recorder.connections.bypasses.append("botocore.stub.Stubber answers before a request is made")
        return original(self)

    return activate


def _answered_by_moto(library: PreparedLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    def stub(self: Any, event_name: str, request: Any, **options: Any) -> Any:
        in_flight = in_flight_request(library, self, request, streamed=False) if self.enabled else None
        if in_flight is None:
            return original(self, event_name, request, **options)
        in_flight.begin()
        try:
            response = original(self, event_name, request, **options)
        except BaseException as error:
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        if response is None:  # it is none of moto's, and the session will send it
            in_flight.forget()
        else:
            in_flight.arrived(response.status_code, response.headers)
            in_flight.whole(response.content or b"")
            response.raw.seek(0)
            response._content = None
        return response

    return stub


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
            response.raw = teed_body(response.raw, in_flight.builders)
        else:
            in_flight.whole(response.content or b"")
        return response

    return send
