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


def begin_remote(recorder: Recorder, outgoing: Outgoing) -> tuple[ExchangeBuilder, LocalAnswer | None]:
    """Begin the exchange of a request from another process, and give the answer where one is given locally, when it is due.

    Raises:
        TokenBudgetError: If it may not leave; its exchange is forgotten then.
    """
    # In the stage that is open here, where the other process opened none.
    asked = outgoing if outgoing.stage else replace(outgoing, stage=recorder.open_stage())
    if recorder.before_send is not None:
        recorder.before_send(asked)
    library = RemoteLibrary(outgoing.client)
    # While a fixture of a wider scope is set up, what is asked belongs to it, whoever asks.
    outside = "" if recorder.recording else recorder.outside_of(library, outgoing)
    builder = recorder.begin(
        ExchangeBuilder(recorder, library, outgoing, streamed=outgoing.streamed, stage=outgoing.stage, outside=outside)
    )
    builder.surrounding_stage = recorder.open_stage()
    try:
        builder.answer = None if recorder.answerer is None else recorder.answerer.answer(asked)
    except TokenBudgetError:
        recorder.forget(builder)
        raise
    return builder, builder.answer
