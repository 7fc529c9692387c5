"""The section at the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.gate import Unit, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult, Verdict
from pytest_tokenbudget.report.advice_text import advice_lines
from pytest_tokenbudget.report.figures import dollars, number, percent, signed, unit_of
from pytest_tokenbudget.report.formats import RunView, unattributed_text
from pytest_tokenbudget.report.highlights import JoinedCause, joined_causes, total
from pytest_tokenbudget.report.table import (
    PART_WORDS,
    SHOWN_CAUSES,
    Line,
    Tone,
    failing_gates,
    fold_line,
    gate_row,
    metric_name,
    rows,
    short_metric,
    tone_of,
    word,
)
from pytest_tokenbudget.report.test_result import drift_notes, drifted_gates
from pytest_tokenbudget.wording import counted, plain

SHOWN_ADVICE = 5
"""Advice that a run with ``-vv`` shows, the largest saving first."""

SHOWN_REASONS = 2
"""Reasons why gates are inconclusive that are shown without being asked for, the most frequent first."""

SHOWN_ACCEPTED = 20
"""Tests of an update that are told one by one."""

STAGE_COLUMNS: Mapping[str, Unit] = {
    "input_tokens": "tokens",
    "output_tokens": "tokens",
    "calls": "count",
    "failed_attempts": "count",
    "latency": "s",
    "cost": "USD",
}
_QUIET: tuple[Verdict, ...] = ("ok", "new", "inconclusive")
_SHORTEST_NAME = 20
_OVER = {"regression": "OVER", "over_limit": "OVER LIMIT", "target_missed": "TARGET MISSED"}


def section_lines(run: RunView, *, verbosity: int, width: int = 0, of_ab: bool = False) -> list[Line]:
    """The lines of the section; none where nothing was marked.

    Args:
        run: The run.
        verbosity: 0 tells what moved, in totals; from 1 on stages and every gate that is not ok are shown, from 2 on all.
        width: Columns in which the lines are to fit; 0 for any.
        of_ab: Whether it is the result of ``tokenbudget ab``, which has no update and no ``-v``.
    """
    if not run.results and not run.problems:
        return []
    if verbosity > 0:
        lines = [line for result in run.results for line in _verbose_lines(result, verbosity)]
        lines += _accepted_lines(run, width).values()
    else:
        lines = [*_moved_lines(run, width), *_shared_lines(run.results, width), *_drift_lines(run.results)]
    lines += [Line(plain(message)) for message in run.messages]
    lines += [Line(plain(text), "bad") for problem in run.problems for text in f"ERROR: {problem}".splitlines()]
    lines += [Line(plain(note)) for note in run.notes]
    if verbosity > 1 and run.advice:
        lines += _advice_lines(run)
    lines += _summary_lines(run, width, of_ab=of_ab)
    # A name from outside must not begin a command in GitHub's log.
    return [
        replace(part, text=part.text.replace("::", ": :", 1)) if part.text.startswith("::") else part
        for line in lines
        for part in fold_line(line, width)
    ]


def _advice_lines(run: RunView) -> list[Line]:
    """Say what could be saved, the largest first; money of a month where all tests' agents run equally often."""
    often = {result.runs_per_month for result in run.results}
    runs = often.pop() if len(often) == 1 else None
    lines = advice_lines(run.advice, top=SHOWN_ADVICE, runs_per_month=runs)
    return [Line("what could be saved (tokenbudget advise):"), *(Line(f"  {line}".rstrip()) for line in lines)]


@dataclass(frozen=True, slots=True)
class _Moved:
    """The movement of a test's metric, as cells."""

    name: str
    values: str
    change: str
    said: str
    tone: Tone


