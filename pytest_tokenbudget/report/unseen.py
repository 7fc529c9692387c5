"""What was not seen of a test, or belongs to something else, in words, each with the line that makes it seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_tokenbudget.records.sample import Connection, OutsideCalls, Sample, Unseen

_LOCAL = ("localhost", "127.", "::1")
_SHOWN = 5

FIXTURE_LINE = "`tokenbudget_fixture_calls = each` in the ini file charges each test that uses it"
EARLIER_LINE = "`tokenbudget_charge_earlier_work = true` in the ini file charges the test with them"
CLIENT_LINE = (
    "ask the model through httpx, requests, aiohttp or botocore, send the client to `llm_proxy.url_for(...)`, or say what it"
    " used with `budget.record(...)`"
)


def unseen_notices(unseen: Unseen) -> list[str]:
    """Sentences that are shown also where nothing fails: calls that are not charged, connections to models."""
    return [*map(_outside, unseen.outside), *_to_models(unseen.model_connections)]


def unseen_messages(unseen: Unseen) -> list[str]:
    """Sentences for whoever looks closer: connections of no watched client, clients that are not watched."""
    others = [one for one in unseen.connections if one not in unseen.model_connections and not _is_local(one)]
    lines = []
    if others:
        lines.append(f"connections of no watched client: {_listed(others)}")
    if unseen.clients:
        lines.append(f"imported and not watched: {', '.join(unseen.clients)}; what it sends is not seen: {CLIENT_LINE}")
    return lines


def no_calls_lines(sample: Sample, watched: Sequence[str]) -> list[str]:
    """Say what was watched and who was contacted in a test without a model call, and what to do for each likely reason."""
    unseen = sample.unseen
    clients = ", ".join(watched) or "none: no HTTP client that can be watched was imported"
    hosts = ", ".join(f"{host} ({count})" for host, count in sorted(sample.hosts.items())) or "none"
    lines = [f"watched clients: {clients}", f"hosts that were contacted: {hosts}"]
    if sample.unattributed:
        lines.append(
            "some requests look like model calls, but no wire format reads them; a conftest.py can add one "
            "with the hook pytest_tokenbudget_wire_formats"
        )
    lines += map(_outside, unseen.outside)
    if unseen.connections:
        lines.append(f"connections of no watched client: {_listed(unseen.connections)}: {CLIENT_LINE}")
    if unseen.clients:
        lines.append(f"imported and not watched: {', '.join(unseen.clients)}: {CLIENT_LINE}")
    lines += (f"{bypass}, so that requests do not pass what is watched" for bypass in unseen.bypasses)
    if not (unseen.outside or unseen.connections or unseen.clients or unseen.bypasses or sample.unattributed):
        lines.append(
            "the model may have been asked before the test (a cache, an import, an earlier test), or by a process that is not"
            " watched (the fixture llm_proxy watches any)"
        )
    return lines


def _outside(calls: OutsideCalls) -> str:
    one = calls.calls == 1
    read = "" if calls.input_tokens is None else f", {calls.input_tokens:,} input tokens"
    number = f"{calls.calls} model call{'' if one else 's'}"
    detail = f" ({', '.join(filter(None, calls.models)) or 'no model known'}{read})"
    verb = "is" if one else "are"
    if calls.kind == "earlier":
        return f"{number} from work that began before this test {verb} not charged to it: {calls.where}{detail}; {EARLIER_LINE}"
    if calls.charged:
        return f"{number} of {calls.where} {verb} charged to {calls.charged}{detail}"
    return f"{number} of {calls.where} {verb} not charged to this test{detail}; {FIXTURE_LINE}"


def _to_models(connections: Sequence[Connection]) -> Iterator[str]:
    if connections:
        yield f"not counted: connections to a model that belong to no watched client: {_listed(connections)}: {CLIENT_LINE}"


def _listed(connections: Iterable[Connection]) -> str:
    shown = [_connection(one) for one in connections]
    rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + rest


def _connection(connection: Connection) -> str:
    port = "" if connection.port in (None, 443) else f":{connection.port}"
    times = "" if connection.count == 1 else f" ({connection.count} times)"
    by = f" by {connection.opened_by}" if connection.opened_by else ""
    return f"{connection.host}{port}{times}{by}"


def _is_local(connection: Connection) -> bool:
    return connection.host.startswith(_LOCAL)
