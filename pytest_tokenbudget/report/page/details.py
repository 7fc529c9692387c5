"""One test of the page: its row in the list, what unfolds below it, and the same in few bytes for large suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.baselines.history import Revision
from pytest_tokenbudget.records.composition import within
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, TestResult
from pytest_tokenbudget.report.figures import money_a_month, month_change, now_value, number, percent, signed, unit_of
from pytest_tokenbudget.report.formats import unattributed_text
from pytest_tokenbudget.report.highlights import JoinedCause, cause_words, main_causes, sentence
from pytest_tokenbudget.report.page import icicle, waterfall
from pytest_tokenbudget.report.page.gate_bars import GateBar, gate_bar
from pytest_tokenbudget.report.page.icicle import Icicle
from pytest_tokenbudget.report.page.overview import NEGLIGIBLE, CauseRow, cause_rows, tone
from pytest_tokenbudget.report.page.trend import Trend, trends
from pytest_tokenbudget.report.page.waterfall import Waterfall, lanes_of
from pytest_tokenbudget.report.prompt_tree import PART_ORDER, PART_WORDS, tree
from pytest_tokenbudget.report.table import gate_row
from pytest_tokenbudget.wording import plain

SHOWN_CAUSES = 15
_FIGURES = (
    ("input_tokens", "input"),
    ("output_tokens", "output"),
    ("calls", "calls"),
    ("failed_attempts", "failed attempts"),
    ("cached_input_tokens", "from cache"),
    ("latency", "latency"),
    ("own_time", "own code"),
    ("cost", "cost"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A total of the test: its value now, and how it compares."""

    label: str
    now: str
    before: str
    change: str
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """A test in the list.

    Attributes:
        verdict: Verdict, for the colour.
        failed: Whether it fails the run, by its budget or on its own.
        tone: ``worse``, ``better`` or ``same``, of the input.
    """

    name: str
    file: str
    verdict: str
    said: str
    failed: bool
    sentence: str
    before: str
    now: str
    change: str
    tone: str
    latency: str
    cost: str


@dataclass(frozen=True, slots=True)
class Detail:
    """The details that unfold below a row.

    Attributes:
        gates: Gates that are not within their bounds, and those that chance left undecided.
        prompt_before: The prompt of what it was compared with.
        compared: What it was compared with, and how.
    """

    figures: tuple[Figure, ...]
    gates: tuple[GateBar, ...]
    held: tuple[GateBar, ...]
    causes: tuple[CauseRow, ...]
    prompt: Icicle
    prompt_before: Icicle
    calls: Waterfall
    trends: tuple[Trend, ...]
    messages: tuple[str, ...]
    compared: str
    month: str


def row(result: TestResult) -> Row:
    """A test's row."""
    file, _, name = result.nodeid.partition("::")
    own = not result.passed and not result.failed
    now = now_value(result, "input_tokens")
    before = result.before.total.get("input_tokens") if result.before is not None else None
    change = now / before - 1 if now is not None and before else None
    return Row(
        name=plain(name or file, limit=200),
        file=plain(file, limit=200) if name else "",
        verdict="failed" if own else result.verdict,
        said="failed on its own" if own else result.verdict.replace("_", " "),
        failed=result.failed or own,
        sentence=sentence(result),
        before=number(before, "tokens") if before is not None and before != now else "",
        now=number(now, "tokens") if result.samples else "",
        change=percent(change) if change else "",
        tone=tone(change, NEGLIGIBLE),
        latency=number(now_value(result, "latency"), "s") if result.samples else "",
        cost=number(now_value(result, "cost"), "USD") if result.samples else "",
    )


def detail(result: TestResult, colours: Mapping[str, str], revisions: Sequence[Revision] = ()) -> Detail:
    """Give the details that unfold below a test's row."""
    last = result.samples[-1] if result.samples else Sample()
    now = tree(last)
    before = tree(result.before) if result.before is not None else None
    if before is not None and now is not None and before.tokens == now.tokens and result.verdict == "ok":
        before = None
    bars = [gate_bar(gate) for gate in result.gates]
    month = month_change([result])
    return Detail(
        figures=tuple(_figures(result)),
        gates=tuple(bar for bar in bars if bar.verdict != "ok"),
        held=tuple(bar for bar in bars if bar.verdict == "ok"),
        causes=tuple(_causes(result)),
        prompt=icicle.draw(now, before, compare=True),
        prompt_before=icicle.draw(before, now, compare=False),
        calls=waterfall.draw(last.calls, colours),
        trends=tuple(trends(result, revisions)),
        messages=tuple(_messages(result)),
        compared=_compared(result, last),
        month=money_a_month(month) if month is not None else "",
    )