def _moved_lines(run: RunView, width: int) -> Iterator[Line]:
    """A line for each metric that moved, in columns, and below it what else is to be said of its test."""
    accepted = _accepted_lines(run, width)
    joined = set(_joined_drifts(run.results))
    replaced = {nodeid for nodeid, _ in run.accepted}
    moved = {
        result.nodeid: [
            _moved(result, gate, _forgiven(run)) for gate in _one_a_metric([*failing_gates(result), *_improved(result)])
        ]
        for result in run.results
        if result.nodeid not in replaced
    }
    cells = [cell for cells in moved.values() for cell in cells]
    values, changes = (
        max(map(len, column), default=0) for column in ([c.values for c in cells], [c.change for c in cells])
    )
    said = max((len(cell.said) for cell in cells), default=0)
    names = _short_names([cell.name for cell in cells], width - values - changes - said - 6 if width else 0)
    name_width = max(map(len, names.values()), default=0)
    for result in run.results:
        for cell in moved.get(result.nodeid, ()):
            text = f"{names[cell.name]:<{name_width}}  {cell.values:<{values}}  {cell.change:>{changes}}  {cell.said}"
            yield Line(text, cell.tone, cell.said)
        if result.nodeid in accepted:
            yield accepted[result.nodeid]
        named = bool(moved.get(result.nodeid)) or result.nodeid in accepted
        told_together = drift_notes(result.gates) if result.nodeid in joined else ()
        yield from _beside_lines(result, head=not named, told_together=told_together)
    if len(replaced) > len(accepted):
        yield Line(f"and {counted(len(replaced) - len(accepted), 'more test')} accepted")


def _beside_lines(result: TestResult, *, head: bool, told_together: Collection[str]) -> list[Line]:
    """Give the lines on a test beside what moved.

    Args:
        result: The test.
        head: Whether nothing names the test yet.
        told_together: Notes that one line tells for several tests.
    """
    body = [Line(f"  {text}") for text in _stage_lines(result)] if _on_its_own(result) else []
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, 0) if text not in told_together]
    body += _unattributed_lines(result)
    if head and (body or result.failed):
        return [_head_line(result), *body]
    return body


def _moved(result: TestResult, gate: GateResult, forgiven: str) -> _Moved:
    """``test_desk.py::test_refunds_a_lamp``, ``input 2,861 → 3,289``, ``+15.0 %``, ``OVER (+10 %)``."""
    loud = result.failed or not result.passed
    name, tone = plain(result.nodeid, limit=200), tone_of(gate.verdict, loud=loud)
    if gate.value is None or (gate.baseline is None and gate.kind != "limit"):
        return _Moved(name, metric_name(gate), "", word(gate, loud=loud), tone)
    metric, values, change, _, said = gate_row(gate, loud=loud)
    said = _OVER.get(gate.verdict, said) if loud else forgiven if gate.verdict in FAILING else said
    allowed = number(gate.allowed, gate.unit) if gate.kind == "limit" else gate.rule.replace("%", " %")
    return _Moved(name, f"{short_metric(metric)} {values}", change, f"{said} ({allowed})", tone)


def _forgiven(run: RunView) -> str:
    """Say why a budget that is passed fails nothing: the run only reports, or the failure is expected."""
    return "over, only reported" if run.mode == "report" else "over, not failed"


def _one_a_metric(gates: Iterable[GateResult]) -> list[GateResult]:
    """One gate for each metric: the whole test's where it moved too, since stages are parts of it."""
    kept: dict[tuple[str, str, str], GateResult] = {}
    for gate in gates:
        stage, name = split_key(gate.metric)
        key = (name, gate.statistic, gate.kind)
        if key not in kept or not stage:
            kept[key] = gate
    return list(kept.values())


def _short_names(nodeids: Sequence[str], width: int) -> dict[str, str]:
    """Node ids within a column: without folders, without the file where that does not fit, and else cut in the middle.

    Args:
        nodeids: The node ids.
        width: The column; 0 for any.
    """
    width = max(width, _SHORTEST_NAME) if width else 0
    with_file = {nodeid: _without_folders(nodeid) for nodeid in nodeids}
    if not width or all(len(name) <= width for name in with_file.values()):
        return with_file
    if len({nodeid.partition("::")[0] for nodeid in nodeids}) > 1:
        return {nodeid: _cut(name, width) for nodeid, name in with_file.items()}
    return {nodeid: _cut(nodeid.partition("::")[2] or nodeid, width) for nodeid in nodeids}


def _without_folders(nodeid: str) -> str:
    file, colons, rest = nodeid.partition("::")
    return f"{file.rpartition('/')[2]}{colons}{rest}"


