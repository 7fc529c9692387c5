"""The part of the page on all tests together: totals, shared causes, and where the tokens and the money go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import money_a_month, month_change, number, percent, signed, unit_of
from pytest_tokenbudget.report.highlights import JoinedCause, Total, total
from pytest_tokenbudget.report.prompt_tree import PART_WORDS
from pytest_tokenbudget.wording import plain

SHOWN_CAUSES = 12
SHOWN_ROWS = 10
SHOWN_DIFF_LINES = 100
NEGLIGIBLE = 0.0005
"""A relative change below which a figure is shown as unchanged."""

_TILES = (
    ("input_tokens", "Input tokens"),
    ("output_tokens", "Output tokens"),
    ("calls", "Model calls"),
    ("latency", "Time"),
    ("cost", "Cost"),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A total of the run.

    Attributes:
        note: How it compares.
        some: How many tests could be compared, where it was not all.
        before: Width of the bar of what was, per cent; ``None`` where that is not known.
    """

    label: str
    value: str
    note: str
    tone: str
    some: str = ""
    before: float | None = None
    now: float | None = None


@dataclass(frozen=True, slots=True)
class CauseRow:
    """A cause that tests share: ``part`` decides the colour, ``bar`` is its width in per cent of the largest.

    ``diff`` holds the words that changed: each line with the colour that it has.
    """

    delta: str
    tone: str
    bar: float
    part: str
    part_words: str
    stage: str
    text: str
    metric: str
    tests: tuple[str, ...]
    diff: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """A row of *where it goes*: a name, its figures, and its share of all in per cent."""

    name: str
    share: float
    figures: tuple[str, ...]
    kind: str = ""
    where: str = ""


@dataclass(slots=True)
class _Sum:
    """The usage of a stage or model, summed over the tests' last samples."""

    calls: int = 0
    failed: int = 0
    read: int = 0
    written: int = 0
    cached: int = 0
    cost: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0

    def add(self, call: Call) -> None:
        """Add a call or a failed attempt."""
        self.seconds += call.latency
        if not call.succeeded:
            self.failed += 1
            return
        self.calls += 1
        self.read += call.usage.input_tokens or 0
        self.written += call.usage.output_tokens or 0
        self.cached += call.usage.cached_input_tokens or 0
        if call.cost is None:
            self.unpriced += 1
        else:
            self.cost += call.cost


def tiles(results: Sequence[TestResult]) -> list[Tile]:
    """The totals of one run of each test, and the change of money a month where the project says how often it runs."""
    shown = [_tile(label, total(results, metric)) for metric, label in _TILES]
    month = month_change(results)
    if month is not None:
        runs = {result.runs_per_month for result in results if result.runs_per_month is not None}
        often = f"{runs.pop():,.0f} runs" if len(runs) == 1 else "runs as configured"
        shown.append(Tile("A month", money_a_month(month).removesuffix(" a month"), f"estimate, {often}", tone(month)))
    return shown


def _tile(label: str, figure: Total) -> Tile:
    value = number(figure.now, unit_of(figure.metric))
    if not figure.compared:
        return Tile(label, value, "nothing to compare with" if figure.tests else "", "same")
    largest = max(figure.after, figure.before) or 1
    widths = (round(100 * figure.before / largest, 1), round(100 * figure.after / largest, 1))
    some = f"{figure.compared} of {figure.tests} tests compared" if figure.compared < figure.tests else ""
    if figure.after == figure.before:
        return Tile(label, value, "as before", "same", some, *widths)
    before = number(figure.before, unit_of(figure.metric))
    note = f"{percent(figure.change)} from {before}" if figure.before else f"from {before}"
    change = tone(figure.after, 0.0) if figure.change is None else tone(figure.change, NEGLIGIBLE)
    return Tile(label, value, note, change, some, *widths)


def tone(change: float | None, least: float = 0.0) -> str:
    """Tell whether more or less was used; what changed by less than ``least`` is the same."""
    if not change or abs(change) < least:
        return "same"
    return "worse" if change > 0 else "better"


def cause_rows(causes: Sequence[JoinedCause], most: int = SHOWN_CAUSES) -> list[CauseRow]:
    """The first of some causes, each diff once."""
    largest: dict[str, float] = defaultdict(float)
    for cause in causes:
        largest[cause.metric] = max(largest[cause.metric], abs(cause.delta))
    diffs = {cause.diff: number for number, cause in reversed(list(enumerate(causes))) if cause.diff}
    return [
        CauseRow(
            delta=signed(cause.delta, unit_of(cause.metric)),
            tone=tone(cause.delta),
            bar=round(100 * abs(cause.delta) / largest[cause.metric], 1) if largest[cause.metric] else 0.0,
            part=cause.part,
            part_words=PART_WORDS.get(cause.part, cause.part),
            stage=plain(cause.stage, limit=80),
            text=cause.text,
            metric=cause.metric.replace("_", " ") if cause.tests else plain(cause.metric, limit=120),
            tests=cause.tests,
            diff=diff_rows(cause.diff) if diffs.get(cause.diff) == number else (),
        )
        for number, cause in enumerate(causes[:most])
    ]


