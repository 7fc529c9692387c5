"""From the exchanges of a live run to a cassette."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from re import Pattern

from pytest_tokenbudget.records.exchange import Exchange, Unattributed
from pytest_tokenbudget.replay.cassette import RecordedCall, dump, write
from pytest_tokenbudget.replay.secrets import clean_url, kept_headers, redacted, refuse_keys
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.wire.body import response_pieces
from pytest_tokenbudget.wire.format import WireFormat
from pytest_tokenbudget.wire.registry import read, request_prompt


def record(exchanges: Sequence[Exchange], formats: Sequence[WireFormat], counter: Counter) -> tuple[RecordedCall, ...]:
    """The model calls of a run, failed attempts included; other traffic is left out.

    Args:
        exchanges: The exchanges in the order of their starts.
        formats: The wire formats.
        counter: Counts each request as it is counted when it is replayed.
    """
    calls: list[RecordedCall] = []
    origin = exchanges[0].started if exchanges else 0.0
    for exchange in exchanges:
        found = read(exchange, formats)
        if found is None or isinstance(found, Unattributed) or found.request.body is None:
            continue
        prompt = request_prompt(found)
        counted = counter.count_prompt(prompt, provider=found.reading.provider).tokens if prompt is not None else 0
        calls.append(
            RecordedCall(
                number=len(calls),
                stage=exchange.stage,
                api=found.reading.api,
                method=exchange.method,
                url=clean_url(exchange.url),
                body=found.request.body,
                streamed=exchange.streamed,
                status=exchange.status,
                headers=kept_headers(exchange.response_headers),
                chunks=response_pieces(exchange),
                times=tuple(time - exchange.started for time in exchange.chunk_times),
                started=exchange.started - origin,
                duration=exchange.ended - exchange.started,
                end=exchange.end,
                error=exchange.error,
                input_tokens=found.reading.usage.input_tokens,
                counted_tokens=counted,
                tool_calls=found.reading.tool_calls,
            )
        )
    return tuple(calls)


def save(path: Path, calls: Sequence[RecordedCall], patterns: Sequence[Pattern[str]]) -> None:
    """Write a cassette, cleaned, in one step.

    Raises:
        CassetteError: If it cannot be written, or something in it looks like a key; what stood there stays.
    """
    text = redacted(dump(calls), patterns)
    refuse_keys(text, str(path))
    write(path, text)
