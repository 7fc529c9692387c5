"""The one way from an exchange to a reading.

A response in background mode (and an Assistants run, and a prediction of Replicate) is asked for in one exchange and answered
in a later one: the POST is the call, and answers ``queued`` and no usage; the numbers come with a GET of the same id, which is
no call of its own. Here they are put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_tokenbudget.providers.body import arrival
from pytest_tokenbudget.providers.classify import Classified, classify, matches, may_be_polled
from pytest_tokenbudget.providers.request import request_of
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.call import Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange, Unattributed

_PENDING = frozenset({"queued", "in_progress"})
_LISTED = frozenset({"batch", "realtime", "unknown"})


@dataclass(frozen=True, slots=True)
class ReadExchange:
    """An exchange that a format knows.

    Attributes:
        reading: What it read.
        ttft: Time to the chunk in which the event ended that first carried generated content, s since the start;
            ``None`` where the answer was not streamed or carried none.
        classified: What the request is; it gives the prompt.
    """

    reading: Reading
    ttft: float | None
    classified: Classified


def read(exchange: Exchange, formats: Sequence[WireFormat]) -> ReadExchange | Unattributed | None:
    """Read one exchange.

    Args:
        exchange: The exchange.
        formats: The formats; the first that knows the request reads it.

    Returns:
        The reading of a model call, whether it succeeded or not, or of what completes or costs like one; traffic that looks
        like a model call and that no format reads; ``None`` for everything else. Never raises, whatever the server sent: a
        format that fails makes its exchange unattributed, with the failure as the reason.
    """
    request = request_of(exchange)
    first: Classified | None = None
    for found in matches(request, formats):
        if found.problem or found.format is None or found.endpoint is None:
            return _unattributed(found, found.problem)
        first = first or found
        if not found.endpoint.is_read:
            if found.kind in _LISTED:
                return _unattributed(found, found.kind)
            break
        try:
            reading = _read_answer(found.format, found, exchange)
        except Exception as error:
            return _unattributed(found, f"{found.api} failed: {type(error).__name__}")
        if reading is not None:
            if found.kind != "call" and reading.operation != "other":
                reading = replace(reading, operation="other", problems=())
            return ReadExchange(reading, _ttft(exchange, reading), found)
    else:
        unknown = classify(request, ())
        if unknown.kind in _LISTED:
            return _unattributed(unknown, unknown.kind)
    if first is not None and first.kind == "paid":
        # its answer tells nothing (an agent's run), but it costs money
        return ReadExchange(Reading(first.api, first.provider, "other"), None, first)
    return None


def _read_answer(wire_format: WireFormat, found: Classified, exchange: Exchange) -> Reading | None:
    """Read an answer; a format that reads in a way of its own may leave the provider empty."""
    if type(wire_format).read is WireFormat.read:
        return wire_format.read_answer(found.request, exchange, found.provider)
    reading = wire_format.read(found.request, exchange)
    return reading if reading is None or reading.provider else replace(reading, provider=found.provider)


def _unattributed(found: Classified, reason: str) -> Unattributed:
    return Unattributed(host=found.request.host, path=found.request.url.path, reason=reason)


def _ttft(exchange: Exchange, reading: Reading) -> float | None:
    if reading.first_content_at is None or not reading.stream:
        return None
    arrived = arrival(exchange, reading.first_content_at)
    return None if arrived is None else arrived - exchange.started


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
        if exchange.method == "GET" and may_be_polled("GET", exchange.url, formats):
            seen = read(exchange, formats)
            if isinstance(seen, ReadExchange) and seen.reading.usage != Usage():
                found[seen.reading.id] = seen.reading
    return found


def settled(reading: Reading, polls: Mapping[str, Reading]) -> Reading:
    """A reading with what a later poll brought, where it was still pending.

    Args:
        reading: The reading of the call.
        polls: What :func:`polled` found.
    """
    is_open = reading.finish_reason in _PENDING or (reading.operation == "other" and reading.usage == Usage())
    later = polls.get(reading.id) if is_open and reading.id else None
    if later is None:
        return reading
    return replace(
        reading,
        model=later.model or reading.model,
        usage=later.usage,
        billed=later.billed,
        tool_calls=later.tool_calls,
        server_tool_calls=later.server_tool_calls,
        finish_reason=later.finish_reason,
        output_text=later.output_text,
        error=later.error,
    )
