"""Requests that come from another process: asked about by a child, or sent to a server of the plugin."""

from __future__ import annotations

from dataclasses import replace

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library
from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.records.exchange import Headers


class RemoteLibrary(Library):
    """Reads requests that are records already."""

    def request_parts(self, request: Outgoing) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body."""
        return request.method, request.url, request.headers, request.body


def begin_remote(recorder: Recorder, outgoing: Outgoing) -> ExchangeBuilder:
    """Begin the exchange of a request from another process, after whoever may refuse it was asked."""
    if recorder.before_send is not None:
        recorder.before_send(_in_stage(recorder, outgoing))
    library = RemoteLibrary(outgoing.client)
    # While a fixture of a wider scope is set up, what is asked belongs to it, whoever asks.
    outside = "" if recorder.recording else recorder.outside_of(library, outgoing)
    builder = recorder.begin(
        ExchangeBuilder(recorder, library, outgoing, streamed=outgoing.streamed, stage=outgoing.stage, outside=outside)
    )
    builder.surrounding_stage = recorder.open_stage()
    return builder


def answer_remote(recorder: Recorder, builder: ExchangeBuilder, outgoing: Outgoing) -> LocalAnswer | None:
    """The answer that is given locally, when it is due; ``None`` where the request is to leave.

    Raises:
        TokenBudgetError: If it may not leave; its exchange is forgotten then.
    """
    try:
        answer = None if recorder.answerer is None else recorder.answerer.answer(_in_stage(recorder, outgoing))
    except TokenBudgetError:
        recorder.forget(builder)
        raise
    builder.answer = answer
    return answer


def _in_stage(recorder: Recorder, outgoing: Outgoing) -> Outgoing:
    """The request in the stage that is open here, where the other process opened none."""
    return outgoing if outgoing.stage else replace(outgoing, stage=recorder.open_stage())
