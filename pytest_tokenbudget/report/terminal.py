"""The section at the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.gate import Unit, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult, Verdict
from pytest_tokenbudget.report.advice_text import advice_lines
from pytest_tokenbudget.report.figures import dollars, number, percent, signed, unit_of
from pytest_tokenbudget.report.formats import RunView, unattributed_text
from pytest_tokenbudget.report.highlights import joined_causes, total
from pytest_tokenbudget.report.table import PART_WORDS, SHOWN_CAUSES, failing_gates, gate_row, metric_name, rows, word
from pytest_tokenbudget.wording import counted, plain

Tone = Literal["bad", "good", "doubtful", "faint", "plain"]

SHOWN_ADVICE = 5

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


def section_lines(run: RunView, *, verbosity: int, of_ab: bool = False) -> list[Line]:
    """The lines of the section; none where nothing was marked.

    Args:
        run: The run.
        verbosity: 0 tells what moved, in totals; from 1 on stages and every gate that is not ok are shown, from 2 on all.
        of_ab: Whether it is the result of ``tokenbudget ab``, which has no update and no ``-v``.
    """
    if not run.results and not run.problems:
        return []
    forgiven = "over, only reported" if run.mode == "report" else "accepted"
    lines = [line for result in run.results for line in _test_lines(result, verbosity, forgiven)]
    if verbosity <= 0:
        lines += _shared_causes(run.results)
    lines += [Line(plain(message)) for message in run.messages]
    lines += [Line(plain(text), "bad") for problem in run.problems for text in f"ERROR: {problem}".splitlines()]
    lines += [Line(plain(note)) for note in run.notes]
    if verbosity > 1 and run.advice:
        lines += _advice_lines(run)
    lines += _summary_lines(run.results, forgiven, of_ab=of_ab)
    # A name from outside must not begin a command in GitHub's log.
    return [
        Line(line.text.replace("::", ": :", 1) if line.text.startswith("::") else line.text, line.tone)
        for line in lines
    ]


def _advice_lines(run: RunView) -> list[Line]:
    """Say what could be saved, the largest first; money of a month where all tests' agents run equally often."""
    often = {result.runs_per_month for result in run.results}
    runs = often.pop() if len(often) == 1 else None
    lines = advice_lines(run.advice, top=SHOWN_ADVICE, runs_per_month=runs)
    return [Line("what could be saved (tokenbudget advise):"), *(Line(f"  {line}".rstrip()) for line in lines)]


def _test_lines(result: TestResult, verbosity: int, forgiven: str) -> list[Line]:
    loud = result.failed or not result.passed
    head = Line(f"{plain(result.nodeid)}  {_verdict(result)}", _tone(result.verdict, loud=loud))
    if verbosity > 0:
        return [head, *_all_lines(result, verbosity, loud=loud)]
    moved = [
        _moved_line(result, gate, forgiven, loud=loud)
        for gate in _one_a_metric([*failing_gates(result), *_improved(result)])
    ]
    body = [Line(f"  {text}") for text in _stage_lines(result)] if _on_its_own(result) else []
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, verbosity)]
    for sample in result.samples[-1:]:
        body += [Line(f"  unattributed: {plain(unattributed_text(seen))}", "doubtful") for seen in sample.unattributed]
    if moved:
        return [*moved, *body]
    return [head, *body] if body or result.failed else []


def _all_lines(result: TestResult, verbosity: int, *, loud: bool) -> list[Line]:
    """Every gate that is not ok, the stages, and one line for all that is ok."""
    body: list[Line] = []
    shown = result.gates if verbosity > 1 else [gate for gate in result.gates if gate.verdict not in ("ok", "new")]
    for row in rows(shown, result.causes, loud=loud):
        body.append(Line(f"  {row.text}", _tone(row.verdict, loud=loud)))
        # What failed has been explained above, where the failure is; here it is one line a gate.
        if verbosity > 1 or not result.failed:
            body += [Line(f"      {text}", "faint") for text in row.below]
    folded = len(result.gates) - len(shown)
    if folded:
        body.append(Line(f"  {counted(folded, 'gate')} ok or new (-vv shows all)", "faint"))
    body += [Line(f"  {text}") for text in _stage_lines(result)]
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, verbosity)]
    for sample in result.samples[-1:]:
        body += [Line(f"  unattributed: {plain(unattributed_text(seen))}", "doubtful") for seen in sample.unattributed]
    return body


def _one_a_metric(gates: Iterable[GateResult]) -> list[GateResult]:
    """One gate for each metric: the whole test's where it moved too, since stages are parts of it."""
    kept: dict[tuple[str, str, str], GateResult] = {}
    for gate in gates:
        stage, name = split_key(gate.metric)
        key = (name, gate.statistic, gate.kind)
        if key not in kept or not stage:
            kept[key] = gate
    return list(kept.values())


def _moved_line(result: TestResult, gate: GateResult, forgiven: str, *, loud: bool) -> Line:
    """``test_desk.py::test_refunds_a_lamp  input 2,861 → 3,289  +15.0 %  OVER (+10 %)``."""
    name = _short_name(plain(result.nodeid, limit=200))
    if gate.value is None or (gate.baseline is None and gate.kind != "limit"):
        return Line(
            f"{name:<{_NAME_WIDTH}} {metric_name(gate)}  {word(gate, loud=loud)}", _tone(gate.verdict, loud=loud)
        )
    metric, values, moved, _, said = gate_row(gate, loud=loud)
    said = _OVER.get(gate.verdict, said) if loud else forgiven if gate.verdict in FAILING else said
    allowed = number(gate.allowed, gate.unit) if gate.kind == "limit" else gate.rule.replace("%", " %")
    parts = [_short_metric(metric), values, *([moved] if moved else []), f"{said} ({allowed})"]
    return Line(f"{name:<{_NAME_WIDTH}} {parts[0]} {'  '.join(parts[1:])}", _tone(gate.verdict, loud=loud))


