"""The highlights of a run, which a reader sees first: the verdict in one sentence, shared causes, and the cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.gate import split_key
from pytest_tokenbudget.records.verdict import SEVERITY, GateResult, RunView, TestResult
from pytest_tokenbudget.report.figures import now_value, number, percent, summed
from pytest_tokenbudget.report.table import failing_gates, is_around
from pytest_tokenbudget.wording import plain

METRIC_ORDER = ("input_tokens", "output_tokens", "calls", "cost", "latency")
"""The metrics whose causes are told first."""

_MORE = {
    "input_tokens": ("reads {} more", "reads {} less"),
    "output_tokens": ("writes {} more", "writes {} less"),
    "calls": ("makes {} more calls", "makes {} fewer calls"),
    "latency": ("takes {} longer", "is {} faster"),
    "cost": ("costs {} more", "costs {} less"),
}

_DOES = {
    "input_tokens": "reads {} tokens",
    "output_tokens": "writes {} tokens",
    "calls": "makes {} calls",
    "latency": "takes {}",
    "cost": "costs {}",
}


@dataclass(frozen=True, slots=True)
class JoinedCause:
    """A cause that one or more tests share.

    Attributes:
        metric: The metric that it moved, without a stage: ``input_tokens``.
        delta: Its share of the difference, summed over the tests, in the metric's unit.
        text: The reason in words, from the test in which it weighs most.
        diff: The words that changed, from the first of the tests that knows them.
    """

    metric: str
    stage: str
    part: str
    name: str
    delta: float
    text: str
    tests: tuple[str, ...]
    diff: tuple[str, ...] = ()


def worst_first(results: Iterable[TestResult]) -> list[TestResult]:
    """Tests that fail come first, then by verdict, then by how far their worst gate moved."""
    return sorted(results, key=_badness)


def _badness(result: TestResult) -> tuple[bool, bool, int, float, str]:
    moved = max((abs(gate.change or 0) for gate in result.gates if gate.verdict == result.verdict), default=0.0)
    return not result.failed, result.passed, SEVERITY.index(result.verdict), -moved, result.nodeid


def main_causes(result: TestResult) -> list[Cause]:
    """A test's causes, each told once: those of the whole test's metric where there are some, else the outermost stages'."""
    by_metric: dict[str, list[Cause]] = {}
    for cause in result.causes:
        by_metric.setdefault(cause.metric, []).append(cause)
    kept: list[Cause] = []
    for metric in sorted(by_metric, key=metric_rank):
        if not [outer for outer in by_metric if is_around(outer, metric)]:
            kept += by_metric[metric]
    return kept


def metric_rank(metric: str) -> tuple[int, str]:
    """The place of a metric among those whose causes are told first, and its name."""
    name = split_key(metric)[1]
    return METRIC_ORDER.index(name) if name in METRIC_ORDER else len(METRIC_ORDER), metric


def joined_causes(results: Iterable[TestResult]) -> list[JoinedCause]:
    """The causes over all tests: what moved the same metric in the same place and direction is one. Largest first."""
    joined: dict[tuple[str, str, str, str, bool], list[tuple[str, Cause]]] = {}
    for result in results:
        for cause in main_causes(result):
            key = (split_key(cause.metric)[1], cause.stage, cause.part, cause.name, cause.delta < 0)
            joined.setdefault(key, []).append((result.nodeid, cause))
    found = []
    for key, pairs in joined.items():
        causes, nodeids = [cause for _, cause in pairs], {nodeid: None for nodeid, _ in pairs}
        delta, diffs = sum([cause.delta for cause in causes]), [cause.diff for cause in causes if cause.diff]
        heaviest = max(causes, key=lambda cause: abs(cause.delta))
        found.append(JoinedCause(*key[:4], delta, cause_words(heaviest), tuple(nodeids), diffs[0] if diffs else ()))
    return sorted(found, key=lambda cause: (metric_rank(cause.metric)[0], -abs(cause.delta), cause.text))


def cause_words(cause: Cause) -> str:
    """A cause's text without the stage in front of it, arrows as people write them."""
    text = cause.text.removeprefix(f"{cause.stage}: ") if cause.stage else cause.text
    return plain(text).replace(" -> ", " → ")


