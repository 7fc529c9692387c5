"""A test's gates as lines of text: the table of the failure, of the terminal and of Markdown, and what to do next."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.composition import Cause, inside
from pytest_tokenbudget.records.gate import Unit, split_key
from pytest_tokenbudget.records.verdict import FAILING, SEVERITY, GateResult, TestResult, Verdict
from pytest_tokenbudget.report.figures import change, interval, money_a_month, month_change, number, signed
from pytest_tokenbudget.report.formats import is_json_report
from pytest_tokenbudget.wording import counted, plain

Tone = Literal["bad", "good", "doubtful", "faint", "plain"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the terminal, and how it is to be read: whoever prints it gives each tone a colour, or none.

    Attributes:
        text: The line.
        tone: How its end is to be read.
        toned: The part at its end that has the tone; ``""`` for the whole line.
    """

    text: str
    tone: Tone = "plain"
    toned: str = ""


def fold_line(line: Line, width: int) -> list[Line]:
    """A line as lines of at most so many columns. What stands in backticks stays together, and so does a row of a table.

    Args:
        line: The line. Its indentation, and four columns more, are those of the lines that follow.
        width: Columns; 0 for any.
    """
    text = line.text
    if not width or len(text) <= width or line.toned:
        return [line]
    parts = text.split("`")
    whole = "`".join([part.replace(" ", "\0") if index % 2 else part for index, part in enumerate(parts)])
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    folded = textwrap.wrap(
        whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )
    return [Line(part.replace("\0", " "), line.tone) for part in folded]


def tone_of(verdict: Verdict, *, loud: bool) -> Tone:
    """Give the tone of a verdict: what would fail a test is doubtful where all is forgiven (``loud=False``)."""
    if verdict in FAILING:
        return "bad" if loud else "doubtful"
    return "good" if verdict == "improved" else "doubtful" if verdict == "inconclusive" else "plain"


_TIMED = {spec.name for spec in BUILTIN_METRICS if spec.timed}


def remedies(result: TestResult, *, reports: Sequence[str] = (), with_update: bool = True) -> list[str]:
    """Lines for the end of a failure's text.

    Args:
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
        with_update: Whether to say how new numbers are accepted.
    """
    lines = []
    if result.verdict == "no_baseline" and all(gate.baseline is None for gate in result.gates):
        if result.against == "baseline":
            lines.append("`pytest --tokenbudget-update` writes it; then commit the file")
        else:
            imported = ", or `tokenbudget import` of what production recorded" if result.against == "production" else ""
            lines.append(f"write the reference first: `pytest --tokenbudget-reference={result.against}`{imported}")
    grown = [gate for gate in result.gates if gate.verdict == "regression"]
    if with_update and [gate for gate in grown if gate.value is not None]:
        record = " --tokenbudget-traffic=record" if result.has_estimates else ""
        lines.append(f"wanted? `pytest{record} --tokenbudget-update`, and commit the new numbers")
    # A live time against a stored one.
    if [gate for gate in grown if not gate.exact and split_key(gate.metric)[1] in _TIMED]:
        lines.append(
            "unconfirmed: a time of today against one of another day. To confirm it without the provider's drift: "
            f"`{confirmation(result.nodeid, reports, os.environ.get('GITHUB_BASE_REF', ''))}`"
        )
    return lines


def confirmation(nodeid: str, reports: Sequence[str], target: str) -> str:
    """The command that runs a test again, interleaved with the code before the change.

    Args:
        nodeid: The test.
        reports: Paths of the reports that this run writes; a JSON one tells the command what is suspected.
        target: Branch that a pull request goes to, ``""`` where that is not known.
    """
    base = f"origin/{target}" if target else default_branch(Path.cwd())
    report = next(filter(is_json_report, reports), None)
    if report is not None:
        return f"tokenbudget ab {shlex.quote(base)} --confirm {shlex.quote(report)}"
    return f"tokenbudget ab {shlex.quote(base)} -- {shlex.quote(nodeid)}"


