"""Calls that are seen and may be refused, but that no recording or script can answer: gRPC and WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.in_flight import current_span
from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.capture.stage import current_path
from pytest_tokenbudget.errors import ConnectionNotAllowed

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import Library


def begin_unanswerable(library: Library, request: Any, door: str, *, streamed: bool) -> list[ExchangeBuilder]:
    """Begin the exchange of a call for every recorder, after whoever may refuse it was asked.

    Raises:
        TokenBudgetError: If it is refused; in a replayed or scripted run it always is.
    """
    for recorder in ACTIVE.recorders:
        if recorder.before_send is None and recorder.answerer is None:
            continue
        method, url, headers, body = library.request_parts(request)
        if recorder.replays:
            error = ConnectionNotAllowed(
                f"a call {door} ({url.partition('?')[0]}) was refused: it is not replayed, and a replayed or scripted run"
                " lets no model call out",
                remedy="run this test live (--tokenbudget-traffic=live), or have the agent use the HTTP API in it",
            )
            recorder.connections.refusals.append(error)
            raise error
        outgoing = Outgoing(library.client, method, url, headers, body, current_path(), streamed)
        if recorder.before_send is not None:
            recorder.before_send(outgoing)
        elif recorder.answerer is not None:
            recorder.answerer.answer(outgoing)  # the session of a child, which lets it out or refuses it
    span = current_span()
    return [
        recorder.begin(
            ExchangeBuilder(
                recorder,
                library,
                request,
                streamed=streamed,
                stage=current_path(),
                span=span,
                outside=recorder.outside_of(library, request),
            )
        )
        for recorder in ACTIVE.recorders
        if recorder.recording
    ]