def title(run: RunView) -> str:
    """Say how many tests are over budget: ``2 of 14 tests are over budget``."""
    count = len(run.results)
    failed = sum(result.failed for result in run.results)
    if not count:
        return "No budgeted test ran" if run.exit_ok else "No budgeted test came to its end"
    tests = f"{count:,} test" if count == 1 else f"{count:,} tests"
    if failed:
        return f"{failed:,} of {tests} {'is' if failed == 1 else 'are'} over budget"
    if any(not result.passed for result in run.results):
        broken = sum(not result.passed for result in run.results)
        return f"{broken:,} of {tests} failed on {'its' if broken == 1 else 'their'} own"
    if not run.exit_ok:
        return f"{tests} within budget, but the run did not end well"
    better = sum(result.verdict == "improved" for result in run.results)
    if better:
        return f"{tests} within budget, {better:,} improved"
    return f"{tests} within budget"


def lead(run: RunView) -> str:
    """The worst test's sentence, one with a cause before others; empty where nothing is to be said."""
    ordered = sorted(worst_first(run.results), key=lambda result: (not result.failed, not result.causes))
    return next((said for result in ordered if (said := sentence(result))), "")


def sentence(result: TestResult) -> str:
    """Say what happened in a test: ``worker reads 28.7 % more: calendar_write 1,103 → 1,677 in each of 10 calls``."""
    if result.verdict == "no_calls":
        return "no model call was seen"
    if result.verdict == "diverged":
        return "the run does not fit its recorded answers: record again"
    gates = failing_gates(result) or [gate for gate in result.gates if gate.verdict == "improved"]
    compared = [gate for gate in gates if gate.verdict != "no_baseline"]
    if result.verdict == "no_baseline" and not compared:
        return "nothing is stored that it could be compared with"
    if not compared:
        return ""
    gate = next((gate for gate in compared if first_cause(result, gate)), compared[0])
    cause = first_cause(result, gate)
    return f"{_moved(gate)}: {cause}" if cause else _moved(gate)


def first_cause(result: TestResult, gate: GateResult) -> str:
    """The largest cause of a gate's change in words; empty where there is none."""
    causes = [cause for cause in result.causes if cause.metric == gate.metric]
    if not causes:
        return ""
    first = max(causes, key=lambda cause: abs(cause.delta))
    words = cause_words(first)
    if first.part == "tools" and first.name:
        words = f"the schema of {words}"
    elif first.part == "system":
        words = f"the system prompt {words}"
    return words


def _moved(gate: GateResult) -> str:
    stage, name = split_key(gate.metric)
    who = plain(stage) or "the agent"
    shown = name if gate.statistic == "mean" else f"{name} {gate.statistic}"
    if gate.kind == "limit":
        does = _DOES.get(shown, f"has {shown.replace('_', ' ')} {{}}").format(number(gate.value, gate.unit))
        return f"{who} {does}, limit {number(gate.allowed, gate.unit)}"
    if gate.kind == "reduce":
        return f"{who}: {shown.replace('_', ' ')} {percent(gate.change)}, target {gate.rule.replace('%', ' %')}"
    more, less = _MORE.get(name, (f"{shown.replace('_', ' ')} rose by {{}}", f"{shown.replace('_', ' ')} fell by {{}}"))
    if gate.change is None:
        amount = number(abs((gate.value or 0) - (gate.baseline or 0)), gate.unit)
        return f"{who} {more.format(amount)}"
    return f"{who} {(less if gate.change < 0 else more).format(percent(abs(gate.change)).lstrip('+'))}"


@dataclass(frozen=True, slots=True)
class Total:
    """A metric summed over the tests: one run of each.

    Attributes:
        now: The sum of the tests' means; ``None`` where one is unknown.
        before: The sum of what was stored, over the tests that have something to compare with.
        after: The sum of what is, over the same tests.
    """

    metric: str
    now: float | int | None
    before: float | int
    after: float | int
    compared: int
    tests: int

    @property
    def change(self) -> float | None:
        """Relative change of the tests that can be compared; ``None`` where it has no meaning."""
        return self.after / self.before - 1 if self.before else None


def total(results: Sequence[TestResult], metric: str) -> Total:
    """A metric over all tests that were measured.

    Where some tests compare with the baseline, those that compare with a reference are left out of the comparison: their aim
    is another one.
    """
    told = [result for result in results if result.samples and result.verdict != "no_calls"]
    with_baseline = [result for result in told if result.against == "baseline"]
    is_stored = [result for result in with_baseline if result.before]
    befores, afters = [], []
    for result in with_baseline if is_stored else told:
        now, before = now_value(result, metric), result.before.total.get(metric) if result.before else None
        if now is not None and before is not None:
            befores.append(before)
            afters.append(now)
    now_of_all = summed([now_value(result, metric) for result in told])
    return Total(metric, now_of_all, sum(befores), sum(afters), compared=len(afters), tests=len(told))
