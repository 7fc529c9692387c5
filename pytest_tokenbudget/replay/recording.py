"""Makes a cassette of a live run, after it: during the run only the capture's own tee listens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.providers.body import response_pieces
from pytest_tokenbudget.providers.classify import Classified, classify
from pytest_tokenbudget.providers.read import read
from pytest_tokenbudget.providers.request import request_of
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange, containers
from pytest_tokenbudget.replay.cassette import DEFAULT_LIMIT, cassette_text, parse_cassette, too_large
from pytest_tokenbudget.replay.interaction import Ending, Interaction
from pytest_tokenbudget.replay.leak_check import LeakCheck
from pytest_tokenbudget.replay.redaction import Redactor, bare_url, kept_headers
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


def record(
    exchanges: Iterable[Exchange],
    formats: Sequence[WireFormat],
    counter: Counter,
    *,
    limit: int = DEFAULT_LIMIT,
) -> tuple[Interaction, ...]:
    """Take the model calls of a run, failed attempts included, and the auxiliary requests to their hosts; nothing else.

    Args:
        exchanges: The exchanges of one sample.
        formats: The wire formats.
        counter: Counts each request as it is counted when it is replayed.
        limit: How large one answer may be, bytes; it is not unpacked any further.

    Raises:
        CassetteError: If an answer is larger.
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
    bodies = [_pieces(exchange, number, limit) for number, (exchange, _) in enumerate(kept, start=1)]
    return tuple(
        _interaction(exchange, found, chunks, formats, counter, origin)
        for (exchange, found), chunks in zip(kept, bodies, strict=True)
    )


def _pieces(exchange: Exchange, number: int, limit: int) -> tuple[bytes, ...]:
    chunks = response_pieces(exchange, most=limit)
    if sum(map(len, chunks)) > limit:
        raise CassetteError(
            f"the cassette is not written: the answer of call {number} has more than {limit / 1e6:g} MB",
            remedy=f"tokenbudget_cassette_limit = {2 * limit}, or keep the answer shorter",
        )
    return chunks


def _interaction(
    exchange: Exchange,
    found: Classified,
    chunks: tuple[bytes, ...],
    formats: Sequence[WireFormat],
    counter: Counter,
    origin: float,
) -> Interaction:
    reading: Reading = getattr(read(exchange, formats), "reading", _NO_READING)
    prompt = found.prompt()
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
    )


def save(
    path: Path,
    interactions: Sequence[Interaction],
    patterns: Sequence[re.Pattern[str]] = (),
    *,
    allowed: frozenset[str] = frozenset(),
    limit: int = DEFAULT_LIMIT,
) -> None:
    """Write a cassette: redacted, read back, looked through for what is secret, and only then put in place.

    Only its owner may read the file, and what stood there stays where it cannot be written.

    Args:
        path: The file.
        interactions: What was recorded.
        patterns: What they match is replaced.
        allowed: Kinds and names of findings that are no secrets.
        limit: How large the file may be, bytes.

    Raises:
        CassetteError: If something in it is secret or looks like a key, if it is too large, or if it cannot be written.
    """
    redactor = Redactor(tuple(patterns))
    text = cassette_text(interactions, redactor)
    data = text.encode()
    if len(data) > limit:
        raise too_large(path, f"is not written: it would have {len(data):,} bytes", limit)
    LeakCheck(redactor, allowed).refuse(parse_cassette(path, text))
    try:
        write_atomically(path, data, mode=0o600, follow_link=False)
    except OSError as error:
        raise CassetteError(
            f"{path} cannot be written: {error.strerror or error}", remedy="make its folder writable"
        ) from None


def _times(exchange: Exchange, pieces: int) -> tuple[float, ...]:
    """Give the arrival of each piece; the last one is there when the answer ends, so that its duration is kept."""
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
