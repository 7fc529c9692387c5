"""The Markdown summary: for a pull request, and for GitHub's step summary."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.verdict import SEVERITY, TestResult
from pytest_tokenbudget.report.figures import plain
from pytest_tokenbudget.report.table import detail_lines, failing_gates, gate_row
from pytest_tokenbudget.report.view import RunView, unattributed_text

SHOWN_TESTS = 100
"""GitHub takes a step's summary of at most 1 MiB, and none at all of a longer one."""

_SIGNS = {"ok": "✅", "improved": "🎉", "new": "🆕", "inconclusive": "❔"}


def escape(text: str) -> str:
    """Hostile text as plain Markdown: no HTML, no links, no table breaks, no mentions."""
    cleaned = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", cleaned)


def markdown(run: RunView) -> str:
    """The summary of a run."""
    sign = _SIGNS.get(run.verdict, "❌")
    lines = [f"## {sign} Token budget: {run.verdict.replace('_', ' ')}", ""]
    worst_first = sorted(run.results, key=lambda result: (not result.failed, SEVERITY.index(result.verdict)))
    told = [shown for result in worst_first if (shown := _test(result))]
    lines += [line for shown in told[:SHOWN_TESTS] for line in shown]
    if len(told) > SHOWN_TESTS:
        lines += [f"{len(told) - SHOWN_TESTS} more tests are not shown here.", ""]
    broken = sum(not result.passed and not result.failed for result in run.results)
    if broken:
        lines += [f"{broken} of {len(run.results)} budgeted tests failed on their own: not gated, not stored.", ""]
    if quiet := sum(result.passed and not _test(result) for result in run.results):
        lines += [f"{quiet} of {len(run.results)} budgeted tests are within their budget.", ""]
    lines += [f"- {escape(message)}" for message in (*run.messages, *run.problems)]
    return "\n".join(lines).rstrip() + "\n"


def _test(result: TestResult) -> list[str]:
    gates = [*failing_gates(result), *(gate for gate in result.gates if gate.verdict == "improved")]
    unattributed = [seen for sample in result.samples[-1:] for seen in sample.unattributed]
    if not gates and not result.failed and not unattributed and not result.notices:
        return []
    lines = [f"### {_SIGNS.get(result.verdict, '❌')} {escape(result.nodeid)}", ""]
    if gates:
        lines += ["| metric | value | change | allowed | verdict |", "| --- | ---: | ---: | --- | --- |"]
        lines += ["| " + " | ".join(escape(cell) for cell in gate_row(gate)) + " |" for gate in gates]
        lines.append("")
        for gate in gates:
            details = detail_lines(gate, result.causes)
            if details:
                lines += [f"Why {escape(gate.metric)} changed:", "", "```text"]
                lines += [line.replace("```", "'''") for line in details] + ["```", ""]
    lines += [f"- {escape(message)}" for message in (*result.notices, *result.messages)]
    lines += [f"- unattributed: {escape(unattributed_text(seen))}" for seen in unattributed]
    return [*lines, ""]


def write(run: RunView, path: Path) -> None:
    """Write the summary; folders are made as needed."""
    write_atomically(path, markdown(run).encode("utf-8", "replace"))
