"""A test's gates as lines of text: the table that stands in the failure, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult
from pytest_tokenbudget.report.figures import change, number, percent, plain, signed

SHOWN_CAUSES = 5
_PART_WORDS = {
    "tools": "tool schemas",
    "system": "system prompt",
    "user": "user messages",
    "assistant": "history",
    "tool_results": "tool results",
}


def metric_name(gate: GateResult) -> str:
    """The metric with its statistic where that is not the mean."""
    return plain(gate.metric if gate.statistic == "mean" else f"{gate.metric}.{gate.statistic}")


def gate_row(gate: GateResult) -> tuple[str, str, str, str, str]:
    """One gate as cells: metric, ``before → now``, change, what is allowed, verdict."""
    now = number(gate.value, gate.metric) + (f" ({gate.source})" if gate.source else "")
    if gate.kind == "limit":
        return metric_name(gate), now, "", f"limit {number(gate.allowed, gate.metric)}", word(gate)
    both = f"{number(gate.baseline, gate.metric)} → {now}" if gate.baseline is not None else now
    if gate.kind == "reduce":
        allowed = f"target {gate.rule.replace('%', ' %')}"
    else:
        allowed = f"allowed {gate.rule.replace('%', ' %')}"
    return metric_name(gate), both, change(gate), allowed, word(gate)


def word(gate: GateResult) -> str:
    """The verdict as it is shown: in capitals where it fails."""
    text = gate.verdict.replace("_", " ")
    return text.upper() if gate.verdict in FAILING else text


def table_lines(gates: Sequence[GateResult], causes: Sequence[Cause], *, details: bool = True) -> list[str]:
    """Gates as aligned lines, each with its causes below it and its reason where it needs one.

    Args:
        gates: The gates. Those that have nothing to be compared with are told in one line.
        causes: The causes of all of them.
        details: Whether causes and reasons are shown.
    """
    missing = [gate for gate in gates if gate.verdict == "no_baseline"]
    lines = _gate_lines([gate for gate in gates if gate.verdict != "no_baseline"], causes, details=details)
    if missing:
        names = ", ".join(metric_name(gate) for gate in missing[:4]) + (", ..." if len(missing) > 4 else "")
        lines.append(f"NO BASELINE: nothing is stored that {len(missing)} gates could be compared with ({names})")
    return lines


def _gate_lines(gates: Sequence[GateResult], causes: Sequence[Cause], *, details: bool) -> list[str]:
    from tabulate import tabulate

    if not gates:
        return []
    rows = [gate_row(gate) for gate in gates]
    table = tabulate(
        rows, tablefmt="plain", colalign=("left", "right", "right", "left", "left"), disable_numparse=True
    ).split("\n")
    lines: list[str] = []
    for gate, row in zip(gates, table, strict=True):
        lines.append(row.rstrip())
        if details:
            lines += [f"    {text}" for text in detail_lines(gate, causes)]
    return lines


def detail_lines(gate: GateResult, causes: Iterable[Cause]) -> list[str]:
    """What stands below a gate: why it changed, and what would decide it."""
    lines = cause_lines([cause for cause in causes if cause.metric == gate.metric])
    if gate.reason:
        lines.append(plain(gate.reason))
    if not gate.exact and gate.lower is not None and gate.upper is not None:
        bounds = f"between {percent(gate.lower)} (99 % bound) and {percent(gate.upper)} (95 % bound)"
        lines.append(f"{bounds}, {gate.samples} samples")
    return lines


def cause_lines(causes: Sequence[Cause]) -> list[str]:
    """Causes, largest first; what is left of a long list stands in one line."""
    lines = []
    for cause in causes[:SHOWN_CAUSES]:
        part = _PART_WORDS.get(cause.part, cause.part)
        lines.append(f"{signed(cause.delta, cause.metric):>10}  {part:<14} {plain(cause.text)}".rstrip())
    rest = causes[SHOWN_CAUSES:]
    if rest:
        delta = sum(cause.delta for cause in rest)
        lines.append(f"{signed(delta, rest[0].metric):>10}  {'others':<14} {len(rest)} smaller causes")
    return lines


def failing_gates(result: TestResult) -> list[GateResult]:
    """The gates that fail a test."""
    return [gate for gate in result.gates if gate.verdict in FAILING]


def failure_text(result: TestResult, *, remedies: Sequence[str] = ()) -> str:
    """The text of a failed test: the line that matters first, then the table, the causes and what to do."""
    gates = failing_gates(result) or [gate for gate in result.gates if gate.verdict == "inconclusive"]
    lines = [headline(result, gates)]
    lines += [f"  {line}" for line in table_lines(gates, result.causes)]
    lines += [f"  note: {plain(message)}" for message in result.messages]
    lines += [f"  {remedy}" for remedy in remedies]
    return "\n".join(lines)


def headline(result: TestResult, gates: Sequence[GateResult]) -> str:
    """The first line: what grew, by how much."""
    if result.verdict == "no_calls" and not gates:
        return "token budget: no model call was seen"
    if result.verdict == "diverged":
        return "token budget: DIVERGED: the run does not fit the answers that it was given"
    if result.verdict == "no_baseline":
        return f"token budget: NO BASELINE: {plain(result.against)!r} holds nothing of this test"
    if not gates:
        return f"token budget: {result.verdict.replace('_', ' ')}"
    first = gates[0]
    names, values, moved, allowed, said = gate_row(first)
    more = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
    parts = [names, values, moved, allowed]
    return f"token budget: {said}: {'  '.join(part for part in parts if part)}{more}"