def default_branch(place: Path) -> str:
    """The default branch of the repository that a directory lies in: as its remote says, else ``main`` or ``master``.

    The files of git are read instead of asking it: this is for the text of a failure, in a process that has just run a test.
    """
    git = next((folder / ".git" for folder in (place, *place.parents) if (folder / ".git").is_dir()), None)
    if git is None:
        return "main"
    try:
        said = (git / "refs/remotes/origin/HEAD").read_text(encoding="utf-8").strip()
        if said.startswith("ref: refs/remotes/"):
            return said.removeprefix("ref: refs/remotes/")
    except (OSError, UnicodeDecodeError):
        pass
    local = git / "refs/heads"
    return "master" if (local / "master").exists() and not (local / "main").exists() else "main"


SHOWN_CAUSES = 5

SHOWN_DIFF_LINES = 3
"""Lines of the text that changed that are shown below a cause."""

PART_WORDS = {
    "tools": "tool schemas",
    "system": "system prompt",
    "user": "user messages",
    "assistant": "history",
    "tool_results": "tool results",
    "input": "tokens read",
    "own_code": "own code",
}


def metric_name(gate: GateResult) -> str:
    """The metric with its statistic where that is not the mean."""
    return plain(gate.metric if gate.statistic == "mean" else f"{gate.metric}.{gate.statistic}")


def gate_row(gate: GateResult, *, loud: bool = True) -> tuple[str, str, str, str, str]:
    """One gate as cells: metric, ``before → now``, change, what is allowed, verdict (see :func:`word`)."""
    said = word(gate, loud=loud)
    now = number(gate.value, gate.unit) + (f" ({gate.source})" if gate.source else "")
    if gate.kind == "limit":
        return metric_name(gate), now, "", f"limit {number(gate.allowed, gate.unit)}", said
    both = f"{number(gate.baseline, gate.unit)} → {now}" if gate.baseline is not None else now
    if gate.kind == "reduce":
        allowed = f"target {gate.rule.replace('%', ' %')}"
    else:
        allowed = f"allowed {gate.rule.replace('%', ' %')}" if gate.rule else ""
    return metric_name(gate), both, change(gate), allowed, said


def word(gate: GateResult, *, loud: bool = True) -> str:
    """The verdict as it is shown: in capitals where it fails a test, unless all is forgiven (``loud=False``)."""
    text = gate.verdict.replace("_", " ")
    return text.upper() if loud and gate.verdict in FAILING else text


def gate_lines(
    gates: Sequence[GateResult],
    causes: Sequence[Cause],
    *,
    loud: bool = True,
    indent: str = "  ",
    below: Line | None = Line("    "),
) -> list[Line]:
    """Gates as aligned lines, and below each why it changed and what would decide it.

    Args:
        gates: The gates. Those that have nothing to be compared with are told in one line, and in none where that holds
            of all of them, since the test's verdict says it.
        causes: The causes of all of them.
        loud: Whether what fails is written in capitals.
        indent: What stands before each line.
        below: Indentation and tone of what stands below; ``None`` to leave that out.
    """
    compared = [gate for gate in gates if gate.verdict != "no_baseline"]
    if not compared:
        return []
    table = aligned([gate_row(gate, loud=loud) for gate in compared], "lrrll")
    shown: set[tuple[str, ...]] = set()
    lines = []
    for gate, text in zip(compared, table, strict=True):
        lines.append(Line(indent + text, tone_of(gate.verdict, loud=loud), word(gate, loud=loud)))
        if below is None:
            continue
        details = cause_lines([cause for cause in causes if cause.metric == gate.metric], gate.unit, shown)
        details += [plain(gate.reason)] if gate.reason else []
        details += [f"{bounds}, {counted(gate.samples, 'sample')}"] if (bounds := interval(gate)) else []
        lines += [replace(below, text=below.text + detail) for detail in details]
    missing = [metric_name(gate) for gate in gates if gate.verdict == "no_baseline"]
    if missing:
        names = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        text = f"{indent}NO BASELINE: nothing is stored that {names} could be compared with"
        lines.append(Line(text, tone_of("no_baseline", loud=loud)))
    return lines


