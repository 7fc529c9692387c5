"""``http.client``, and so ``urllib.request``: what is sent where no other watched client stands above it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from pytest_tokenbudget.capture.in_flight import in_flight_request, is_being_sent
from pytest_tokenbudget.capture.network import OWN_THREADS
from pytest_tokenbudget.capture.patching import Watched

# Loaded with the watch and not where a request needs them first: that would be within a test's measured time.
from pytest_tokenbudget.capture.stdlib_sending import Sending, body_follows, played, request_of
from pytest_tokenbudget.capture.urllib3_body import teed_body
from pytest_tokenbudget.capture.urllib3_clients import PreparedLibrary


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``http.client.HTTPConnection`` that end a request's head, send bytes, and wait for the response."""
    under_way: WeakKeyDictionary[Any, Sending] = WeakKeyDictionary()
    kind = module.HTTPConnection
    return (
        Watched(kind, "endheaders", partial(_endheaders, client, under_way)),
        Watched(kind, "send", partial(_send, under_way), always=True),
        Watched(kind, "getresponse", partial(_getresponse, kind.send, under_way), always=True),
    )


def _endheaders(
    client: str,
    under_way: WeakKeyDictionary[Any, Sending],
    original: Callable[..., Any],
    connection: Any,
    message_body: Any = None,
    **options: Any,
) -> Any:
    under_way.pop(connection, None)
    begun = bool(connection._buffer)  # else the connection says that there is no request
    if not begun or is_being_sent() or threading.current_thread().name.startswith(OWN_THREADS):
        return original(connection, message_body, **options)
    request = request_of(connection, message_body)
    in_flight = in_flight_request(PreparedLibrary(client), connection, request, streamed=True, below=True)
    if in_flight is None:
        return original(connection, message_body, **options)
    try:
        with in_flight:
            sending = Sending(in_flight, request, follows=body_follows(request, message_body))
            under_way[connection] = sending
            if not sending.follows:
                sending.ask()
            return original(connection, message_body, **options)
    except BaseException:
        under_way.pop(connection, None)
        raise


def _send(under_way: WeakKeyDictionary[Any, Sending], original: Callable[..., Any], connection: Any, data: Any) -> Any:
    sending = under_way.get(connection)
    if sending is not None and sending.takes(data):
        return None
    return original(connection, data)


def _getresponse(
    send: Callable[..., Any],
    under_way: WeakKeyDictionary[Any, Sending],
    original: Callable[..., Any],
    connection: Any,
) -> Any:
    sending = under_way.pop(connection, None)
    if sending is None:
        return original(connection)
    in_flight = sending.in_flight
    try:
        with in_flight.resumed():
            if sending.held is not None:
                sending.ask()
                for data in sending.held if sending.answer is None else ():
                    send(connection, data)
            response = original(connection) if sending.answer is None else played(connection, sending.answer)
    except BaseException as error:
        in_flight.failed(error)
        raise
    in_flight.arrived(response.status, response.headers)
    if response.isclosed():  # it has no body
        for builder in in_flight.builders:
            builder.finish("complete")
        return response
    return teed_body(response, in_flight.builders)
