"""``tokenbudget compare``: what changed between two states of the tests, why, and whether it is allowed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

from pytest_tokenbudget.ab.ab_options import AbOptions, parse_options
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.compared_sides import LAST, Side, pairs, read_side
from pytest_tokenbudget.cli.compared_texts import ComparedTexts
from pytest_tokenbudget.cli.shown_tests import ShownTest
from pytest_tokenbudget.cli.terminal_text import paint, write_lines
from pytest_tokenbudget.compare.rules import expand
from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, metric_table
from pytest_tokenbudget.records.baseline import Number
from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.gate import Budget, Gate, split_key
from pytest_tokenbudget.report.figures import number, percent, unit_of
from pytest_tokenbudget.report.table import aligned, cause_lines
from pytest_tokenbudget.stats.statistic import exceeds, rational
from pytest_tokenbudget.stats.statistic import statistic as of_values
from pytest_tokenbudget.wording import counted, plain

SHOWN_METRICS = (
    *("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "calls", "failed_attempts"),
    *("latency", "cost"),
)
"""The metrics that are compared, beside those that a rule names."""

_UNLIKE = 0.2
"""A test whose figure differs by this share from production's is told to be unlike it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one test that is another one than before, or that a rule is about.

    Attributes:
        metric: Full name of the metric, ``worker.input_tokens``; with its statistic where that is not the mean.
        rule: What is allowed, ``"+10%"`` or ``"-30%"``; ``""`` where nothing is said of it.
        cause: The largest cause in words, or how the test is unlike production; ``""`` where none is known.
    """

    test: str
    metric: str
    before: Number
    after: Number
    rule: str
    held: bool
    causes: tuple[Cause, ...]
    cause: str

    @property
    def change(self) -> float | None:
        """Relative change; ``None`` from 0."""
        return self.after / self.before - 1 if self.before else None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples: tokenbudget compare main: --max-increase 10%; tokenbudget compare main: last; tokenbudget compare "
        "before baseline --reduce worker.input_tokens=30%; tokenbudget compare production baseline. "
        "Exit codes: 0 held, 1 a --max-increase or --reduce is not held, 2 a side or a rule that cannot be read, or "
        "nothing that a rule could be held against."
    )
    parser.add_argument(
        "before",
        nargs="?",
        metavar="A",
        help="a folder, a baseline, a JSON report, a test, a reference's name (before, production), `baseline` for the "
        "working tree's, `last` for the last run that failed, or a git revision with a colon (main:, v1:tests); without "
        "any argument: baseline against last",
    )
    parser.add_argument("after", nargs="?", metavar="B", help="the other side (default: the working tree)")
    parser.add_argument(
        "--max-increase",
        action="append",
        default=[],
        metavar="[METRIC=]RULE",
        help="allowed increase: 10%% (input_tokens, output_tokens, calls and latency, in all and by stage), "
        "worker.cost=5%%; repeatable",
    )
    parser.add_argument(
        "--reduce",
        action="append",
        default=[],
        metavar="METRIC=SHARE",
        help="wanted reduction: worker.input_tokens=30%%; repeatable",
    )
    parser.add_argument("--all", action="store_true", help="show also the stages in which all of a test's change lies")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    options = parse_options(arguments.max_increase, arguments.reduce, max_samples=1, table=metric_table(()))
    named = [arguments.before or "baseline", arguments.after or ("." if arguments.before else LAST)]
    before, after = (read_side(name) for name in named)
    both = pairs(before, after)
    asked = bool(arguments.max_increase or arguments.reduce)
    if asked and not both:
        raise SettingsError(
            f"no test is on both sides ({len(before.tests)} at {before.name}, {len(after.tests)} at {after.name}), so the "
            "rules are held against nothing",
            remedy="name sides that have a test in common",
        )
    options.check_stages({stage for _, then, now in both for test in (then, now) for stage in test.stages})
    changes = [change for test, then, now in both for change in _changes(test, then, now, options, asked=asked)]
    held = all(change.held for change in changes)
    changes = _with_texts(changes, both)
    if arguments.json:
        print(json.dumps(_as_json(before, after, both, changes), indent=2))
    else:
        everything = arguments.all or before.production is not None or after.production is not None
        write_lines(_lines(before, after, both, changes, everything=everything))
    return 0 if held else 1


def _changes(test: str, then: ShownTest, now: ShownTest, options: AbOptions, *, asked: bool) -> Iterator[Change]:
    """Compare a test's figures, the whole test's and each stage's; the rules that are not about one of them come last."""
    stages = ["", *sorted({*then.stages, *now.stages} - {"", "main"})]
    gates = _gates(options, stages, then, now) if asked else {}
    for stage in stages:
        for name in SHOWN_METRICS:
            key = f"{stage}.{name}" if stage else name
            values = _value(then, stage, name), _value(now, stage, name)
            of_this = list(gates.pop(key, ()))
            before, after = values
            ruled = any(gate.metric.statistic == "mean" for gate in of_this)
            if before is not None and after is not None and before != after and not ruled:
                yield _change(test, key, (then, now), (before, after))
            for gate in of_this:
                yield from _gated(test, gate, then, now)
    for left in gates.values():
        for gate in left:
            yield from _gated(test, gate, then, now)


