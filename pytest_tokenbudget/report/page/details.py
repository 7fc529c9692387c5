"""One test of the page: its row in the list, and what unfolds below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.baselines.history import Revision
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, TestResult
from pytest_tokenbudget.report.figures import number, percent, signed, unit_of
from pytest_tokenbudget.report.highlights import main_causes, sentence
from pytest_tokenbudget.report.means import now_value
from pytest_tokenbudget.report.money import money_a_month, month_change
from pytest_tokenbudget.report.page import icicle, waterfall
from pytest_tokenbudget.report.page.gate_bars import GateBar, gate_bar
from pytest_tokenbudget.report.page.icicle import Icicle
from pytest_tokenbudget.report.page.overview import CauseRow
from pytest_tokenbudget.report.page.trend import Trend, trends
from pytest_tokenbudget.report.page.waterfall import Waterfall
from pytest_tokenbudget.report.prompt_tree import PART_WORDS, tree, tree_of
from pytest_tokenbudget.report.view import unattributed_text
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
        name: Name within its file.
        file: Its file.
        verdict: Verdict, for the colour.
        said: Verdict in words.
        failed: Whether it fails the run, by its budget or on its own.
        sentence: What happened, in one sentence.
        tokens: Input before and now.
        change: Change of the input.
        tone: ``worse``, ``better`` or ``same``, of the input.
        latency: Latency now.
        cost: Cost now.
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
    """What unfolds below a row.

    Attributes:
        figures: Totals of the test.
        gates: Gates that are not within their bounds, and those that chance left undecided.
        held: Gates that hold.
        causes: Why it changed.
        prompt: The prompt now.
        prompt_before: The prompt of what it was compared with.
        calls: The waterfall.
        trends: Its metrics over the revisions of its baseline file.
        messages: Notes.
        compared: What it was compared with, and how.
        month: Change of money a month.
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
        tone=tone(change),
        latency=number(now_value(result, "latency"), "s") if result.samples else "",
        cost=number(now_value(result, "cost"), "USD") if result.samples else "",
    )


def tone(change: float | None) -> str:
    """Whether more or less was used."""
    return "same" if change is None or abs(change) < 0.0005 else "worse" if change > 0 else "better"


def detail(result: TestResult, colours: Mapping[str, str], revisions: Sequence[Revision] = ()) -> Detail:
    """What unfolds below a test's row.

    Args:
        result: The test.
        colours: Class of the colour by stage path.
        revisions: The past of its baseline file.
    """
    last = result.samples[-1] if result.samples else Sample()
    now = tree_of(last)
    before = tree(result.before.composition, {}, {}) if result.before is not None else None
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
                percent(change) if tone(change) != "same" else "",
                tone(change),
            )
        )
    return figures


def _causes(result: TestResult) -> list[CauseRow]:
    causes = main_causes(result)[:SHOWN_CAUSES]
    largest: dict[str, float] = {}
    for cause in causes:
        largest[cause.metric] = max(largest.get(cause.metric, 0.0), abs(cause.delta))
    return [
        CauseRow(
            delta=signed(cause.delta, unit_of(cause.metric)),
            tone="worse" if cause.delta > 0 else "better" if cause.delta < 0 else "same",
            bar=round(100 * abs(cause.delta) / largest[cause.metric], 1) if largest[cause.metric] else 0.0,
            part=cause.part,
            part_words=PART_WORDS.get(cause.part, cause.part),
            stage=plain(cause.stage, limit=80),
            text=plain(cause.text).removeprefix(f"{plain(cause.stage)}: ").replace(" -> ", " → "),
            metric=plain(cause.metric, limit=120),
            tests=(),
        )
        for cause in causes
    ]


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
    """Whether a test needs nobody's attention: it holds, and nothing is to be said of it."""
    return not result.failed and result.passed and result.verdict not in (*FAILING, "improved", "inconclusive")
