"""The section at the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from pytest_tokenbudget.records.gate import split_key
from pytest_tokenbudget.records.verdict import FAILING, GateResult, RunView, TestResult, Verdict
from pytest_tokenbudget.report.advice_text import advice_lines
from pytest_tokenbudget.report.figures import STAGE_METRICS, number, percent, signed, spent, unit_of
from pytest_tokenbudget.report.formats import unattributed_text
from pytest_tokenbudget.report.highlights import JoinedCause, joined_causes, total
from pytest_tokenbudget.report.table import (
    PART_WORDS,
    SHOWN_CAUSES,
    Line,
    Tone,
    aligned,
    failing_gates,
    fold_line,
    gate_lines,
    gate_row,
    metric_name,
    short_metric,
    tone_of,
    without_folders,
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


class _Moved(NamedTuple):
    """The movement of a test's metric, as cells, and how the last one is to be read."""

    values: str
    change: str
    said: str
    tone: Tone


def _moved_lines(run: RunView, width: int) -> Iterator[Line]:
    """A line for each metric that moved, in columns, and below it what else is to be said of its test."""
    accepted = _accepted_lines(run, width)
    joined = _joined_drifts(run.results)
    replaced = {nodeid for nodeid, _ in run.accepted}
    moved = {
        result.nodeid: [_moved(result, gate, _forgiven(run)) for gate in gates]
        for result in run.results
        if result.nodeid not in replaced and (gates := _one_a_metric(_moved_gates(result)))
    }
    rows = _in_columns(moved, width)
    for result in run.results:
        lines = rows.get(result.nodeid, [])
        lines += [accepted[result.nodeid]] if result.nodeid in accepted else []
        told_together = drift_notes(result.gates) if result.nodeid in joined else ()
        beside = [Line(f"  {text}") for text in _stage_lines(result)] if _on_its_own(result) else []
        beside += [Line(f"  note: {plain(text)}") for text in _notes(result, 0) if text not in told_together]
        beside += _unattributed_lines(result)
        if not lines and (beside or result.failed):
            lines = [_head_line(result)]
        yield from (*lines, *beside)
    if len(replaced) > len(accepted):
        yield Line(f"and {counted(len(replaced) - len(accepted), 'more test')} accepted")


def _in_columns(moved: Mapping[str, Sequence[_Moved]], width: int) -> dict[str, list[Line]]:
    """The rows of each test, beside its name; below it where a row has no room beside even a short one."""
    cells = [cell for of_test in moved.values() for cell in of_test]
    values, change, said = [max([len(cell[at]) for cell in cells], default=0) for at in range(3)]
    room = width - values - change - said - 6 if width else 0
    names = _short_names(moved, room)
    column = max(map(len, names.values()), default=0)
    below = bool(width) and column > room
    if below:
        names = _short_names(moved, width)
    rows = {}
    for nodeid, of_test in moved.items():
        rows[nodeid] = [Line(names[nodeid])] if below else []
        for cell in of_test:
            text = f"{names[nodeid]:<{column}}  {cell.values:<{values}}  {cell.change:>{change}}  {cell.said}"
            text = f"  {'  '.join(filter(None, cell[:3]))}" if below else text
            rows[nodeid].append(Line(text, cell.tone, cell.said))
    return rows


def _moved(result: TestResult, gate: GateResult, forgiven: str) -> _Moved:
    """``input 2,861 → 3,289``, ``+15.0 %``, ``OVER (+10 %)``."""
    loud = result.failed or not result.passed
    tone = tone_of(gate.verdict, loud=loud)
    if gate.value is None or (gate.baseline is None and gate.kind != "limit"):
        return _Moved(metric_name(gate), "", word(gate, loud=loud), tone)
    metric, values, change, _, said = gate_row(gate, loud=loud)
    said = _OVER.get(gate.verdict, said) if loud else forgiven if gate.verdict in FAILING else said
    allowed = number(gate.allowed, gate.unit) if gate.kind == "limit" else gate.rule.replace("%", " %")
    return _Moved(f"{short_metric(metric)} {values}", change, f"{said} ({allowed})", tone)


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


def _short_names(nodeids: Iterable[str], width: int) -> dict[str, str]:
    """Node ids within a column: without folders, without the file where that does not fit, and else cut in the middle."""
    names = {nodeid: without_folders(plain(nodeid, limit=200)) for nodeid in nodeids}
    width = max(width, _SHORTEST_NAME) if width else 0
    if not width or max(map(len, names.values()), default=0) <= width:
        return names
    if len({nodeid.partition("::")[0] for nodeid in names}) == 1:
        names = {nodeid: name.partition("::")[2] or name for nodeid, name in names.items()}
    # Its end tells the parameters of one test apart.
    end = width // 3
    return {
        nodeid: name if len(name) <= width else f"{name[: width - end - 1]}…{name[-end:]}"
        for nodeid, name in names.items()
    }


def _accepted_lines(run: RunView, width: int) -> dict[str, Line]:
    """Say what an update accepted, by test: ``test_desk.py::test_refunds  input 4,766 → 5,515 +15.7 %, search_orders``."""
    told = dict(run.accepted[:SHOWN_ACCEPTED])
    names = _short_names(told, width - max(map(len, told.values()), default=0) - 2 if width else 0)
    column = max(map(len, names.values()), default=0)
    return {nodeid: Line(f"{names[nodeid]:<{column}}  {what}") for nodeid, what in told.items()}