def _gates(options: AbOptions, stages: Sequence[str], then: ShownTest, now: ShownTest) -> dict[str, list[Gate]]:
    """The rules that hold for a test, by the metric that each is about."""
    # A stage that one side does not know is in the whole test's figures, and no default rule of its own.
    common = [stage for stage in stages if stage and stage in then.stages and stage in now.stages]
    budget = options.on(Budget(default_rule=None), base="baseline", stages=[*stages])
    found: dict[str, list[Gate]] = {}
    for gate in expand(budget, stages=common, default_metrics=DEFAULT_GATES):
        found.setdefault(gate.metric.key, []).append(gate)
    return found


def _gated(test: str, gate: Gate, then: ShownTest, now: ShownTest) -> Iterator[Change]:
    """A figure that a rule is about, where it changed or is not held.

    Raises:
        SettingsError: If the rule names a figure that a side does not have: it cannot be held.
    """
    metric = gate.metric
    before, after = (_value(side, metric.stage, metric.name, metric.statistic) for side in (then, now))
    if before is None or after is None:
        if not gate.explicit and gate.kind == "max_increase":
            return
        side = then if before is None else now
        raise SettingsError(
            f"{metric}: {side.file} knows no such figure of {test}",
            remedy="check the metric's name, or compare sides that have it",
        )
    if gate.kind == "reduce":
        assert gate.reduction is not None
        held = rational(after) <= rational(before) * (1 - gate.reduction)
    else:
        held = not exceeds(rational(after), rational(before), gate.rule.fraction, gate.rule.slack)
    if before != after or not held:
        yield _change(test, str(metric), (then, now), (before, after), (gate.text, held))


def _with_texts(changes: Sequence[Change], both: Sequence[tuple[str, ShownTest, ShownTest]]) -> list[Change]:
    """The changes, with the words that changed where both sides have a recording."""
    texts, sides = ComparedTexts(), {test: (then, now) for test, then, now in both}
    return [replace(one, causes=texts.explain(one.test, *sides[one.test], one.causes)) for one in changes]


def _value(test: ShownTest, stage: str, name: str, statistic: str = "mean") -> Number | None:
    if stage and stage not in test.stages:
        return 0 if name in ("input_tokens", "output_tokens", "calls") else None
    values = test.stages[stage].get(name, ())
    return of_values(values, statistic) if values else None


def _change(
    test: str,
    metric: str,
    sides: tuple[ShownTest, ShownTest],
    values: tuple[Number, Number],
    ruled: tuple[str, bool] = ("", True),
) -> Change:
    """A change with its causes; ``ruled`` is the rule about it and whether it is held."""
    (then, now), (before, after) = sides, values
    stage, name = split_key(metric)
    causes: tuple[Cause, ...] = ()
    if "production" in (then.file, now.file):
        cause = _unlike(stage, name, then, now)
    else:
        causes = explain(name, stage, then.composition, now.composition, before_value=before, after_value=after)
        cause = causes[0].text if causes else ""
    return Change(test, metric, before, after, *ruled, causes, cause)


def _unlike(stage: str, name: str, then: ShownTest, now: ShownTest) -> str:
    """Say how the input of a test is unlike production's: its calls, or what each of them reads."""
    if name != "input_tokens":
        return ""
    production, test = (then, now) if then.file == "production" else (now, then)
    tokens, calls = (
        [_value(side, stage, metric) for side in (production, test)] for metric in ("input_tokens", "calls")
    )
    if None in tokens or None in calls or not (all(tokens) and all(calls)):
        return ""
    (tokens_there, tokens_here), (calls_there, calls_here) = (list(map(float, pair)) for pair in (tokens, calls))  # type: ignore[arg-type]  # no None is left
    ratio, more_calls = tokens_here / tokens_there, calls_here / calls_there
    if abs(ratio - 1) < _UNLIKE:
        return "like production"
    word = "short" if ratio < 1 else "long"
    # Tokens are calls times tokens a call, so logarithms say which of the two is more of the difference.
    by_calls = log(more_calls) / log(ratio) >= 0.5
    unit = "call" if calls_there == 1 else "calls"
    counts = f"{calls_there:,.3g} {unit} in production, {calls_here:,.3g} in the test"
    reads = f"a call reads {tokens_there / calls_there:,.0f} tokens in production, {tokens_here / calls_here:,.0f} in the test"
    if by_calls:
        return f"the scenario's conversations are too {word}: {counts}"
    return f"the scenario's conversations are too {word}, or its prompts are others: {reads}"


