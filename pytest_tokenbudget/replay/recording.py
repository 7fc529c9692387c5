"""A live run becomes a cassette. Afterwards: during the run only the capture's own tee listens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.providers.body import response_pieces
from pytest_tokenbudget.providers.classify import Classified, classify
from pytest_tokenbudget.providers.read import read
from pytest_tokenbudget.providers.request import JsonObject, request_of
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange, containers
from pytest_tokenbudget.replay.cassette import write_cassette
from pytest_tokenbudget.replay.interaction import Ending, Interaction
from pytest_tokenbudget.replay.secrets import Redactor, bare_url, kept_headers
from pytest_tokenbudget.tokens.counter import Counter

_FAULT_WORDS: tuple[tuple[str, Fault], ...] = (
    ("ConnectTimeout", "connect_timeout"),
    ("ConnectionTimeout", "connect_timeout"),
    ("PoolTimeout", "pool_timeout"),
    ("WriteTimeout", "write_timeout"),
    ("Timeout", "read_timeout"),
    ("Protocol", "protocol_error"),
    ("Disconnected", "protocol_error"),
    ("ConnectionClosed", "protocol_error"),
    ("ReadError", "read_error"),
    ("ClientOSError", "read_error"),
    ("WriteError", "write_error"),
)
"""What the names of errors say, in httpx, requests, aiohttp and botocore; the first that is found counts."""

_NO_READING = Reading(api="unknown", provider="")


def record(exchanges: Iterable[Exchange], formats: Sequence[WireFormat], counter: Counter) -> tuple[Interaction, ...]:
    """The model calls of a run, failed attempts included, and what their APIs were asked beside; nothing else.

    Args:
        exchanges: The exchanges of one sample.
        formats: The wire formats.
        counter: Counts each request as it is counted when it is replayed.
    """
    ordered = sorted(exchanges, key=lambda exchange: exchange.started)
    asked = [(exchange, classify(request_of(exchange), formats)) for exchange in ordered]
    hops = containers(ordered, (exchange for exchange, found in asked if found.kind in ("call", "unknown")))
    asked = [(exchange, found) for exchange, found in asked if exchange.sequence not in hops]
    hosts = {found.request.url.netloc for _, found in asked if found.kind not in ("auxiliary", "other")}
    kept = [
        (exchange, found)
        for exchange, found in asked
        if found.kind != "other" and (found.kind != "auxiliary" or found.request.url.netloc in hosts)
    ]
    origin = kept[0][0].started if kept else 0.0
    return tuple(_interaction(exchange, found, formats, counter, origin) for exchange, found in kept)


def _interaction(
    exchange: Exchange, found: Classified, formats: Sequence[WireFormat], counter: Counter, origin: float
) -> Interaction:
    reading: Reading = getattr(read(exchange, formats), "reading", _NO_READING)
    prompt = found.prompt()
    chunks = response_pieces(exchange)
    ending, fault = _ending(exchange)
    return Interaction(
        api=found.api,
        provider=reading.provider,
        stage=exchange.stage or exchange.surrounding_stage,
        method=exchange.method,
        url=bare_url(exchange.url),
        model=reading.request_model or reading.model,
        body=found.request.body,
        started=exchange.started - origin,
        duration=exchange.ended - exchange.started,
        status=exchange.status or 0,
        headers=kept_headers(exchange.response_headers),
        chunks=chunks,
        times=_times(exchange, len(chunks)),
        ending=ending,
        fault=fault,
        tool_calls=reading.tool_calls,
        input_tokens=reading.usage.input_tokens,
        counted_tokens=None if prompt is None else counter.count_prompt(prompt, provider=reading.provider).tokens,
        output_tokens=reading.usage.output_tokens,
        output_text=reading.output_text,
    )


def save(path: Path, interactions: Sequence[Interaction], patterns: Sequence[re.Pattern[str]] = ()) -> None:
    """Write a cassette, redacted, in one step.

    Args:
        path: The file.
        interactions: What was recorded.
        patterns: What they match is replaced.

    Raises:
        CassetteError: If a pattern matches across the pieces of a stream, where it cannot be replaced; if something
            looks like a key; or if the file cannot be written. What stood there stays.
    """
    redactor = Redactor(tuple(patterns))
    write_cassette(
        path, [_redacted(recorded, number, redactor) for number, recorded in enumerate(interactions, start=1)]
    )


def _redacted(recorded: Interaction, number: int, redactor: Redactor) -> Interaction:
    body: JsonObject | None = redactor.value(recorded.body)
    chunks = tuple(map(redactor.chunk, recorded.chunks))
    # What is spread over the pieces of a stream cannot be replaced piece by piece.
    before = b"".join(recorded.chunks).decode("utf-8", "replace")
    missed = redactor.spread(recorded.output_text, before) or redactor.left(b"".join(chunks).decode("utf-8", "replace"))
    if missed is not None:
        raise CassetteError(
            f"the cassette is not written: {missed!r} matches across the pieces of answer {number}",
            remedy="keep it out of what the model says, or record without streaming",
        )
    return replace(
        recorded,
        url=redactor.text(recorded.url),
        body=body,
        chunks=chunks,
        headers=tuple((name, redactor.text(value)) for name, value in recorded.headers),
        output_text=redactor.text(recorded.output_text),
        redacted=recorded.redacted or body != recorded.body,
    )


def _times(exchange: Exchange, pieces: int) -> tuple[float, ...]:
    """Arrival of each piece; the last one is there when the answer ends, so that its duration is kept."""
    times = [max(0.0, time - exchange.started) for time in exchange.chunk_times[:pieces]]
    times += [exchange.ended - exchange.started] * (pieces - len(times))
    if times and exchange.end == "complete":
        times[-1] = max(times[-1], exchange.ended - exchange.started)
    return tuple(times)


def _ending(exchange: Exchange) -> tuple[Ending, Fault | None]:
    # A stream that the consumer left without closing it is one that it closed.
    if exchange.end in ("complete", "closed") or (exchange.end == "open" and exchange.status is not None):
        return "complete", None
    if exchange.end in ("cancelled", "open"):
        return "abandoned", None
    cut = exchange.end == "cut"
    named = (fault for word, fault in _FAULT_WORDS if word in (exchange.error or ""))
    return ("cut" if cut else "failed"), next(named, "protocol_error" if cut else "connect_error")
