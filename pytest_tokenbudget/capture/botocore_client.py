"""botocore's own HTTP session, which carries Amazon Bedrock's calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
        return (Watched(module.BotocoreStubber, "__call__", partial(_answered_by_moto, library)),)
    if module.__name__ == "botocore.stub":
        return (Watched(module.Stubber, "activate", _noting_the_stubber),)
    return (Watched(module.URLLib3Session, "send", partial(_send, library)),)


def _noting_the_stubber(original: Callable[..., Any], stubber: Any) -> Any:
    for recorder in ACTIVE.recorders:
        recorder.connections.bypasses.append("botocore.stub.Stubber answers before a request is made")
    return original(stubber)


def _answered_by_moto(
    library: PreparedLibrary,
    original: Callable[..., Any],
    stubber: Any,
    event_name: str,
    request: Any,
    **options: Any,
) -> Any:
    in_flight = in_flight_request(library, stubber, request, streamed=False) if stubber.enabled else None
    if in_flight is None:
        return original(stubber, event_name, request, **options)
    with in_flight:
        response = original(stubber, event_name, request, **options)
    if response is None:  # it is none of moto's, and the session will send it
        in_flight.forget()
    else:
        in_flight.arrived(response.status_code, response.headers)
        in_flight.whole(response.content or b"")
        response.raw.seek(0)
        response._content = None
    return response


def _send(library: PreparedLibrary, original: Callable[..., Any], session: Any, request: Any) -> Any:
    streamed = bool(getattr(request, "stream_output", False))
    in_flight = in_flight_request(library, session, request, streamed=streamed)
    if in_flight is None:
        return original(session, request)
    with in_flight:
        answer = in_flight.ask()
        if answer is None:
            response = original(session, request)
        else:
            response = play_botocore(request, answer, streamed=streamed)
    in_flight.arrived(response.status_code, response.headers)
    if streamed:
        response.raw = teed_body(response.raw, in_flight.builders)
    else:
        in_flight.whole(response.content or b"")
    return response
