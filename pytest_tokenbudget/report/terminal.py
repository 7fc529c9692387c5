"""The section at the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import number, plain
from pytest_tokenbudget.report.table import table_lines
from pytest_tokenbudget.report.view import RunView, unattributed_text

STAGE_COLUMNS = ("input_tokens", "output_tokens", "calls", "attempts", "latency", "cost")


def section_lines(run: RunView, *, verbosity: int) -> list[str]:
    """The lines of the section; none where nothing was marked.

    Args:
        run: The run.
        verbosity: pytest's: from 1 on, every gate and stage is shown.
    """
    lines: list[str] = []
    for result in run.results:
        lines += _test_lines(result, verbosity)
    lines += [plain(message) for message in run.messages]
    return [*lines, *_summary_lines(run)] if run.results else []


def _test_lines(result: TestResult, verbosity: int) -> list[str]:
    noted = ("ok", "new", "inconclusive")
    gates = [gate for gate in result.gates if verbosity > 0 or gate.verdict not in noted]
    # What failed has been explained above, where the failure is; here it is one line a gate.
    details = verbosity > 0 or not result.failed
    body = [f"  {line}" for line in table_lines(gates, result.causes, details=details)]
    on_its_own = not result.passed and not result.failed
    if verbosity > 0 or on_its_own:
        body += [f"  {line}" for line in _stage_lines(result)]
    if (result.verdict not in noted and not result.failed) or verbosity > 0:
        body += [f"  note: {plain(message)}" for message in result.messages]
    for sample in result.samples[-1:]:
        body += [f"  unattributed: {plain(unattributed_text(seen))}" for seen in sample.unattributed]
    if not body and not result.failed:
        return []
    own = "  (failed on its own: shown, not gated)" if on_its_own else ""
    return [f"{plain(result.nodeid)}  {result.verdict.replace('_', ' ')}{own}", *body]


def _stage_lines(result: TestResult) -> list[str]:
    """A row a stage, of the last sample."""
    if not result.samples:
        return []
    from tabulate import tabulate

    last = result.samples[-1]
    rows = [
        (plain(stage) or "(test)", *(number(values.get(name), name) for name in STAGE_COLUMNS))
        for stage, values in (*sorted(last.stages.items()), ("", last.total))
    ]
    headers = ("stage", *(name.replace("_", " ") for name in STAGE_COLUMNS))
    return tabulate(
        rows, headers=headers, tablefmt="plain", disable_numparse=True, colalign=("left",) + ("right",) * 6
    ).split("\n")


def _summary_lines(run: RunView) -> list[str]:
    counts = Counter(result.verdict for result in run.results)
    tests = len(run.results)
    said = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in sorted(counts.items()))
    spent = _spent(run.results)
    lines = [f"{tests} budgeted test{'' if tests == 1 else 's'}: {said}{spent}"]
    undecided = sum(gate.verdict == "inconclusive" for result in run.results for gate in result.gates)
    if undecided:
        gates = "1 gate was" if undecided == 1 else f"{undecided} gates were"
        lines.append(f"{gates} inconclusive (-v says why; --tokenbudget-strict fails them)")
    return lines


def _spent(results: Sequence[TestResult]) -> str:
    """What the whole run spent on live traffic, as far as it is known."""
    calls = [call for result in results for sample in result.samples for call in sample.calls if call.succeeded]
    tokens = sum((call.usage.input_tokens or 0) + (call.usage.output_tokens or 0) for call in calls)
    costs = [call.cost for call in calls if call.cost is not None]
    priced = f", {number(sum(costs), 'cost')}" if costs else ""
    return f"; {len(calls)} calls, {tokens:,} tokens{priced}"