def _cut(name: str, width: int) -> str:
    """A name within a column: its end tells the parameters of one test apart."""
    if len(name) <= width:
        return name
    end = width // 3
    return f"{name[: width - end - 1]}…{name[-end:]}"


def _accepted_lines(run: RunView, width: int) -> dict[str, Line]:
    """Say what an update accepted, by test: ``test_desk.py::test_refunds  input 4,766 → 5,515 +15.7 %, search_orders``."""
    told = {plain(nodeid, limit=200): (nodeid, what) for nodeid, what in run.accepted[:SHOWN_ACCEPTED]}
    longest = max((len(what) for _, what in told.values()), default=0)
    names = _short_names(list(told), width - longest - 2 if width else 0)
    column = max(map(len, names.values()), default=0)
    return {nodeid: Line(f"{names[name]:<{column}}  {what}") for name, (nodeid, what) in told.items()}


def _verbose_lines(result: TestResult, verbosity: int) -> list[Line]:
    """Every gate that is not ok, the stages, and one line for all that is ok."""
    loud = result.failed or not result.passed
    body = [_head_line(result)]
    shown = result.gates if verbosity > 1 else [gate for gate in result.gates if gate.verdict not in ("ok", "new")]
    for row in rows(shown, result.causes, loud=loud):
        body.append(Line(f"  {row.text}", tone_of(row.verdict, loud=loud), row.said))
        # What failed has been explained above, where the failure is; here it is one line a gate.
        if verbosity > 1 or not result.failed:
            body += [Line(f"      {text}", "faint") for text in row.below]
    folded = len(result.gates) - len(shown)
    if folded:
        body.append(Line(f"  {counted(folded, 'gate')} ok or new (-vv shows all)", "faint"))
    body += [Line(f"  {text}") for text in _stage_lines(result)]
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, verbosity)]
    return [*body, *_unattributed_lines(result)]


def _head_line(result: TestResult) -> Line:
    said = _verdict(result)
    tone = tone_of(result.verdict, loud=result.failed or not result.passed)
    return Line(f"{plain(result.nodeid)}  {said}", tone, said)


def _unattributed_lines(result: TestResult) -> list[Line]:
    """Traffic of the last sample that looked like a model's and was not understood."""
    return [
        Line(f"  unattributed: {plain(unattributed_text(seen))}", "doubtful")
        for sample in result.samples[-1:]
        for seen in sample.unattributed
    ]


def _shared_lines(results: Sequence[TestResult], width: int) -> Iterator[Line]:
    """The causes of what moved, each told once however many tests share it, and what did not move."""
    moved = [result for result in results if failing_gates(result) or any(_improved(result))]
    if not moved:
        return
    for cause in joined_causes(moved)[:SHOWN_CAUSES]:
        text = f"  {signed(cause.delta, unit_of(cause.metric))}  {_in_words(cause)}"
        if len(cause.tests) > 1:
            tests = counted(len(cause.tests), "test")
            longer = f"{text}   one cause, {tests}"
            text = longer if not width or len(longer) <= width else f"{text}   {tests}"
        yield Line(text)
    same, others = [], []
    for metric in ("output_tokens", "calls", "cost"):
        figure = total(moved, metric)
        if figure.compared and figure.after == figure.before:
            same.append(short_metric(metric))
        elif figure.compared and figure.change is not None:
            others.append(f"{short_metric(metric)} {percent(figure.change)}")
    said = [*([f"{', '.join(same)} as before"] if same else []), *others]
    if said:
        yield Line("  " + " · ".join(said))


def _joined_drifts(results: Sequence[TestResult]) -> dict[str, list[GateResult]]:
    """What drifted up, by test, where several tests did: one line tells it of all of them."""
    drifted = {result.nodeid: drifted_gates(result.gates) for result in results if _notes(result, 0)}
    several = {nodeid: gates for nodeid, gates in drifted.items() if gates}
    return several if len(several) > 1 else {}


