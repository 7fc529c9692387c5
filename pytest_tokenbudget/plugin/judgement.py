"""A test's samples meet its baseline: the result that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import baseline_path
from pytest_tokenbudget.compare.decide import Question, decide, fails, needs_baseline, worst
from pytest_tokenbudget.compare.values import before_of
from pytest_tokenbudget.explain import notes
from pytest_tokenbudget.explain.gate_causes import explain_gates, outcome_notes
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult, Verdict
from pytest_tokenbudget.report.figures import percent
from pytest_tokenbudget.settings import runs_per_month


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's numbers are stored.

    Attributes:
        nodeid: pytest's node id.
        path: The baseline or reference that it is compared with.
        baseline: The baseline file, absolute.
        shown: The file it is compared with as it is shown: relative to the root directory.
        key: Key of the test in its file.
        line: Line of its file in which it begins, from 1; ``None`` where that is not known.
    """

    nodeid: str
    path: Path
    baseline: Path
    shown: str
    key: str
    line: int | None = None

    @classmethod
    def of(cls, item: pytest.Item, against: str) -> Place:
        """The place of a test."""
        nodeid = plain_nodeid(item)
        baseline = baseline_path(item.path)
        path = baseline_path(item.path, against)
        shown = shown_path(path, item.config.rootpath)
        line = item.location[1]
        return cls(
            nodeid, path, baseline, shown, nodeid.partition("::")[2] or nodeid, None if line is None else line + 1
        )


def plain_nodeid(item: pytest.Item) -> str:
    """The node id without the group that ``--dist loadgroup`` appends to it."""
    mark = item.get_closest_marker("xdist_group")
    if mark is not None:
        group = mark.args[0] if mark.args else mark.kwargs.get("name", "default")
        return item.nodeid.removesuffix(f"@{group}")
    return item.nodeid


def judge_test(
    place: Place,
    budget: Budget,
    context: SessionContext,
    samples: Sequence[Sample],
    gates: tuple[GateResult, ...],
    watched: Sequence[str],
) -> TestResult:
    """All that is to be said of a test.

    Args:
        place: Where its numbers are stored.
        budget: What it allows.
        context: The session's tools.
        samples: Its samples.
        gates: What its gates say of them.
        watched: The clients that were watched.
    """
    settings = context.settings
    entry = context.entry(place.path, place.key)
    verdict: Verdict
    messages: list[str] = list(samples[-1].messages)
    notices: list[str] = []
    if (problem := context.problem(place.path)) is not None:
        notices.append(f"{problem.message}; {problem.remedy}")
    if not any(sample.calls for sample in samples):
        verdict = "no_calls"
        messages = [*no_calls_notes(samples[-1], watched), *messages]
    else:
        verdict = worst(gates)
        if entry is None and verdict == "ok" and needs_baseline(budget):
            verdict = "new"
    causes = explain_gates(gates, entry, samples)
    if entry is not None:
        differing = outcome_notes(entry, samples)
        if budget.reduce and differing and verdict in ("ok", "improved", "new", "inconclusive"):
            verdict = "target_missed"
        notices += [*differing, *creep_notes(gates)]
        messages += notes(entry.composition, samples[-1].composition)
    forgiven = settings.replaces and verdict in ("regression", "target_missed", "no_baseline", "inconclusive")
    return TestResult(
        nodeid=place.nodeid,
        verdict=verdict,
        gates=gates,
        samples=tuple(samples),
        causes=causes,
        messages=tuple(dict.fromkeys(messages)),
        notices=tuple(dict.fromkeys(notices)),
        failed=settings.mode == "gate" and fails(verdict, strict=settings.strict) and not forgiven,
        against=budget.against,
        compared_with=place.shown,
        line=place.line,
        baseline_file=str(place.baseline),
        key=place.key,
        watched=tuple(watched),
        budget=budget,
        before=None if entry is None else before_of(entry),
        runs_per_month=runs_per_month(settings.runs_per_month, place.nodeid),
    )


def gates_of(
    place: Place, budget: Budget, context: SessionContext, samples: Sequence[Sample]
) -> tuple[GateResult, ...]:
    """What the gates say of the samples so far; their ``more`` asks for further ones. Without a call they say nothing."""
    if not any(sample.calls for sample in samples):
        return ()
    settings = context.settings
    may_create = settings.missing == "create" and budget.against == "baseline" and context.problem(place.path) is None
    return decide(
        Question(
            budget,
            samples,
            context.entry(place.path, place.key),
            may_create or settings.replaces,
            context.table,
            family=context.family(),
            spread=context.spread(),
            fixed=(settings.samples or budget.samples) is not None,
        )
    )


def no_calls_notes(sample: Sample, watched: Sequence[str]) -> list[str]:
    """What was watched and who was contacted, for a test in which no model call was seen."""
    clients = ", ".join(watched) or "none: no HTTP client that can be watched was imported"
    hosts = ", ".join(f"{host} ({count})" for host, count in sorted(sample.hosts.items())) or "none"
    lines = [f"watched clients: {clients}", f"hosts that were contacted: {hosts}"]
    if sample.unattributed:
        lines.append(
            "some requests look like model calls, but no wire format reads them; a conftest.py can add one "
            "with the hook pytest_tokenbudget_wire_formats"
        )
    return lines


def creep_notes(gates: Sequence[GateResult]) -> list[str]:
    """Metrics that crept up in many small steps."""
    return [
        f"{gate.metric}: {percent(gate.change)} now, {percent(gate.creep)} since the origin"
        " (--tokenbudget-accept makes this the new origin)"
        for gate in gates
        if gate.creep is not None and gate.verdict != "regression"
    ]