_NAME_WIDTH = 34
_OVER = {"regression": "OVER", "over_limit": "OVER LIMIT", "target_missed": "TARGET MISSED"}


def _short_name(nodeid: str) -> str:
    """The end of a node id that says most, within the column."""
    file, _, rest = nodeid.partition("::")
    short = f"{file.rpartition('/')[2]}::{rest}" if rest else file
    return short if len(short) <= _NAME_WIDTH else f"{short[: _NAME_WIDTH - 1]}…"


def _short_metric(metric: str) -> str:
    return metric.replace("input_tokens", "input").replace("output_tokens", "output")


def _shared_causes(results: Sequence[TestResult]) -> Iterator[Line]:
    """The causes of what moved, each told once however many tests share it, and what did not move."""
    moved = [result for result in results if failing_gates(result) or any(_improved(result))]
    if not moved:
        return
    for cause in joined_causes(moved)[:SHOWN_CAUSES]:
        shared = f"   one cause, {counted(len(cause.tests), 'test')}" if len(cause.tests) > 1 else ""
        part = f"{PART_WORDS[cause.part].removesuffix('s')} " if cause.part in PART_WORDS else ""
        yield Line(f"  {signed(cause.delta, unit_of(cause.metric))}  {part}{cause.text}{shared}", "faint")
    same, others = [], []
    for metric in ("output_tokens", "calls", "cost"):
        figure = total(moved, metric)
        if figure.compared and figure.after == figure.before:
            same.append(_short_metric(metric))
        elif figure.compared and figure.change is not None:
            others.append(f"{_short_metric(metric)} {percent(figure.change)}")
    said = [*([f"{', '.join(same)} as before"] if same else []), *others]
    if said:
        yield Line("  " + " · ".join(said), "faint")


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
    """Tell whether a test failed, and not by its budget."""
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
    headers = ("stage", "input", "output", "calls", "failed", "latency", "cost")
    return tabulate(
        cells, headers=headers, tablefmt="plain", disable_numparse=True, colalign=("left",) + ("right",) * 6
    ).split("\n")


def _summary_lines(results: Sequence[TestResult], forgiven: str, *, of_ab: bool) -> Iterator[Line]:
    if not results:
        return
    worst: Tone = "bad" if any(result.failed or not result.passed for result in results) else "good"
    yield Line(f"{_counts(results, forgiven)} · {_spent(results, of_ab=of_ab)}", worst)
    if any(gate.verdict == "regression" and result.failed for result in results for gate in result.gates) and not of_ab:
        record = " --tokenbudget-traffic=record" if any(result.has_estimates for result in results) else ""
        yield Line(f"wanted? pytest{record} --tokenbudget-update, and commit the new numbers")
    if any(call.input_source == "counted" for result in results for call in _calls(result.samples) if call.stream):
        yield Line(
            "some streams report no usage and were counted locally (tokenbudget_request_usage = true asks for it)",
            "faint",
        )
    undecided = [gate for result in results for gate in result.gates if gate.verdict == "inconclusive"]
    for reason in sorted({gate.reason for gate in undecided if gate.learning}):
        yield Line(plain(reason), "faint")
    reasons = Counter(gate.reason for gate in undecided if not gate.learning)
    if reasons:
        were = "was" if reasons.total() == 1 else "were"
        hint = "" if of_ab else " (-v says why; --tokenbudget-strict fails them)"
        yield Line(f"{counted(reasons.total(), 'gate')} {were} inconclusive{hint}, above all:")
        yield from (Line(f"  {plain(reason)}") for reason, _ in reasons.most_common(SHOWN_REASONS) if reason)


def _counts(results: Sequence[TestResult], forgiven: str) -> str:
    """``2 tests over budget, 1 new``; what fails nothing is ``accepted`` by an update, or only reported."""
    counts = Counter(
        "failed on its own"
        if _on_its_own(result)
        else "over budget"
        if result.failed
        else (
            forgiven if result.verdict in _OVER else _WITHIN.get(result.verdict, "") or result.verdict.replace("_", " ")
        )
        for result in results
    )
    (first, number_of), *others = sorted(counts.items(), key=lambda item: (item[0] != "over budget", -item[1], item[0]))
    said = f"{counted(number_of, 'test')} {first}"
    return ", ".join([said, *(f"{count} {verdict}" for verdict, count in others)])


_WITHIN = {"ok": "within budget"}


def _calls(samples: Iterable[Sample]) -> list[Call]:
    return [call for sample in samples for call in sample.calls if call.succeeded]


def _spent(results: Sequence[TestResult], *, of_ab: bool) -> str:
    """Say what the run spent as far as it is known, and how much of it went into repeats."""
    if of_ab:
        return _amount([call for result in results for call in _calls((*result.samples, *result.discarded))])
    once = [call for result in results for call in _calls(result.samples[:1])]
    again = [call for result in results for call in _calls((*result.samples[1:], *result.discarded))]
    return _amount(once) + (f" (and {_amount(again)} to repeat and confirm)" if again else "")


def _amount(calls: Sequence[Call]) -> str:
    tokens = sum((call.usage.input_tokens or 0) + (call.usage.output_tokens or 0) for call in calls)
    costs = [call.cost for call in calls if call.cost is not None]
    priced = f", {dollars(sum(costs))}" if costs else ""
    return f"{counted(len(calls), 'call')}, {counted(tokens, 'token')}{priced}"