def aligned(
    rows: Sequence[Sequence[str]], columns: str, headings: Sequence[str] = (), *, rule: bool = True
) -> list[str]:
    """Rows as aligned lines.

    Args:
        rows: The cells.
        columns: ``l`` or ``r`` for each column, the side on which it is aligned.
        headings: What stands above the columns.
        rule: Whether a rule stands below the headings.
    """
    from tabulate import tabulate

    sides = ["left" if side == "l" else "right" for side in columns]
    style = "simple" if headings and rule else "plain"
    text = tabulate(rows, headers=headings, tablefmt=style, disable_numparse=True, colalign=sides if rows else None)
    return [line.rstrip() for line in text.splitlines()]


def cause_lines(causes: Sequence[Cause], unit: Unit, shown: set[tuple[str, ...]]) -> list[str]:
    """Causes, largest first, with the words that changed; what is left of a long list stands in one line.

    Args:
        causes: The causes of one metric.
        unit: Its unit.
        shown: The diffs that are shown already; those that are shown here are added.
    """
    lines = []
    for cause in causes[:SHOWN_CAUSES]:
        part = PART_WORDS.get(cause.part, cause.part)
        text = plain(cause.text).replace(" -> ", " → ")
        lines.append(f"{signed(cause.delta, unit):>10}  {part:<14} {text}".rstrip())
        if cause.diff and cause.diff not in shown:
            shown.add(cause.diff)
            lines += [f"{'':>12}{plain(line)}" for line in brief_diff(cause.diff, SHOWN_DIFF_LINES)]
    rest = causes[SHOWN_CAUSES:]
    if rest:
        delta = sum(cause.delta for cause in rest)
        lines.append(f"{signed(delta, unit):>10}  {'others':<14} {counted(len(rest), 'smaller cause')}")
    return lines


def brief_diff(diff: Sequence[str], most: int) -> list[str]:
    """Choose the lines of a diff that a terminal shows: what goes and what comes, the first of each."""
    gone = [line for line in diff if line.startswith("-")]
    come = [line for line in diff if line.startswith("+")]
    if not gone and not come:
        return list(diff[:most])
    shown_come = come[: most - bool(gone)]
    shown = [*gone[: most - len(shown_come)], *shown_come]
    left_out = len(gone) + len(come) - len(shown)
    return [*shown[:-1], f"{shown[-1]}  (and {left_out:,} more)"] if left_out else shown


def told_gates(gates: Iterable[GateResult]) -> list[GateResult]:
    """The gates that are told, the worst first: a stage's only where it tells more than that of the stages around it."""
    ordered = sorted(
        gates, key=lambda gate: (SEVERITY.index(gate.verdict), gate.metric.count("."), gate.metric.count("/"))
    )
    told: list[GateResult] = []
    for gate in ordered:
        if not [outer for outer in told if _tells_the_same(outer, gate)]:
            told.append(gate)
    return told


def _tells_the_same(outer: GateResult, inner: GateResult) -> bool:
    """A gate of a stage around tells the same where all of its change lies inside."""
    if not is_around(outer.metric, inner.metric):
        return False
    if (outer.kind, outer.statistic, outer.verdict) != (inner.kind, inner.statistic, inner.verdict):
        return False
    if outer.value is None or outer.baseline is None or inner.value is None or inner.baseline is None:
        return False
    moved = outer.value - outer.baseline
    return abs(moved - (inner.value - inner.baseline)) <= 1e-9 * max(1.0, abs(moved))


def is_around(outer: str, inner: str) -> bool:
    """Tell whether a metric is the same one as another, of a stage around it."""
    around, name = split_key(outer)
    stage, other = split_key(inner)
    return name == other and around != stage and inside(stage, around)


