"""A test's samples, gates and baseline become its :class:`TestResult` here, with the notices that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_tokenbudget.compare.values import before_of
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.explain import notes
from pytest_tokenbudget.explain.causes import explain_gates
from pytest_tokenbudget.measure.constant_speed import pool_paces, provider_paces
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import split_key
from pytest_tokenbudget.records.sample import Connection, OutsideCalls, Sample, Unseen
from pytest_tokenbudget.records.verdict import GateResult, ProviderPace, TestResult, Verdict, has_open_target, worst
from pytest_tokenbudget.report.figures import percent
from pytest_tokenbudget.settings import Settings
from pytest_tokenbudget.wording import counted, plain

TOLD_FROM = 1.1
"""Ratio from which a model's speed is told, and below whose inverse."""

KNOWN_WITHIN = 2.5
"""Factor within which the ratio has to be known: one call against a baseline of one call says nothing."""


def pace_lines(paces: Iterable[ProviderPace], *, what: str) -> list[str]:
    """A sentence for each model that was faster or slower than in the baseline.

    Args:
        paces: Their speeds.
        what: What has not caused it: ``this change``.
    """
    lines = []
    for pace in paces:
        if is_told(pace):
            ratio = pace.ratio
            times = f"{ratio:.2g} times slower" if ratio > 1.0 else f"{1.0 / ratio:.2g} times faster"
            lines.append(
                f"{plain(pace.provider)} {plain(pace.model)} is {times} per token than in the baseline"
                f" ({pace.lower:.2g} to {pace.upper:.2g} times its time, {counted(pace.calls, 'call')}): not {what}"
            )
    return lines


def is_told(pace: ProviderPace) -> bool:
    """Tell whether a model's speed has changed by enough, and is known well enough, to be told."""
    has_changed = not 1.0 / TOLD_FROM < pace.ratio < TOLD_FROM
    return has_changed and (pace.upper < KNOWN_WITHIN * pace.ratio or not pace.lower <= 1.0 <= pace.upper)


def pooled_paces(results: Sequence[TestResult]) -> list[ProviderPace]:
    """The speed of each model over all tests of a session."""
    groups: dict[tuple[str, str], list[ProviderPace]] = {}
    for result in results:
        for pace in result.paces:
            groups.setdefault((pace.provider, pace.model), []).append(pace)
    return [pool_paces(groups[key]) for key in sorted(groups)]


_LOCAL = ("localhost", "127.", "::1")
_SHOWN = 5

FIXTURE_LINE = 'the marker\'s `fixture_calls="each"` (or `tokenbudget_fixture_calls = each` in the ini file) charges the test with them'
EARLIER_LINE = "`tokenbudget_charge_earlier_work = true` in the ini file charges the test with them"
CLIENT_LINE = (
    "ask the model through httpx, requests, aiohttp or botocore, send the client to `llm_proxy.url_for(...)`, or say what it"
    " used with `budget.record(...)`"
)


def unseen_notices(unseen: Unseen) -> list[str]:
    """Sentences that are shown also where nothing fails: calls that are not charged, connections to models."""
    lines = [_outside(calls) for calls in unseen.outside]
    if unseen.model_connections:
        listed = _listed(unseen.model_connections)
        lines.append(f"not counted: connections to a model that belong to no watched client: {listed}: {CLIENT_LINE}")
    return lines


def unseen_messages(unseen: Unseen) -> list[str]:
    """Sentences for whoever looks closer: connections of no watched client, clients that are not watched."""
    others = [
        one for one in unseen.connections if one not in unseen.model_connections and not one.host.startswith(_LOCAL)
    ]
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


def _listed(connections: Iterable[Connection]) -> str:
    shown = [_connection(one) for one in connections]
    rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + rest


def _connection(connection: Connection) -> str:
    port = "" if connection.port in (None, 443) else f":{connection.port}"
    times = "" if connection.count == 1 else f" ({connection.count} times)"
    by = f" by {connection.opened_by}" if connection.opened_by else ""
    return f"{connection.host}{port}{times}{by}"


def assemble(
    blank: TestResult,
    gates: Sequence[GateResult],
    samples: Sequence[Sample],
    settings: Settings,
    *,
    entry: BaselineEntry | None,
    earlier_outcomes: Sequence[Mapping[str, Any]],
    notices: Sequence[str] = (),
    details: bool = True,
) -> TestResult:
    """Put together all that is to be said of a test.

    Args:
        blank: What does not depend on the run: the node id, the budget, where its numbers are stored.
        gates: What the gates say of the samples.
        samples: The samples that met the baseline, at least one.
        settings: The session's options; they decide which verdicts fail the test.
        entry: What it was compared with; ``None`` where there is nothing.
        earlier_outcomes: What the agent achieved before, a mapping for each stored or interleaved sample.
        notices: What else has to be shown also where nothing fails.
        details: Whether a report asks for all of it, also where the test is ``ok``.
    """
    assert blank.budget is not None
    verdict: Verdict = worst(gates)
    last = samples[-1]
    messages, said = list(last.messages), list(notices)
    paces = () if entry is None else provider_paces(samples, entry.speeds)
    if any(sample.calls for sample in samples):
        said += unseen_notices(last.unseen)
        messages += unseen_messages(last.unseen)
    else:
        verdict = "no_calls"
        messages = [*no_calls_lines(last, blank.watched), *messages]
    if entry is not None:
        differing = outcome_differences(earlier_outcomes, samples)
        if blank.budget.reduce and differing and verdict in ("ok", "improved", "new", "inconclusive"):
            verdict = "target_missed"
        said += [*differing, *drift_notes(gates), *move_notes(gates)]
    details = details or verdict != "ok"
    if entry is not None and details:
        messages += [*pace_lines(paces, what="this change"), *notes(entry.composition, samples[-1].composition)]
    return replace(
        blank,
        verdict=verdict,
        gates=tuple(gates),
        samples=tuple(samples),
        causes=explain_gates(gates, entry, samples),
        messages=tuple(dict.fromkeys(messages)),
        notices=tuple(dict.fromkeys(said)),
        failed=settings.fails(verdict, open_target=has_open_target(gates)),
        against=blank.budget.against,
        before=before_of(entry) if entry is not None and details else None,
        compared=entry is not None,
        paces=paces,
    )


