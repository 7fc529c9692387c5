"""The section at the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult, Verdict
from pytest_tokenbudget.report.figures import dollars, number
from pytest_tokenbudget.report.table import failing_gates, rows
from pytest_tokenbudget.report.view import RunView, unattributed_text
from pytest_tokenbudget.wording import counted, plain

Tone = Literal["bad", "good", "doubtful", "faint", "plain"]

SHOWN_REASONS = 2
"""Reasons why gates are inconclusive that are shown without being asked for, the most frequent first."""

STAGE_COLUMNS: Mapping[str, Unit] = {
    "input_tokens": "tokens",
    "output_tokens": "tokens",
    "calls": "count",
    "failed_attempts": "count",
    "latency": "s",
    "cost": "USD",
}
_QUIET: tuple[Verdict, ...] = ("ok", "new", "inconclusive")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the section, and how it is to be read: whoever prints it gives each tone a colour, or none."""

    text: str
    tone: Tone = "plain"


def section_lines(run: RunView, *, verbosity: int) -> list[Line]:
    """The lines of the section; none where nothing was marked.

    Args:
        run: The run.
        verbosity: pytest's: from 1 on, every gate and stage is shown.
    """
    if not run.results and not run.problems:
        return []
    lines = [line for result in run.results for line in _test_lines(result, verbosity)]
    lines += [Line(plain(message)) for message in run.messages]
    lines += [Line(plain(text), "bad") for problem in run.problems for text in f"ERROR: {problem}".splitlines()]
    lines += [Line(plain(note)) for note in run.notes]
    return [*lines, *_summary_lines(run.results)]


def _test_lines(result: TestResult, verbosity: int) -> list[Line]:
    body: list[Line] = []
    gates = result.gates if verbosity > 0 else [*failing_gates(result), *_improved(result)]
    loud = result.failed or not result.passed
    for row in rows(gates, result.causes, loud=loud):
        body.append(Line(f"  {row.text}", _tone(row.verdict, loud=loud)))
        # What failed has been explained above, where the failure is; here it is one line a gate.
        if verbosity > 0 or not result.failed:
            body += [Line(f"      {text}", "faint") for text in row.below]
    if verbosity > 0 or _on_its_own(result):
        body += [Line(f"  {text}") for text in _stage_lines(result)]
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, verbosity)]
    for sample in result.samples[-1:]:
        body += [Line(f"  unattributed: {plain(unattributed_text(seen))}", "doubtful") for seen in sample.unattributed]
    if not body and not result.failed:
        return []
    return [Line(f"{plain(result.nodeid)}  {_verdict(result)}", _tone(result.verdict, loud=loud)), *body]


def _improved(result: TestResult) -> Iterator[GateResult]:
    return (gate for gate in result.gates if gate.verdict == "improved")


def _notes(result: TestResult, verbosity: int) -> Sequence[str]:
    """Notices always, unless the failure has shown them; the other messages where somebody looks closer."""
    if verbosity > 0:
        return (*result.notices, *result.messages)
    if result.failed:
        return ()
    return result.notices if result.verdict in _QUIET else (*result.notices, *result.messages)


def _on_its_own(result: TestResult) -> bool:
    """Whether a test failed, and not by its budget."""
    return not result.passed and not result.failed


def _verdict(result: TestResult) -> str:
    if not _on_its_own(result):
        return result.verdict.replace("_", " ")
    return "failed in teardown: not stored" if result.gates else "failed on its own: shown, not gated"


def _tone(verdict: Verdict, *, loud: bool) -> Tone:
    if verdict in FAILING:
        return "bad" if loud else "doubtful"
    return "good" if verdict == "improved" else "doubtful" if verdict == "inconclusive" else "plain"


def _stage_lines(result: TestResult) -> list[str]:
    """A row a stage, of the last sample."""
    if not result.samples:
        return []
    from tabulate import tabulate

    last = result.samples[-1]
    cells = [
        (plain(stage) or "(test)", *(number(values.get(name), unit) for name, unit in STAGE_COLUMNS.items()))
        for stage, values in (*sorted(last.stages.items()), ("", last.total))
    ]
    headers = ("stage", *(name.replace("_", " ") for name in STAGE_COLUMNS))
    return tabulate(
        cells, headers=headers, tablefmt="plain", disable_numparse=True, colalign=("left",) + ("right",) * 6
    ).split("\n")


def _summary_lines(results: Sequence[TestResult]) -> Iterator[Line]:
    if not results:
        return
    counts = Counter(
        "failed on its own" if _on_its_own(result) else result.verdict.replace("_", " ") for result in results
    )
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    worst: Tone = "bad" if any(result.failed or not result.passed for result in results) else "good"
    yield Line(f"{counted(len(results), 'budgeted test')}: {said}{_spent(results)}", worst)
    undecided = [gate for result in results for gate in result.gates if gate.verdict == "inconclusive"]
    for reason in sorted({gate.reason for gate in undecided if gate.learning}):
        yield Line(plain(reason), "faint")
    reasons = Counter(gate.reason for gate in undecided if not gate.learning)
    if reasons:
        were = "was" if reasons.total() == 1 else "were"
        yield Line(
            f"{counted(reasons.total(), 'gate')} {were} inconclusive (-v says why; --tokenbudget-strict fails them), above all:"
        )
        yield from (Line(f"  {plain(reason)}") for reason, _ in reasons.most_common(SHOWN_REASONS) if reason)


def _spent(results: Iterable[TestResult]) -> str:
    """What the whole run spent, as far as it is known."""
    calls = [call for result in results for sample in result.samples for call in sample.calls if call.succeeded]
    tokens = sum((call.usage.input_tokens or 0) + (call.usage.output_tokens or 0) for call in calls)
    costs = [call.cost for call in calls if call.cost is not None]
    priced = f", {dollars(sum(costs))}" if costs else ""
    return f"; {counted(len(calls), 'call')}, {counted(tokens, 'token')}{priced}"
