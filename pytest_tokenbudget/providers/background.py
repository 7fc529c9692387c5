"""Responses in background mode: asked for in one exchange, answered in a later one.

The POST is the call; it answers ``queued`` and no usage. The numbers come with a GET of the same id, which is no call of
its own. Here the two are put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_tokenbudget.providers.format import WireFormat
from pytest_tokenbudget.providers.registry import read
from pytest_tokenbudget.records.call import Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange, Unattributed

_PENDING = frozenset({"queued", "in_progress"})


def polled(exchanges: Iterable[Exchange], formats: Sequence[WireFormat]) -> dict[str, Reading]:
    """The answers that polls brought.

    Args:
        exchanges: All exchanges of a sample.
        formats: The formats.

    Returns:
        Response id -> the last reading that has usage. Empty, at no cost, where nothing was polled.
    """
    found: dict[str, Reading] = {}
    for exchange in exchanges:
        if exchange.method == "GET" and "/responses/" in exchange.url:
            seen = read(exchange, formats)
            if seen is not None and not isinstance(seen, Unattributed) and seen.reading.usage != Usage():
                found[seen.reading.id] = seen.reading
    return found


def settled(reading: Reading, polls: Mapping[str, Reading]) -> Reading:
    """A reading with what a later poll brought, where it was still pending.

    Args:
        reading: The reading of the call.
        polls: What :func:`polled` found.
    """
    later = polls.get(reading.id) if reading.finish_reason in _PENDING else None
    if later is None:
        return reading
    return replace(
        reading,
        model=later.model or reading.model,
        usage=later.usage,
        tool_calls=later.tool_calls,
        server_tool_calls=later.server_tool_calls,
        finish_reason=later.finish_reason,
        output_text=later.output_text,
        error=later.error,
    )