def diff_rows(diff: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The lines of a diff, each with its colour."""
    tones = {"+": "worse", "-": "better"}
    return tuple((tones.get(line[:1], "same"), plain(line)) for line in diff[:SHOWN_DIFF_LINES])


def usage(
    results: Iterable[TestResult], name: Callable[[Call], str], colours: Mapping[str, str] | None = None
) -> list[Share]:
    """Sum what each stage (by itself, without the stages inside it) or each model used, the most tokens first."""
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for result in results:
        for call in result.samples[-1].calls if result.samples else ():
            sums[name(call)].add(call)
    tokens = sum(one.read + one.written for one in sums.values())
    ordered = sorted(sums.items(), key=lambda item: (-item[1].read - item[1].written, item[0]))
    return [
        Share(
            plain(name, limit=80),
            round(100 * (one.read + one.written) / tokens, 1) if tokens else 0.0,
            (
                f"{one.calls:,}" + (f" +{one.failed:,} failed" if one.failed else ""),
                f"{one.read:,}",
                f"{one.written:,}",
                f"{one.cached:,}" if one.cached else "",
                number(one.cost, "USD") if one.unpriced < one.calls or not one.calls else "",
                number(one.seconds, "s"),
            ),
            kind=(colours or {}).get(name, ""),
        )
        for name, one in ordered[:SHOWN_ROWS]
    ]


def prompt_parts(results: Sequence[TestResult]) -> tuple[list[Share], list[Share]]:
    """The tool schemas, and the most expensive parts of all prompts by stage.

    Returns:
        Schemas by tool over all stages, and parts by stage; each with its tokens, what of it was sent again, the calls that
        carried it, and the tests.
    """
    schemas: dict[str, _Part] = defaultdict(_Part)
    parts: dict[tuple[str, str, str], _Part] = defaultdict(_Part)
    whole = 0
    for result in results:
        composition = result.samples[-1].composition if result.samples else {}
        for stage, own in composition.items():
            whole += own.input_tokens
            for part in own.parts:
                parts[stage, part.part, part.name].add(part.tokens, part.repeated_tokens, part.calls, result.nodeid)
                if part.part == "tools":
                    schemas[part.name].add(part.tokens, part.repeated_tokens, part.calls, result.nodeid)
    by_tool = sorted(schemas.items(), key=lambda item: (-item[1].tokens, item[0]))
    by_part = sorted(parts.items(), key=lambda item: (-item[1].tokens, item[0]))
    tools = [(plain(name, limit=80) or "(unnamed)", "tools", "", one) for name, one in by_tool]
    named = [(_part_name(kind, name), kind, plain(stage, limit=80), one) for (stage, kind, name), one in by_part]
    return (
        [_part_share(*each, whole) for each in tools[:SHOWN_ROWS]],
        [_part_share(*each, whole) for each in named[:SHOWN_ROWS]],
    )


@dataclass(slots=True)
class _Part:
    """A part of the prompts, summed over the tests."""

    tokens: int = 0
    repeated: int = 0
    calls: int = 0
    tests: set[str] = field(default_factory=set)

    def add(self, tokens: int, repeated: int, calls: int, nodeid: str) -> None:
        """Add what one test sent of it."""
        self.tokens += tokens
        self.repeated += repeated
        self.calls += calls
        self.tests.add(nodeid)


def _part_name(kind: str, name: str) -> str:
    words = PART_WORDS.get(kind, kind)
    return f"{plain(name, limit=80)} ({words.rstrip('s')})" if name else words


def _part_share(name: str, kind: str, where: str, part: _Part, whole: int) -> Share:
    figures = (
        f"{part.tokens:,}",
        f"{part.repeated:,}" if part.repeated else "",
        f"{part.calls:,}",
        f"{len(part.tests):,}",
    )
    return Share(name, round(100 * part.tokens / whole, 1) if whole else 0.0, figures, f"p-{kind}", where)


@dataclass(frozen=True, slots=True)
class Unsteady:
    """A test whose figures vary from sample to sample, or whose gates chance left undecided."""

    nodeid: str
    varies: str
    undecided: int
    samples: int
    reason: str


def unsteady(results: Iterable[TestResult]) -> list[Unsteady]:
    """The tests that do not give the same counts every time, and those with inconclusive gates."""
    found = []
    for result in results:
        undecided = [gate for gate in result.gates if gate.verdict == "inconclusive"]
        varies = []
        for metric in ("calls", "input_tokens", "output_tokens"):
            known = [value for s in result.samples if (value := s.total.get(metric)) is not None]
            if len(set(known)) > 1:
                low, high = number(min(known), unit_of(metric)), number(max(known), unit_of(metric))
                varies.append(f"{metric.replace('_', ' ')} {low} to {high}")
        if undecided or varies:
            reason = plain(undecided[0].reason) if undecided else ""
            found.append(Unsteady(result.nodeid, "; ".join(varies), len(undecided), len(result.samples), reason))
    return found


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """One thing that could be saved; ``bar`` is its share in per cent, 0 for observations."""

    what: str
    where: str
    part: str
    tokens: str
    cost: str
    month: str
    seconds: str
    bar: float
    sure: str
    text: str


def advice_rows(advice: Sequence[Advice], results: Sequence[TestResult]) -> list[AdviceRow]:
    """The advice that is shown; the money of a month where the project says how often all of its tests' agents run."""
    often = {result.runs_per_month for result in results}
    runs = often.pop() if len(often) == 1 else None
    return [
        AdviceRow(
            what=one.kind.replace("_", " "),
            where=plain(" ".join(part for part in (one.stage, one.name) if part), limit=120),
            part=one.part,
            tokens=f"{one.tokens:,}" if one.tokens else "",
            cost=number(one.cost, "USD") if one.cost else "",
            month=number(round(one.cost * runs), "USD") if one.cost and runs else "",
            seconds=number(one.seconds, "s") if one.seconds else "",
            bar=round(100 * one.share, 1),
            sure="" if one.kind == "observation" else one.sure,
            text=one.text,
        )
        for one in advice[:SHOWN_ROWS]
    ]
