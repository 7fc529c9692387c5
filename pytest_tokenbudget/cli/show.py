"""``tokenbudget show``: a stored or reported test as a person reads it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from statistics import stdev
from typing import Any

from pytest_tokenbudget.baselines.history import is_jump
from pytest_tokenbudget.baselines.paths import BASELINE, check_reference, is_production
from pytest_tokenbudget.baselines.production_file import read_production
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.import_rows import production_json, production_lines
from pytest_tokenbudget.cli.shown_tests import ShownTest, read_tests
from pytest_tokenbudget.cli.targets import find_targets
from pytest_tokenbudget.cli.terminal_text import bar, paint, write_lines
from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.baseline import Number
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inclusive
from pytest_tokenbudget.report.figures import number, percent, seconds, unit_of
from pytest_tokenbudget.report.json_report import call_json, parts_json
from pytest_tokenbudget.report.prompt_tree import PART_WORDS
from pytest_tokenbudget.report.table import aligned
from pytest_tokenbudget.stats.statistic import mean
from pytest_tokenbudget.wording import counted, plain

MAIN_METRICS = (
    *("calls", "failed_attempts", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "cost"),
    "latency",
)
"""The columns of the table, as far as any stage has them; ``--all`` shows every metric."""

_QUIET_ZERO = frozenset({"failed_attempts", "cached_input_tokens", "reasoning_tokens"})
"""Metrics that get no column where all their values are 0."""

_FEW_TESTS = 3
"""So many tests are shown whole; of more each gets a line."""

_COLUMNS = 7
"""Metrics side by side in one table."""

_PARTS = 8
"""Parts of a stage that are shown."""

_BAR = 24


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget show tests/test_desk.py::test_refunds; tokenbudget show production; "
        "tokenbudget show report.json --calls. Exit codes: 0 shown, 2 nothing has this name, or it cannot be read."
    )
    parser.add_argument(
        "target",
        nargs="?",
        default=".",
        metavar="PATH|NODEID|NAME",
        help="a folder, a test file, a baseline, a JSON report, a node id, or the name of a reference or a test "
        "(default: all baselines of this folder)",
    )
    parser.add_argument(
        "--against", default="baseline", metavar="NAME", help="show this reference of the tests (default: %(default)s)"
    )
    parser.add_argument("--calls", action="store_true", help="list the calls one by one; needs a JSON report")
    parser.add_argument("--all", action="store_true", help="leave out no test, no metric and no part")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    against = arguments.against if arguments.against == BASELINE else check_reference(arguments.against)
    targets = find_targets("." if arguments.target == BASELINE else arguments.target, against=against)
    production = {target.path: read_production(target.path) for target in targets if is_production(target.path)}
    tests = [test for target in targets if target.path not in production for test in read_tests(target)]
    if arguments.calls and not any(test.calls for test in tests):
        raise ReportError(
            "there are no calls to list: a baseline keeps none",
            remedy="pytest --tokenbudget-report=report.json; tokenbudget show report.json --calls",
        )
    if arguments.json:
        shown = [_test_json(test, calls=arguments.calls) for test in tests]
        found = [{"file": str(path), **production_json(one)} for path, one in production.items()]
        print(json.dumps({"tests": shown, "production": found}, indent=2))
        return 0
    lines: list[str] = []
    for path, one in production.items():
        models = ", ".join(plain(model, limit=60) for model in one.models)
        facts = " | ".join(filter(None, ("production", one.source, models)))
        lines += [paint(plain(str(path)), "bold"), plain(facts), "", *production_lines(one), ""]
    if len(tests) > _FEW_TESTS and not arguments.all and not arguments.calls:
        lines += _overview(tests)
    else:
        for test in tests:
            lines += [*_test_lines(test, everything=arguments.all, calls=arguments.calls), ""]
    write_lines(lines[:-1])
    return 0


def _test_lines(test: ShownTest, *, everything: bool, calls: bool) -> list[str]:
    models = ", ".join(plain(model, limit=60) for model in test.models)
    facts = [plain(test.file), test.traffic, models, counted(test.samples, "sample")]
    if test.references:
        facts.append(f"references: {', '.join(map(plain, test.references))}")
    lines = [paint(plain(test.test), "bold"), " | ".join(filter(None, facts)), ""]
    lines += _table(test, everything=everything)
    lines += _moved(test)
    lines += _composition(test, everything=everything)
    if test.outcomes:
        said = (f"{plain(str(name), limit=60)} = {plain(json.dumps(value))}" for name, value in test.outcomes.items())
        lines += ["", f"outcomes: {', '.join(said)}"]
    if calls and test.calls:
        lines += ["", *_call_table(test.calls)]
    return lines


def _metrics(test: ShownTest, *, everything: bool) -> list[str]:
    known = {metric for values in test.stages.values() for metric in values}
    builtin = [spec.name for spec in BUILTIN_METRICS]
    order = [*builtin, *sorted(known.difference(builtin))] if everything else [*MAIN_METRICS]
    return [
        metric
        for metric in order
        if metric in known
        and (everything or metric not in _QUIET_ZERO or any(any(row.get(metric, ())) for row in test.stages.values()))
    ]


def _table(test: ShownTest, *, everything: bool) -> list[str]:
    """Stages by metrics, as many tables below each other as the metrics need."""
    metrics = _metrics(test, everything=everything)
    lines: list[str] = []
    varies = False
    most = _COLUMNS if everything else len(MAIN_METRICS)
    for start in range(0, len(metrics), most):
        chosen = metrics[start : start + most]
        rows = []
        for stage in test.rows:
            cells = [_cell(metric, test.stages[stage].get(metric, ())) for metric in chosen]
            varies = varies or any("±" in cell for cell in cells)
            rows.append((_stage(stage), *cells))
        lines += ([""] if lines else []) + aligned(rows, "l" + "r" * len(chosen), ("stage", *map(_heading, chosen)))
    if varies:
        lines.append("± standard deviation of the values that are kept")
    return lines


def _cell(metric: str, values: Sequence[Number]) -> str:
    if not values:
        return "-"
    middle = mean(values)
    share = stdev(map(float, values)) / middle if len(values) > 1 and middle > 0 else 0
    return number(middle, unit_of(metric)) + (f" ±{share:.0%}" if share >= 0.005 else "")


def _moved(test: ShownTest) -> list[str]:
    """The metrics that updates moved away from what was accepted; those of a stage only beside its name."""
    lines = []
    for stage in test.rows:
        for metric in MAIN_METRICS:
            key = f"{stage}.{metric}" if stage else metric
            values, origin = test.stages[stage].get(metric, ()), test.origins.get(key)
            if values and origin is not None and is_jump(metric, origin, now := mean(values)):
                both = f"{number(origin, unit_of(metric))} → {number(now, unit_of(metric))}"
                change = percent(now / origin - 1) if origin else "new"
                lines.append(f"  {plain(key)} {both} {change}")
    return ["", "since it was first stored or last accepted:", *lines] if lines else []


def _composition(test: ShownTest, *, everything: bool) -> list[str]:
    """The parts of the input as bars; shaded is what an earlier call of the stage had sent already."""
    composition = inclusive(test.composition)
    named = [stage for stage in test.rows if stage in composition]
    outer = [stage for stage in named if stage and (everything or "/" not in stage)] or [""]
    found = {stage: composition[stage].parts for stage in outer if stage in composition}
    total = sum(part.tokens for stage in found if "/" not in stage for part in found[stage]) or 1
    largest = max((part.tokens for parts in found.values() for part in parts), default=0)
    rows = []
    for stage, carried in found.items():
        parts = sorted((part for part in carried if part.tokens), key=lambda part: -part.tokens)
        shown = parts if everything else parts[:_PARTS]
        for part in shown:
            name = f"{PART_WORDS[part.part]} {plain(part.name, limit=40)}".strip()
            drawn = bar(
                part.tokens / largest if largest else 0,
                _BAR,
                again=part.repeated_tokens / part.tokens if part.tokens else 0,
            )
            rows.append(
                (_stage(stage), name, f"{part.calls:,}", f"{part.tokens:,}", f"{part.tokens / total:.0%}", drawn)
            )
        if rest := parts[len(shown) :]:
            tokens = sum(part.tokens for part in rest)
            rows.append((_stage(stage), f"{len(rest)} smaller parts", "", f"{tokens:,}", f"{tokens / total:.0%}", ""))
    if not rows:
        return []
    headings = ("stage", "input", "calls", "tokens", "share", f"{bar(0.2, 5)} new {bar(0.2, 5, again=1)} sent again")
    return ["", *aligned(rows, "llrrrl", headings)]


def _call_table(calls: Iterable[Call]) -> list[str]:
    rows = []
    for call in sorted(calls, key=lambda call: call.started):
        said = call.error if call.error is not None else ", ".join(call.tool_calls) or call.finish_reason or ""
        rows.append(
            (
                _stage(call.stage),
                plain(call.model or call.request_model, limit=40),
                seconds(call.started),
                seconds(call.latency),
                number(call.ttft, "s"),
                *map(number, (call.usage.input_tokens, call.usage.cached_input_tokens, call.usage.output_tokens)),
                number(call.cost, "USD"),
                ("failed: " if call.error is not None else "") + plain(said, limit=60),
            )
        )
    headings = ("stage", "model", "start", "latency", "ttft", "input", "cached", "output", "cost", "answer")
    return aligned(rows, "llrrrrrrrl", headings)


def _overview(tests: Sequence[ShownTest]) -> Iterator[str]:
    """A line a test."""
    metrics = ("calls", "input_tokens", "output_tokens", "cost", "latency")
    rows = [
        (
            plain(test.test, limit=100),
            *(_cell(metric, test.stages[""].get(metric, ())) for metric in metrics),
            test.traffic,
        )
        for test in tests
    ]
    yield from aligned(rows, "lrrrrrl", ("test", *map(_heading, metrics), "traffic"))
    yield f"{counted(len(tests), 'test')}; `tokenbudget show NODEID` shows one with its stages, --all shows all so"
    yield ""


def _stage(stage: str) -> str:
    return plain(stage, limit=40) or "(test)"


def _heading(metric: str) -> str:
    return plain(metric.removesuffix("_tokens").replace("_", " "), limit=40)


def _test_json(test: ShownTest, *, calls: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "test": test.test,
        "file": test.file,
        "traffic": test.traffic,
        "models": list(test.models),
        "stages": {
            stage: {
                metric: {
                    "mean": mean(values),
                    "min": min(values),
                    "max": max(values),
                    "n": len(values),
                    "origin": test.origins.get(f"{stage}.{metric}" if stage else metric),
                }
                for metric, values in metrics.items()
            }
            for stage, metrics in test.stages.items()
        },
        "parts": parts_json(inclusive(test.composition)),
        "outcomes": dict(test.outcomes),
    }
    return shown | ({"calls": [call_json(call) for call in test.calls]} if calls else {})


SHOW = Command("show", "show a baseline, a reference or a report as a person reads it", _arguments, _run)