def _verbose_lines(result: TestResult, verbosity: int) -> list[Line]:
    """Every gate that is not ok, the stages, and one line for all that is ok."""
    loud = result.failed or not result.passed
    body = [_head_line(result)]
    shown = result.gates if verbosity > 1 else [gate for gate in result.gates if gate.verdict not in ("ok", "new")]
    # What failed has been explained above, where the failure is; here it is one line a gate.
    below = Line("      ", "faint") if verbosity > 1 or not result.failed else None
    body += gate_lines(shown, result.causes, loud=loud, below=below)
    folded = len(result.gates) - len(shown)
    if folded:
        body.append(Line(f"  {counted(folded, 'gate')} ok or new (-vv shows all)", "faint"))
    body += [Line(f"  {text}") for text in _stage_lines(result)]
    body += [Line(f"  note: {plain(text)}") for text in _notes(result, verbosity)]
    return [*body, *_unattributed_lines(result)]


def _head_line(result: TestResult) -> Line:
    said = result.verdict.replace("_", " ")
    if _on_its_own(result):
        said = "failed in teardown: not stored" if result.gates else "failed on its own: shown, not gated"
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
    moved = [result for result in results if _moved_gates(result)]
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


def _moved_gates(result: TestResult) -> list[GateResult]:
    """The gates that fail a test, and those that improved."""
    return [*failing_gates(result), *[gate for gate in result.gates if gate.verdict == "improved"]]


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


def _stage_lines(result: TestResult) -> list[str]:
    """A row a stage, of the last sample."""
    if not result.samples:
        return []
    last = result.samples[-1]
    cells = [
        (plain(stage) or "(test)", *(number(values.get(name), unit_of(name)) for name in STAGE_METRICS))
        for stage, values in (*sorted(last.stages.items()), ("", last.total))
    ]
    headers = ("stage", "input", "output", "calls", "failed", "latency", "cost")
    return aligned(cells, "lrrrrrr", headers, rule=False)


def _summary_lines(run: RunView, width: int, *, of_ab: bool) -> Iterator[Line]:
    results = run.results
    if not results:
        return
    bad = [result for result in results if result.failed or not result.passed]
    yield Line(f"{_counts(run)} · {_spent(results, of_ab=of_ab)}", "bad" if bad else "good")
    if not of_ab and [gate for result in bad if result.failed for gate in result.gates if gate.verdict == "regression"]:
        record = " --tokenbudget-traffic=record" if [result for result in results if result.has_estimates] else ""
        hints = [f"wanted? pytest{record} --tokenbudget-update"]
        hints += [f"what changed: {run.compare}"] if run.compare else []
        joint = "   ".join(hints)
        yield from map(Line, [joint] if not width or len(joint) <= width else hints)
    if any(map(_has_counted_stream, results)):
        yield Line(
            "some streams report no usage and were counted locally (tokenbudget_request_usage = true asks for it)",
            "faint",
        )
    undecided = [gate for result in results for gate in result.gates if gate.verdict == "inconclusive"]
    for reason in sorted({gate.reason for gate in undecided if gate.learning}):
        yield Line(plain(reason), "faint")
    reasons = Counter([gate.reason for gate in undecided if not gate.learning])
    if reasons:
        were = "was" if reasons.total() == 1 else "were"
        hint = "" if of_ab else " (-v says why; --tokenbudget-strict fails them)"
        yield Line(f"{counted(reasons.total(), 'gate')} {were} inconclusive{hint}, above all:")
        for reason, _ in reasons.most_common(SHOWN_REASONS):
            if reason:
                yield Line(f"  {plain(reason)}")


def _has_counted_stream(result: TestResult) -> bool:
    """Tell whether a streamed answer of a test reported no usage."""
    calls = [call for sample in result.samples for call in sample.calls if call.stream]
    return bool([call for call in calls if call.input_source == "counted" and call.succeeded])


def _counts(run: RunView) -> str:
    """``2 tests over budget, 1 new``."""
    accepted, forgiven = {nodeid for nodeid, _ in run.accepted}, _forgiven(run)
    counts = Counter([_outcome(result, forgiven, accepted=result.nodeid in accepted) for result in run.results])
    (_, number, first), *others = sorted([(word != "over budget", -count, word) for word, count in counts.items()])
    return ", ".join([f"{counted(-number, 'test')} {first}", *[f"{-count} {word}" for _, count, word in others]])


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


def _spent(results: Sequence[TestResult], *, of_ab: bool) -> str:
    """Say what the run spent as far as it is known, and how much of it went into repeats."""
    once = [sample for result in results for sample in result.samples[:1]]
    again = [sample for result in results for sample in (*result.samples[1:], *result.discarded)]
    if of_ab:
        return ", ".join(spent([*once, *again]))
    if not [sample for sample in again if sample.calls]:
        return ", ".join(spent(once))
    calls, _, *cost = spent(again)
    return f"{', '.join(spent(once))} (+{', '.join([f'{calls} to confirm', *cost])})"