def _as_json(
    before: Side, after: Side, both: Sequence[tuple[str, ShownTest, ShownTest]], changes: Sequence[Change]
) -> dict[str, Any]:
    only_before, only_after = _only(before, after, both)
    return {
        "before": before.name,
        "after": after.name,
        "tests": [test for test, _, _ in both],
        "only_before": only_before,
        "only_after": only_after,
        "changes": [
            {
                "test": one.test,
                "metric": one.metric,
                "before": one.before,
                "after": one.after,
                "change": one.change,
                "rule": one.rule,
                "held": one.held,
                "cause": one.cause,
                "causes": [
                    {
                        "stage": cause.stage,
                        "part": cause.part,
                        "name": cause.name,
                        "delta": cause.delta,
                        "text": cause.text,
                        "diff": list(cause.diff),
                    }
                    for cause in one.causes
                ],
            }
            for one in changes
        ],
        "held": all(one.held for one in changes),
    }


def _only(before: Side, after: Side, both: Sequence[tuple[str, ShownTest, ShownTest]]) -> tuple[list[str], list[str]]:
    """The tests that one side alone has."""
    then, now = {test.test for _, test, _ in both}, {test.test for _, _, test in both}
    return (
        sorted(nodeid for nodeid, test in before.tests.items() if test.test not in then),
        sorted(nodeid for nodeid, test in after.tests.items() if test.test not in now),
    )


def _lines(
    before: Side,
    after: Side,
    both: Sequence[tuple[str, ShownTest, ShownTest]],
    changes: Sequence[Change],
    *,
    everything: bool,
) -> Iterator[str]:
    yield f"{plain(before.name)} → {plain(after.name)}"
    by_test: dict[str, list[Change]] = {}
    for change in changes:
        by_test.setdefault(change.test, []).append(change)
    told = by_test if everything else {test: _told(of_test) for test, of_test in by_test.items()}
    for test, of_test in told.items():
        yield paint(plain(test), "bold")
        yield from _test_lines(of_test)
    for side, names in zip((before, after), _only(before, after, both), strict=True):
        if names and (before.production or after.production) is None:
            listed = ", ".join(plain(name) for name in names[:5]) + (
                f" and {len(names) - 5} more" if len(names) > 5 else ""
            )
            yield f"only in {plain(side.name)}: {listed}"
    over = sum(not change.held for of_test in told.values() for change in of_test)
    if not both:
        yield "no test is on both sides"
    elif not by_test:
        yield f"nothing changed in {counted(len(both), 'test')}"
    else:
        said = f", {counted(over, 'figure')} over" if over else ""
        yield paint(f"{len(by_test)} of {counted(len(both), 'test')} changed{said}", "red" if over else "bold")


def _told(changes: Sequence[Change]) -> list[Change]:
    """The changes that tell more than that of a stage around them, or that break a rule which that one keeps."""
    told: list[Change] = []
    for change in changes:
        stage, name = split_key(change.metric)
        around = [
            other
            for other in told
            if split_key(other.metric)[1] == name
            and (not (outer := split_key(other.metric)[0]) or stage.startswith(f"{outer}/"))
            and abs((other.after - other.before) - (change.after - change.before)) <= 1e-9 * max(1, abs(other.after))
        ]
        if not around or (not change.held and all(other.held or other.rule != change.rule for other in around)):
            told.append(change)
    return told


def _test_lines(changes: Sequence[Change]) -> Iterator[str]:
    """A line a figure, its causes below it; those of the money are those of the tokens, and told where nothing else moved."""
    cells = []
    for one in changes:
        unit = unit_of(one.metric)
        rule = f" ({one.rule.replace('%', ' %')})" if one.rule else ""
        cells.append(
            (
                plain(one.metric, limit=60),
                f"{number(one.before, unit)} → {number(one.after, unit)}",
                percent(one.change),
                "" if one.held else f"OVER{rule}",
            )
        )
    rows = aligned(cells, "llrl")
    shown: set[tuple[str, ...]] = set()
    costs_only = {split_key(one.metric)[1] for one in changes} == {"cost"}
    for one, row, cell in zip(changes, rows, cells, strict=True):
        said = cell[-1]
        yield f"  {row.removesuffix(said)}{paint(said, 'red')}"
        if split_key(one.metric)[1] == "cost" and not costs_only:
            continue
        if one.causes:
            yield from (f"    {line}" for line in cause_lines(one.causes, unit_of(one.metric), shown))
        elif one.cause:
            yield f"      {plain(one.cause)}"


COMPARE = Command("compare", "show what changed between two states of the tests, and why", _arguments, _run)