def in_brief(result: TestResult) -> TestResult:
    """The result of a test that is ``ok``, without what nobody looks at who asked for no report."""
    return replace(
        result,
        gates=tuple(gate for gate in result.gates if gate.verdict != "ok" or not gate.exact or gate.drift is not None),
        samples=tuple(map(_in_brief, result.samples)),
        discarded=tuple(map(_in_brief, result.discarded)),
        causes=(),
        messages=(),
        before=None,
        budget=None,
    )


def _in_brief(sample: Sample) -> Sample:
    calls = tuple(replace(call, composition=None) for call in sample.calls)
    return Sample(calls=calls, traffic=sample.traffic, unattributed=sample.unattributed)


def failed_on_its_own(result: TestResult) -> TestResult:
    """The result of a test that failed on its own: its numbers are shown, not gated, never stored."""
    return replace(
        result,
        verdict="inconclusive",
        gates=(),
        causes=(),
        passed=False,
        failed=False,
        notices=(),
        messages=result.samples[-1].messages if result.samples else (),
    )


def stopped(result: TestResult, note: str) -> TestResult:
    """The result of a run that ``stop_at`` ended: what it spent until then is no baseline."""
    return replace(result, verdict="over_limit", passed=False, failed=True, messages=(note, *result.messages))


def diverged(result: TestResult, problem: TokenBudgetError) -> TestResult:
    """The result of a run that does not fit its recorded or scripted answers: no number of it means anything."""
    last = result.samples[-1] if result.samples else Sample()
    seen = Sample(traffic=last.traffic, unattributed=last.unattributed, hosts=last.hosts)
    return replace(
        result,
        verdict="diverged",
        gates=(),
        causes=(),
        samples=(seen,),
        played=None,
        notices=(),
        messages=tuple(filter(None, (problem.message, problem.remedy))),
        failed=True,
    )


def not_compared(result: TestResult, trouble: str, samples: Sequence[Sample], *, has_diverged: bool) -> TestResult:
    """The result of a test of an A/B run that failed on one side.

    Args:
        result: What one side's plugin said of it.
        trouble: Which side failed, and how.
        samples: The samples of the head, which are shown.
        has_diverged: Whether it failed because it did not fit its recorded or scripted answers.
    """
    if has_diverged:
        return diverged(result, TokenBudgetError(trouble))
    return replace(failed_on_its_own(replace(result, samples=tuple(samples))), messages=(trouble,))


def outcome_differences(earlier: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> list[str]:
    """Sentences on outcomes that no earlier sample had; a model that varies may have several.

    Args:
        earlier: Outcomes before, a mapping for each stored or interleaved sample.
        samples: The samples of this run.
    """
    names = {name for outcomes in (*earlier, *(sample.outcomes for sample in samples)) for name in outcomes}
    lines = []
    for name in sorted(names):
        then = [outcomes.get(name) for outcomes in earlier]
        lines += [
            f"outcome {name!r} was {then[-1]!r}, is {sample.outcomes.get(name)!r}"
            for sample in samples
            if then and sample.outcomes.get(name) not in then
        ]
    return list(dict.fromkeys(lines))


def move_notes(gates: Sequence[GateResult]) -> list[str]:
    """Sentences on stages that lost work to another one, one a stage."""
    moved: dict[str, str] = {}
    for gate in gates:
        if gate.verdict == "ok" and gate.reason:
            moved.setdefault(gate.metric.rpartition(".")[0], f"{gate.metric}: {gate.reason}")
    return list(moved.values())


def drifted_gates(gates: Sequence[GateResult]) -> list[GateResult]:
    """The gates whose metric drifted up in many small steps; a stage's stands for itself where its total did not."""
    drifted = {gate.metric: gate for gate in gates if gate.drift is not None and gate.verdict != "regression"}
    return [gate for key, gate in drifted.items() if not split_key(key)[0] or split_key(key)[1] not in drifted]


def drift_notes(gates: Sequence[GateResult]) -> list[str]:
    """Sentences on metrics that drifted up."""
    return [
        f"{gate.metric}: {percent(gate.change)} now, {percent(gate.drift)} since the origin"
        " (--tokenbudget-accept makes this the new origin)"
        for gate in drifted_gates(gates)
    ]
