"""The Markdown summary: for a pull request, and for GitHub's step summary."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import plain
from pytest_tokenbudget.report.table import detail_lines, gate_row
from pytest_tokenbudget.report.view import RunView, unattributed_text

_SIGNS = {"ok": "✅", "improved": "🎉", "new": "🆕", "inconclusive": "❔"}


def escape(text: str) -> str:
    """Hostile text as plain Markdown: no HTML, no links, no table breaks, no mentions."""
    cleaned = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", cleaned)


def markdown(run: RunView) -> str:
    """The summary of a run."""
    sign = _SIGNS.get(run.verdict, "❌")
    lines = [f"## {sign} Token budget: {run.verdict.replace('_', ' ')}", ""]
    quiet = 0
    for result in run.results:
        shown = _test(result)
        quiet += not shown
        lines += shown
    if quiet:
        lines += [f"{quiet} of {len(run.results)} budgeted tests are within their budget.", ""]
    lines += [f"- {escape(message)}" for message in run.messages]
    return "\n".join(lines).rstrip() + "\n"


def _test(result: TestResult) -> list[str]:
    gates = [gate for gate in result.gates if gate.verdict not in ("ok", "new", "inconclusive")]
    unattributed = [seen for sample in result.samples[-1:] for seen in sample.unattributed]
    if not gates and not result.failed and not unattributed:
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
    lines += [f"- {escape(message)}" for message in result.messages]
    lines += [f"- unattributed: {escape(unattributed_text(seen))}" for seen in unattributed]
    return [*lines, ""]


def write(run: RunView, path: Path) -> None:
    """Write the summary; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(markdown(run).encode("utf-8", "replace"))