def _figures(result: TestResult) -> list[Figure]:
    figures = []
    for metric, label in _FIGURES:
        now = now_value(result, metric)
        before = result.before.total.get(metric) if result.before is not None else None
        if now is None or (not now and not before):
            continue
        change = now / before - 1 if before else None
        figures.append(
            Figure(
                label,
                number(now, unit_of(metric)),
                number(before, unit_of(metric)) if before is not None and not before else "",
                percent(change) if tone(change, NEGLIGIBLE) != "same" else "",
                tone(change, NEGLIGIBLE),
            )
        )
    return figures


def _causes(result: TestResult) -> list[CauseRow]:
    causes = [
        JoinedCause(cause.metric, cause.stage, cause.part, cause.name, cause.delta, cause_words(cause), (), cause.diff)
        for cause in main_causes(result)[:SHOWN_CAUSES]
    ]
    return cause_rows(causes, SHOWN_CAUSES)


def _messages(result: TestResult) -> Sequence[str]:
    said = [plain(text) for text in (*result.notices, *result.messages)]
    for sample in result.samples[-1:]:
        said += [f"unattributed: {plain(unattributed_text(seen))}" for seen in sample.unattributed]
    return said


def _compared(result: TestResult, last: Sample) -> str:
    samples = len(result.samples)
    said = [f"{samples} sample{'' if samples == 1 else 's'}, {last.traffic}"]
    if result.compared_with:
        said.append(f"against {plain(result.compared_with, limit=200)}")
    models = sorted({call.model or call.request_model for call in last.calls if call.succeeded} - {""})
    if models:
        said.append(", ".join(plain(model, limit=60) for model in models[:4]))
    return " · ".join(said)


def is_quiet(result: TestResult) -> bool:
    """Tell whether a test needs nobody's attention: it holds, and nothing is to be said of it."""
    return not result.failed and result.passed and result.verdict not in (*FAILING, "improved", "inconclusive")


BRIEF_LINES = 4
"""Lines of gates, causes and notes each."""

STRIP_PX = 12
LANE_PX = 6
_IN_ITS_ROW = ("input_tokens", "latency", "cost")


@dataclass(frozen=True, slots=True)
class Brief:
    """A test in a few lines and one drawing without text.

    Attributes:
        figures: Its totals that do not stand in its row.
        paths: The prompt by part, and below it the calls on the test's clock: a class and a path each, 1,000 units wide.
    """

    figures: str
    lines: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]
    height: int


def brief(result: TestResult, colours: Mapping[str, str]) -> Brief:
    """A test's details in few bytes."""
    last = result.samples[-1] if result.samples else Sample()
    figures = [
        f"{label} {number(value, unit_of(name))}"
        for name, label in _FIGURES
        if name not in _IN_ITS_ROW and (value := now_value(result, name))
    ]
    gates = [gate for gate in result.gates if gate.verdict != "ok"]
    lines = ["  ".join(part for part in gate_row(gate, loud=False) if part) for gate in gates[:BRIEF_LINES]]
    for cause in main_causes(result)[:BRIEF_LINES]:
        words = PART_WORDS.get(cause.part, plain(cause.part, limit=40))
        lines.append(f"{signed(cause.delta, unit_of(cause.metric))} {words}: {cause_words(cause)}")
    lines += [plain(text) for text in (*result.notices, *result.messages)[:BRIEF_LINES]]
    paths = [*_strip(last), *_lanes(last, colours)]
    rows = max(lanes_of(last.calls), default=-1) + 1
    return Brief(" · ".join(figures), tuple(lines), tuple(paths), STRIP_PX + 4 + LANE_PX * rows)


def _strip(sample: Sample) -> list[tuple[str, str]]:
    whole = within(sample.composition, "")
    if whole is None or not whole.input_tokens:
        return []
    paths, x = [], 0.0
    for name in PART_ORDER:
        tokens = sum(part.tokens for part in whole.parts if part.part == name)
        width = 1000 * tokens / whole.input_tokens
        if tokens:
            paths.append((f"p-{name}", f"M{x:.0f},0h{width:.0f}v{STRIP_PX}h-{width:.0f}"))
        x += width
    return paths


def _lanes(sample: Sample, colours: Mapping[str, str]) -> list[tuple[str, str]]:
    end = max((call.started + call.latency for call in sample.calls), default=0.0)
    if end <= 0:
        return []
    drawn: dict[str, list[str]] = {}
    for call, lane in zip(sample.calls, lanes_of(sample.calls), strict=True):
        x, width = 1000 * max(0.0, call.started) / end, max(2.0, 1000 * call.latency / end)
        y = STRIP_PX + 4 + lane * LANE_PX
        kind = colours.get(call.stage, "s0") if call.succeeded else "bad"
        drawn.setdefault(kind, []).append(f"M{x:.0f},{y}h{width:.0f}v{LANE_PX - 1}h-{width:.0f}")
    return [(kind, "".join(moves)) for kind, moves in sorted(drawn.items())]
