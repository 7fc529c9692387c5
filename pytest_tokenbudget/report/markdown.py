"""The Markdown of a run: the comment on a pull request, and GitHub's step summary. A reviewer has ten seconds.

The first line holds the verdict and the first cause. One table holds what changed and nothing else, the causes are folded, the
last line is the command that accepts the change.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.verdict import FAILING, GateResult, RunView, TestResult
from pytest_tokenbudget.report.figures import money_a_month, month_change, number, percent, signed, unit_of
from pytest_tokenbudget.report.formats import unattributed_text
from pytest_tokenbudget.report.highlights import (
    JoinedCause,
    joined_causes,
    lead,
    metric_rank,
    sentence,
    title,
    total,
    worst_first,
)
from pytest_tokenbudget.report.prompt_tree import PART_WORDS
from pytest_tokenbudget.report.table import gate_row, metric_name, remedies, told_gates, without_folders
from pytest_tokenbudget.wording import plain

LONGEST = 65_000
"""Characters: GitHub takes a comment of at most 65,536."""

SHOWN_ROWS = 60
SHOWN_CAUSES = 30
SHOWN_NOTES = 40
SHOWN_DIFFS = 5
SHOWN_DIFF_LINES = 30
_SIGNS = {"ok": "✅", "improved": "🎉", "new": "🆕", "inconclusive": "❔"}
_BAD = "❌"


def escape(text: str) -> str:
    """Hostile text as plain Markdown: no HTML, no links, no table breaks, no mentions of people or issues.

    GitHub looks for mentions in what Markdown has become, where an escaped sign is a sign again: a space of no width keeps the
    sign from what follows it.
    """
    cleaned = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]()+!|~$])", r"\\\1", cleaned)
    escaped = re.sub(r"(?i)(gh)-(?=\d)", r"\1&#8203;-", escaped.replace("@", "@&#8203;").replace("#", "\\#&#8203;"))
    return re.sub(r"(?i)(www)\.", r"\1\\.", escaped.replace("://", "\\://"))


def code(text: str) -> str:
    """Hostile text in the typeface of code."""
    return f"<code>{escape(text)}</code>"


def marker(name: str = "") -> str:
    """The last line of a comment: by it, the next run finds the comment that it is to replace. It shows nowhere."""
    kept = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-")
    return f"<!-- pytest-tokenbudget{f':{kept}' if kept else ''} -->"


def changes_anything(run: RunView) -> bool:
    """Tell whether a reviewer has to see anything: a failure, a changed figure, a note."""
    return not run.exit_ok or any(_test_rows(result) or result.notices for result in run.results)


def markdown(run: RunView, *, link: str = "", name: str = "") -> str:
    """The comment of a run.

    Args:
        run: The run.
        link: Address of the whole report; empty where there is none.
        name: Tells the comments of several jobs apart.
    """
    sign = _SIGNS.get(run.verdict, _BAD) if run.exit_ok or run.verdict == "inconclusive" else _BAD
    said = lead(run)
    results = worst_first(run.results)
    above = [f"{sign} **Token budget: {title(run)}.** {escape(said)}".rstrip(), "", *_table(results), *_totals(results)]
    below = [*_accept(results), *([f"- [the whole report]({_address(link)})"] if link else [])]
    # The first line, the table and the command are what matters: the folded parts give way where there is no room.
    causes = _fitting(_causes(results), LONGEST - _length([*above, *below]) - 200)
    notes = _fitting(_notes(run, results), LONGEST - _length([*above, *causes, *below]) - 200)
    diffs = _diffs(results, LONGEST - _length([*above, *causes, *notes, *below]) - 200)
    return "\n".join([*above, *causes, *diffs, *notes, *below]).rstrip() + f"\n\n{marker(name)}\n"


def _address(link: str) -> str:
    """An address that cannot leave its brackets."""
    return quote(link, safe=":/?#[]@!$&'*+,;=%~-._")


def write(run: RunView, path: Path) -> None:
    """Write the comment; folders are made as needed."""
    write_atomically(path, markdown(run).encode("utf-8", "replace"))


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _fitting(section: list[str], room: int) -> list[str]:
    """Give as many lines of a folded section as there is room for; its last line closes it."""
    if _length(section) <= room:
        return section
    kept: list[str] = []
    for line in section[:-2]:
        room -= len(line) + 1
        if room < 100:
            break
        kept.append(line)
    return [*kept, "- … (more in the report)", *section[-2:]] if len(kept) > 2 else []


def _table(results: Sequence[TestResult]) -> list[str]:
    """The gates that changed, those that fail first."""
    rows = [cells for result in results for cells in _test_rows(result)]
    if not rows:
        return []
    lines = ["| | test | metric | before → now | change | allowed |", "| --- | --- | --- | ---: | ---: | ---: |"]
    size = 0
    for index, cells in enumerate(rows):
        line = "| " + " | ".join(cells) + " |"
        size += len(line) + 1
        if index >= SHOWN_ROWS or size > LONGEST // 2:
            lines.append(f"| | … and {len(rows) - index} more in the report | | | | |")
            break
        lines.append(line)
    return [*lines, ""]


def _test_rows(result: TestResult) -> list[tuple[str, ...]]:
    rows = [_cells(result, gate) for gate in _changed(result)]
    if result.failed and not any(gate.verdict in FAILING for gate in _changed(result)):
        said = sentence(result) or result.verdict.replace("_", " ")
        rows.insert(0, (_BAD, code(without_folders(result.nodeid)), escape(said), "", "", ""))
    return rows


def _changed(result: TestResult) -> list[GateResult]:
    """A test's gates that a reviewer has to see: what fails, what improved, what chance left open, what changed at all.

    A stage stands here only where it tells more than what is around it.
    """
    kept = told_gates(
        gate
        for gate in result.gates
        if _tells(gate) and not ("." in gate.metric and gate.verdict in ("ok", "inconclusive"))
    )
    return sorted(
        kept,
        key=lambda gate: (gate.verdict not in FAILING, "." in gate.metric, metric_rank(gate.metric)[0], gate.metric),
    )


def _tells(gate: GateResult) -> bool:
    if gate.verdict == "ok":
        return gate.exact and bool(gate.change)
    return gate.verdict not in ("new", "no_baseline")


def _cells(result: TestResult, gate: GateResult) -> tuple[str, ...]:
    _, values, moved, _, _ = gate_row(gate)
    sign = _BAD if gate.verdict in FAILING else _SIGNS.get(gate.verdict, "")
    if gate.kind == "limit":
        allowed = f"≤ {number(gate.allowed, gate.unit)}"
    else:
        allowed = f"{'target ' if gate.kind == 'reduce' else ''}{gate.rule.replace('%', ' %')}"
    name = metric_name(gate).replace("_", " ")
    before, arrow, now = values.rpartition("→ ")
    shown = f"{escape(before)}{arrow}**{escape(now)}**" if gate.verdict in FAILING else escape(values)
    return sign, code(without_folders(result.nodeid)), escape(name), shown, escape(moved), escape(allowed)


def _totals(results: Sequence[TestResult]) -> list[str]:
    """Say what one run of each test takes and costs."""
    said = []
    tests = total(results, "calls").tests
    for metric, words in (("input_tokens", "input tokens"), ("output_tokens", "output tokens"), ("cost", "")):
        figure = total(results, metric)
        if figure.now is None or not figure.tests:
            continue
        change = f" ({percent(figure.change)})" if figure.compared and figure.change else ""
        said.append(f"{number(figure.now, unit_of(metric))} {words}".rstrip() + change)
    if not said:
        return []
    month = month_change(results)
    if month:
        said.append(f"**{money_a_month(month)}** (estimate)")
    return [f"One run of {tests} test{'' if tests == 1 else 's'}: {', '.join(said)}.".replace("$", "\\$"), ""]


def _causes(results: Sequence[TestResult]) -> list[str]:
    causes = joined_causes(result for result in results if result.failed)
    causes += joined_causes(result for result in results if not result.failed)
    if not causes:
        return []
    lines = [_cause(cause) for cause in causes[:SHOWN_CAUSES]]
    if len(causes) > SHOWN_CAUSES:
        lines.append(f"- {len(causes) - SHOWN_CAUSES} smaller causes")
    return _folded("Why", lines)


def _folded(summary: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", ""]


def _diffs(results: Sequence[TestResult], room: int) -> list[str]:
    """The words that changed, a folded part for each of the largest causes that knows them."""
    lines: list[str] = []
    shown: set[tuple[str, ...]] = set()
    for cause in joined_causes(result for result in results):
        if not cause.diff or cause.diff in shown or len(shown) == SHOWN_DIFFS:
            continue
        shown.add(cause.diff)
        kept = [plain(line) for line in cause.diff[:SHOWN_DIFF_LINES]]
        kept += [f"… {len(cause.diff) - len(kept):,} more in the report"] if len(cause.diff) > len(kept) else []
        part = PART_WORDS.get(cause.part, cause.part)
        what = html.escape(plain(f"{part} {cause.name}".rstrip()))
        # A fence ends at one that is as long: this one is longer than any run of its sign in the text.
        fence = "`" * (1 + max([2, *(len(run) for line in kept for run in re.findall("`+", line))]))
        block = _folded(f"The words that changed: {what}", [f"{fence}diff", *kept, fence])
        if _length([*lines, *block]) <= room:
            lines += block
    return lines


def _cause(cause: JoinedCause) -> str:
    part = PART_WORDS.get(cause.part, plain(cause.part, limit=40))
    where = [escape(plain(cause.stage, limit=80))] if cause.stage else []
    where.append(escape(cause.metric.replace("_", " ")))
    if len(cause.tests) > 1:
        where.append(f"{len(cause.tests)} tests")
    return f"- **{escape(signed(cause.delta, unit_of(cause.metric)))}** {escape(part)}: {escape(cause.text)} ({', '.join(where)})"


def _notes(run: RunView, results: Sequence[TestResult]) -> list[str]:
    """Give the notes without a number: outcomes that differ, traffic that no format reads, files that could not be written."""
    notes = [escape(text) for text in (*run.messages, *run.problems)]
    notes += [note for result in results for note in _test_notes(result)]
    if not notes:
        return []
    lines = [f"- {note}" for note in notes[:SHOWN_NOTES]]
    if len(notes) > SHOWN_NOTES:
        lines.append(f"- {len(notes) - SHOWN_NOTES} more in the report")
    return _folded("Notes", lines)


def _test_notes(result: TestResult) -> Iterator[str]:
    name = code(without_folders(result.nodeid))
    if not result.passed and not result.failed:
        yield f"{name}: failed on its own: not gated, not stored"
    messages = (*result.notices, *result.messages) if result.failed else result.notices
    yield from (f"{name}: {escape(text)}" for text in messages)
    for sample in result.samples[-1:]:
        yield from (f"{name}: unattributed: {escape(unattributed_text(seen))}" for seen in sample.unattributed)


def _accept(results: Sequence[TestResult]) -> list[str]:
    """Say what to do about it, each remedy once."""
    found = [remedy for result in results if result.failed for remedy in remedies(result)]
    return [f"- {_with_code(remedy)}" for remedy in dict.fromkeys(found)][:5]


def _with_code(remedy: str) -> str:
    """A remedy of ours, whose commands stand in backticks; all else of it is escaped."""
    pieces = remedy.split("`")
    return "".join(code(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces))