def _drift_lines(results: Sequence[TestResult]) -> Iterator[Line]:
    """``note: since the origin: input +40.9 % to +49.3 % in 5 tests``."""
    by_metric: dict[str, list[float]] = {}
    for gates in _joined_drifts(results).values():
        for gate in gates:
            by_metric.setdefault(gate.metric, []).append(gate.drift or 0.0)
    for metric, drifts in by_metric.items():
        least, most = percent(min(drifts)), percent(max(drifts))
        span = least if least == most else f"{least} to {most}"
        yield Line(f"note: {plain(short_metric(metric))} {span} since the origin in {counted(len(drifts), 'test')}")
    if by_metric:
        yield Line("  (-v names the tests; --tokenbudget-accept makes this the new origin)", "faint")


def _in_words(cause: JoinedCause) -> str:
    """``tool schema search_orders 123 → 242 in each of 3 worker calls``."""
    part = f"{PART_WORDS[cause.part].removesuffix('s')} " if cause.part in PART_WORDS else ""
    stage = "" if cause.stage in ("", "main") else plain(cause.stage, limit=40)
    text, _, unit = cause.text.rpartition(" ")
    if stage and unit in ("call", "calls"):
        return f"{part}{text} {stage} {unit}"
    return f"{stage}: {part}{cause.text}" if stage and not cause.text.startswith(stage) else f"{part}{cause.text}"


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


def _summary_lines(run: RunView, width: int, *, of_ab: bool) -> Iterator[Line]:
    results = run.results
    if not results:
        return
    worst: Tone = "bad" if any(result.failed or not result.passed for result in results) else "good"
    yield Line(f"{_counts(run)} · {_spent(results, of_ab=of_ab)}", worst)
    if any(gate.verdict == "regression" and result.failed for result in results for gate in result.gates) and not of_ab:
        record = " --tokenbudget-traffic=record" if any(result.has_estimates for result in results) else ""
        hints = [
            f"wanted? pytest{record} --tokenbudget-update",
            *([f"what changed: {run.compare}"] if run.compare else []),
        ]
        joint = "   ".join(hints)
        yield from map(Line, [joint] if not width or len(joint) <= width else hints)
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


def _counts(run: RunView) -> str:
    """``2 tests over budget, 1 new``."""
    accepted = {nodeid for nodeid, _ in run.accepted}
    counts = Counter(_outcome(result, _forgiven(run), accepted=result.nodeid in accepted) for result in run.results)
    (first, number_of), *others = sorted(counts.items(), key=lambda item: (item[0] != "over budget", -item[1], item[0]))
    said = f"{counted(number_of, 'test')} {first}"
    return ", ".join([said, *(f"{count} {verdict}" for verdict, count in others)])


def _outcome(result: TestResult, forgiven: str, *, accepted: bool) -> str:
    """Say what became of a test, in words that follow on ``2 tests``."""
    if _on_its_own(result):
        return "failed on its own"
    if result.failed:
        return "without a baseline" if result.verdict == "no_baseline" else "over budget"
    if accepted:
        return "accepted"
    if result.verdict in FAILING:
        return forgiven
    return "within budget" if result.verdict == "ok" else result.verdict.replace("_", " ")


def _calls(samples: Iterable[Sample]) -> list[Call]:
    return [call for sample in samples for call in sample.calls if call.succeeded]


def _spent(results: Sequence[TestResult], *, of_ab: bool) -> str:
    """Say what the run spent as far as it is known, and how much of it went into repeats."""
    if of_ab:
        return ", ".join(_amount([call for result in results for call in _calls((*result.samples, *result.discarded))]))
    once = [call for result in results for call in _calls(result.samples[:1])]
    again = [call for result in results for call in _calls((*result.samples[1:], *result.discarded))]
    spent = ", ".join(_amount(once))
    if not again:
        return spent
    calls, _, *cost = _amount(again)
    return f"{spent} (+{', '.join([f'{calls} to confirm', *cost])})"


def _amount(calls: Sequence[Call]) -> list[str]:
    """Calls, tokens, and money where a price is known."""
    tokens = sum((call.usage.input_tokens or 0) + (call.usage.output_tokens or 0) for call in calls)
    costs = [call.cost for call in calls if call.cost is not None]
    return [
        counted(len(calls), "call"),
        counted(tokens, "token"),
        *([dollars(sum(costs))] if costs else []),
    ]
