"""Holds one recorded request with its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.providers.http_message import JsonObject
from pytest_tokenbudget.records.exchange import End, Exchange, Headers, TokenBasis
from pytest_tokenbudget.replay.redaction import dump

Ending = Literal["complete", "cut", "failed", "abandoned"]
"""The end of an answer. ``abandoned``: the agent cancelled it, or was over before it came: its rest is not known."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """A recorded request with its answer.

    Attributes:
        api: The wire format.
        provider: The provider, as it was read.
        stage: Path of the stage that was open in code, ``""`` for none.
        method: HTTP method.
        url: The URL without user, query and fragment.
        model: The model that was asked for.
        body: The request's JSON object, redacted; ``None`` where it was none.
        started: Start, s since the first interaction's.
        duration: Until the answer ended, s.
        status: HTTP status, 0 where there was no response.
        headers: Response headers that are kept.
        chunks: The answer, decoded, in the pieces in which it arrived.
        times: Arrival of each chunk, s since the start.
        ending: How it ended.
        fault: The failure of a connection that failed or was cut.
        tool_calls: Names of the tools that the answer calls.
        input_tokens: The provider's input tokens, ``None`` where it told none.
        counted_tokens: The local count of the request, ``None`` where it could not be counted.
        output_tokens: The provider's output tokens.
        redacted: Whether the body is not what was sent, because something in it was redacted.
    """

    api: str
    provider: str = ""
    stage: str = ""
    method: str = "POST"
    url: str = ""
    model: str = ""
    body: JsonObject | None = None
    started: float = 0.0
    duration: float = 0.0
    status: int = 200
    headers: Headers = ()
    chunks: tuple[bytes, ...] = ()
    times: tuple[float, ...] = ()
    ending: Ending = "complete"
    fault: Fault | None = None
    tool_calls: tuple[str, ...] = ()
    input_tokens: int | None = None
    counted_tokens: int | None = None
    output_tokens: int | None = None
    redacted: bool = False

    @property
    def ended(self) -> float:
        """Give the end, s since the first interaction's start."""
        return self.started + self.duration


_ENDS: Mapping[str, End] = {"complete": "complete", "cut": "cut", "failed": "failed", "abandoned": "cancelled"}


def exchange_of(one: Interaction, number: int) -> Exchange:
    """Make the exchange of a recorded request and answer, at the time at which it was recorded.

    Args:
        one: What was recorded.
        number: Its number in the recording.
    """
    return Exchange(
        client="cassette",
        method=one.method,
        url=one.url,
        request_headers=(("content-type", "application/json"),),
        request_body=None if one.body is None else dump(one.body).encode("utf-8", "surrogatepass"),
        status=one.status or None,
        response_headers=one.headers,
        chunks=one.chunks,
        chunk_times=tuple(one.started + time for time in one.times),
        streamed=len(one.chunks) > 1,
        started=one.started,
        ended=one.ended,
        end=_ENDS[one.ending],
        error=one.fault,
        stage=one.stage,
        answered_by="replay",
        token_basis=TokenBasis(one.input_tokens),
        sequence=number,
    )
