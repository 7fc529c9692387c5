"""The one place where a test's samples, gates and baseline become the result that is reported of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_tokenbudget.compare.values import before_of
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.explain import notes
from pytest_tokenbudget.explain.gate_causes import explain_gates
from pytest_tokenbudget.measure.constant_speed import provider_paces
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult, Verdict, has_open_target, worst
from pytest_tokenbudget.report.figures import percent
from pytest_tokenbudget.report.provider_pace import pace_lines
from pytest_tokenbudget.report.unseen import no_calls_lines, unseen_messages, unseen_notices
from pytest_tokenbudget.settings import Settings


def assemble(
    blank: TestResult,
    gates: Sequence[GateResult],
    samples: Sequence[Sample],
    settings: Settings,
    *,
    entry: BaselineEntry | None,
    earlier_outcomes: Sequence[Mapping[str, Any]],
    notices: Sequence[str] = (),
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
        before=None if entry is None else before_of(entry),
        paces=paces,
    )


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


def drift_notes(gates: Sequence[GateResult]) -> list[str]:
    """Sentences on metrics that drifted up in many small steps."""
    return [
        f"{gate.metric}: {percent(gate.change)} now, {percent(gate.drift)} since the origin"
        " (--tokenbudget-accept makes this the new origin)"
        for gate in gates
        if gate.drift is not None and gate.verdict != "regression"
    ]