def failing_gates(result: TestResult) -> list[GateResult]:
    """The gates that fail a test, the worst first."""
    return sorted(
        [gate for gate in result.gates if gate.verdict in FAILING],
        key=lambda gate: (SEVERITY.index(gate.verdict), -abs(gate.change or 0), "." not in gate.metric),
    )


def failure_text(result: TestResult, *, reports: Sequence[str] = ()) -> str:
    """The text of a failed test, as reports and logs hold it: what failed, why, and what to do."""
    lines = [line.text for line in failure_lines(result)]
    return "\n".join([*lines, *[f"  {remedy}" for remedy in remedies(result, reports=reports)]])


def failure_lines(result: TestResult) -> list[Line]:
    """Say what failed and why: the gates with their causes, or one sentence where no gate tells it."""
    gates = told_gates(failing_gates(result)) or [gate for gate in result.gates if gate.verdict == "inconclusive"]
    lines = gate_lines(gates, result.causes)
    if not lines or not _tell_all(gates):
        lines.insert(0, Line(headline(result, gates), "bad"))
    month = month_change([result])
    if month:
        often = f"{result.runs_per_month:,.0f} runs" if result.runs_per_month is not None else ""
        lines.append(Line(f"  estimate: {money_a_month(month)}, at list prices and {often}"))
    return [*lines, *[Line(f"  note: {plain(message)}") for message in (*result.notices, *result.messages)]]


def _tell_all(gates: Sequence[GateResult]) -> bool:
    """Tell whether the rows of these gates say what a headline would."""
    return not [gate for gate in gates if gate.value is None or gate.verdict in ("no_calls", "no_baseline")]


def short_headline(result: TestResult, *, room: int) -> str:
    """Give the line of pytest's summary for a failed test: the metric and its change, and what is allowed where there is room."""
    gates = told_gates(failing_gates(result))
    if not gates or not _tell_all(gates):
        longest_first = [headline(result, gates)]
    else:
        name, values, moved, allowed, _ = gate_row(gates[0])
        what = f"{short_metric(name)} {moved or values}"
        more = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
        longest_first = [f"{what}, {allowed}{more}", f"{what}, {allowed}", f"{what}{more}", what]
    room = max(room, 4)
    return next((text for text in longest_first if len(text) <= room), f"{longest_first[-1][: room - 1]}…")


def short_metric(metric: str) -> str:
    """A metric's name without what goes without saying: ``worker.input``."""
    return metric.replace("input_tokens", "input").replace("output_tokens", "output")


def without_folders(nodeid: str) -> str:
    """A node id with the name of its file alone."""
    file, colons, rest = nodeid.partition("::")
    return f"{file.rpartition('/')[2]}{colons}{rest}"


def headline(result: TestResult, gates: Sequence[GateResult]) -> str:
    """One sentence that says it all: what grew, by how much, against what is allowed."""
    if result.verdict == "no_calls" and not gates:
        return "NO CALLS: no model call was seen"
    if result.verdict == "diverged":
        return "DIVERGED: the run does not fit the answers that it was given"
    why = next((gate.reason for gate in gates if gate.verdict == "no_baseline" and gate.baseline is not None), "")
    if result.verdict == "no_baseline" and why:
        return f"NO BASELINE: {plain(why)}"
    if result.verdict == "no_baseline" and all(gate.baseline is None for gate in gates):
        return f"NO BASELINE: {plain(result.compared_with or result.against)} holds nothing of this test"
    if not gates:
        return result.verdict.replace("_", " ")
    first = gates[0]
    more = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
    if first.value is None and first.reason:
        return f"{word(first)}: {plain(first.reason)}{more}"
    name, values, moved, allowed, said = gate_row(first)
    return f"{said}: {name} {', '.join(part for part in (moved, values, allowed) if part)}{more}"
