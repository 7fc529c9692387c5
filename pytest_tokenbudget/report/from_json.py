"""Read a JSON report back into the view that every other format is made from.

A report may come from a job that runs code of strangers (a pull request from a fork), so nothing in it is trusted: each field
is checked for its type and unknown words are refused. Only the standard library is needed, so that a CI job can render a report
without installing anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.records.advice import Advice, AdviceKind, Certainty, SchemaAnatomy
from pytest_tokenbudget.records.call import Call, Operation, Source, Usage
from pytest_tokenbudget.records.composition import PART_NAMES, Cause, PartTotal, StageComposition
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.gate import GateKind, Unit
from pytest_tokenbudget.records.sample import Sample, Traffic, Turn, Values
from pytest_tokenbudget.records.verdict import SEVERITY, Before, GateResult, TestResult, Verdict
from pytest_tokenbudget.report.figures import unit_of
from pytest_tokenbudget.report.formats import RunView
from pytest_tokenbudget.report.json_report import FORMAT

LARGEST_REPORT = 256 * 2**20
"""Bytes of a report that are read: 2,000 tests take about 50 MiB."""

T = TypeVar("T")
_Json = Mapping[str, Any]


def read_report(path: Path) -> RunView:
    """Read a report that ``--tokenbudget-report=report.json`` wrote.

    Raises:
        ReportError: If the file cannot be read or is no report of this format.
    """
    try:
        if path.stat().st_size > LARGEST_REPORT:
            raise ReportError(f"{path}: larger than {LARGEST_REPORT:,} bytes", remedy="report fewer tests in a file")
        data = path.read_bytes()
    except OSError as error:
        raise ReportError(
            f"{path}: {error.strerror or 'cannot be read'}",
            remedy="write it with `pytest --tokenbudget-report=report.json`",
        ) from None
    return parse_report(data, str(path))


def parse_report(data: bytes, name: str) -> RunView:
    """The run that a report's bytes tell of.

    Args:
        data: The bytes of the file.
        name: Its name, for messages.

    Raises:
        ReportError: If they are no report of this format; the message says which field is wrong.
    """
    remedy = "write it with `pytest --tokenbudget-report=report.json`"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ReportError(f"{name}: is not JSON", remedy=remedy) from None
    if isinstance(document, dict) and isinstance(document.get("format"), int) and document["format"] > FORMAT:
        raise ReportError(
            f"{name}: was written in format {document['format']}, which this version does not know",
            remedy="install the version that wrote it: pip install --upgrade pytest-tokenbudget",
        )
    try:
        return _run(_mapping(document, "the report"))
    except _Wrong as wrong:
        raise ReportError(f"{name}: is no report of pytest-tokenbudget: {wrong}", remedy=remedy) from None


class _Wrong(ValueError):
    """A field that does not have its type; the text names it."""


def _run(report: _Json) -> RunView:
    if report.get("format") != FORMAT:
        raise _Wrong(f"format is {report.get('format')!r}")
    watched = tuple(_texts(report, "watched"))
    results = tuple(_test(_mapping(test, "tests"), watched) for test in _list(report, "tests"))
    run = RunView(
        version=_text(report, "generator").rpartition(" ")[2],
        mode=_word(report, "mode", ("gate", "report", "off")),
        results=results,
        messages=tuple(_texts(report, "messages")),
        advice=tuple(_advice(_mapping(advice, "advice")) for advice in _list(report, "advice")),
        ended_ok=bool(report.get("exit_ok")) or any(result.failed or not result.passed for result in results),
    )
    verdict: Verdict = _word(report, "verdict", SEVERITY)
    if run.verdict != verdict:
        # The verdict on the whole suite has no field of its own: it is what makes the run worse than its tests.
        run = replace(run, suite=(verdict,))
    return run


def _test(test: _Json, watched: tuple[str, ...]) -> TestResult:
    before = test.get("before")
    line = test.get("line")
    return TestResult(
        nodeid=_text(test, "nodeid"),
        verdict=_word(test, "verdict", SEVERITY),
        gates=tuple(_gate(_mapping(gate, "gates")) for gate in _list(test, "gates")),
        samples=tuple(_samples(test)),
        causes=tuple(_cause(_mapping(cause, "causes")) for cause in _list(test, "causes")),
        messages=tuple(_texts(test, "messages")),
        passed=bool(test.get("passed", True)),
        failed=bool(test.get("failed")),
        against=_text(test, "against", "baseline"),
        compared_with=_text(test, "compared_with", ""),
        line=line if isinstance(line, int) else None,
        watched=watched,
        before=None if before is None else _before(_mapping(before, "before")),
        runs_per_month=_number(test.get("runs_per_month"), "runs_per_month"),
    )


def _samples(test: _Json) -> list[Sample]:
    """The samples; what only the last one has (its parts, its turns) stands with that one."""
    details = [_mapping(sample, "samples_detail") for sample in _list(test, "samples_detail")]
    if not details and not test.get("samples", 1):
        return []
    shared: dict[str, Any] = {"traffic": _word(test, "traffic", get_args(Traffic), default="live")}
    last: dict[str, Any] = shared | {
        "composition": _compositions(test, "parts"),
        "paid": tuple(_call(_mapping(call, "paid")) for call in _list(test, "paid")),
        "unattributed": tuple(_unattributed(_mapping(seen, "unattributed")) for seen in _list(test, "unattributed")),
        "turns": tuple(_turns(test)),
        "schemas": {
            str(name): _anatomy(_mapping(found, "schemas"))
            for name, found in _mapping(test.get("schemas", {}), "schemas").items()
        },
        "own_time": _number(test.get("own_time"), "own_time"),
    }
    if not details:
        return [_sample(test, last)]
    return [_sample(detail, shared) for detail in details[:-1]] + [_sample(details[-1], last)]


def _sample(figures: _Json, more: Mapping[str, Any]) -> Sample:
    return Sample(
        calls=tuple(_call(_mapping(call, "calls")) for call in _list(figures, "calls")),
        total=_values(figures.get("total", {}), "total"),
        stages=_stages(figures),
        outcomes=dict(_mapping(figures.get("outcomes", {}), "outcomes")),
        **more,
    )


def _turns(test: _Json) -> list[Turn]:
    turns = []
    for index, values in enumerate(_list(test, "turns"), 1):
        figures = _values(values, "turns")
        number = figures.pop("turn", None)
        turns.append(Turn(int(number) if number is not None else index, figures))
    return turns


def _before(before: _Json) -> Before:
    return Before(_values(before.get("total", {}), "before.total"), _stages(before), _compositions(before, "parts"))


def _stages(figures: _Json) -> dict[str, Values]:
    stages = _mapping(figures.get("stages", {}), "stages")
    return {str(stage): _values(values, "stages") for stage, values in stages.items()}


def _compositions(figures: _Json, key: str) -> dict[str, StageComposition]:
    found = {}
    for stage, parts in _mapping(figures.get(key, {}), key).items():
        if not isinstance(parts, list):
            raise _Wrong(f"{key} is no list")
        totals = tuple(_part(_mapping(part, key)) for part in parts)
        found[str(stage)] = StageComposition(
            calls=max((part.calls for part in totals), default=0),
            counted=totals,
        )
    return found


def _part(part: _Json) -> PartTotal:
    return PartTotal(
        part=_word(part, "part", PART_NAMES),
        name=_text(part, "name", ""),
        tokens=_count(part, "tokens"),
        calls=_count(part, "calls"),
        distinct=_count(part, "distinct"),
        largest=_count(part, "largest"),
        digest=_text(part, "digest", ""),
        repeated_tokens=_count(part, "repeated_tokens"),
    )


def _advice(advice: _Json) -> Advice:
    return Advice(
        kind=_word(advice, "kind", get_args(AdviceKind)),
        stage=_text(advice, "stage", ""),
        part=_text(advice, "part", ""),
        name=_text(advice, "name", ""),
        tokens=_count(advice, "tokens"),
        cost=_number(advice.get("cost"), "cost"),
        seconds=_number(advice.get("seconds"), "seconds"),
        share=_number(advice.get("share"), "share") or 0.0,
        sure=_word(advice, "sure", get_args(Certainty)),
        text=_text(advice, "text", ""),
        tests=tuple(_texts(advice, "tests")),
        recounted=bool(advice.get("recounted")),
    )


def _anatomy(schema: _Json) -> SchemaAnatomy:
    return SchemaAnatomy(
        tokens=_count(schema, "tokens"),
        description_tokens=_count(schema, "description_tokens"),
        repeated_tokens=_count(schema, "repeated_tokens"),
        enum_tokens=_count(schema, "enum_tokens"),
        example_tokens=_count(schema, "example_tokens"),
        largest_field=_text(schema, "largest_field", ""),
        largest_field_tokens=_count(schema, "largest_field_tokens"),
    )


def _gate(gate: _Json) -> GateResult:
    figure: Callable[[str], float | int | None] = lambda key: _number(gate.get(key), key)  # noqa: E731  # nine times below
    return GateResult(
        metric=_text(gate, "metric"),
        statistic=_text(gate, "statistic", "mean"),
        rule=_text(gate, "rule", ""),
        kind=_word(gate, "kind", get_args(GateKind)),
        baseline=figure("baseline"),
        value=figure("value"),
        verdict=_word(gate, "verdict", SEVERITY),
        exact=bool(gate.get("exact", True)),
        lower=figure("lower"),
        upper=figure("upper"),
        detectable=figure("detectable"),
        samples=_count(gate, "samples", 1),
        sigma=figure("sigma"),
        p=figure("p"),
        reason=_text(gate, "reason", ""),
        source=_text(gate, "source", ""),
        allowed=figure("allowed"),
        unit=_word(gate, "unit", get_args(Unit), default=unit_of(_text(gate, "metric"))),
    )


def _cause(cause: _Json) -> Cause:
    return Cause(
        metric=_text(cause, "metric"),
        stage=_text(cause, "stage", ""),
        part=_text(cause, "part", ""),
        name=_text(cause, "name", ""),
        delta=_number(cause.get("delta"), "delta") or 0,
        text=_text(cause, "text", ""),
        diff=tuple(_texts(cause, "diff")),
    )


def _call(call: _Json) -> Call:
    tokens: Callable[[str], int | None] = lambda key: None if call.get(key) is None else _count(call, key)  # noqa: E731  # five times below
    sources = get_args(Source)
    error, finish = call.get("error"), call.get("finish_reason")
    return Call(
        stage=_text(call, "stage", ""),
        provider=_text(call, "provider", ""),
        api=_text(call, "api", ""),
        operation=_word(call, "operation", get_args(Operation), default="chat"),
        model=_text(call, "model", ""),
        stream=bool(call.get("stream")),
        status=call.get("status") if isinstance(call.get("status"), int) else None,
        error=None if error is None else str(error),
        attempt=_count(call, "attempt"),
        started=_number(call.get("started"), "started") or 0.0,
        latency=_number(call.get("latency"), "latency") or 0.0,
        ttft=_number(call.get("ttft"), "ttft"),
        usage=Usage(
            tokens("input_tokens"),
            tokens("output_tokens"),
            tokens("cached_input_tokens"),
            tokens("cache_write_tokens"),
            tokens("reasoning_tokens"),
        ),
        input_source=_word(call, "input_source", sources) if call.get("input_source") else None,
        output_source=_word(call, "output_source", sources) if call.get("output_source") else None,
        tool_calls=tuple(_texts(call, "tool_calls")),
        server_tool_calls=tuple(_texts(call, "server_tool_calls")),
        finish_reason=None if finish is None else str(finish),
        max_output_tokens=tokens("max_output_tokens"),
        cost=_number(call.get("cost"), "cost"),
        estimated=bool(call.get("estimated")),
    )


def _unattributed(seen: _Json) -> Unattributed:
    return Unattributed(
        _text(seen, "host", ""),
        _text(seen, "path", ""),
        reason=_text(seen, "reason", ""),
        count=_count(seen, "count", 1),
    )


def _mapping(value: object, name: str) -> _Json:
    if not isinstance(value, dict):
        raise _Wrong(f"{name} is no object")
    return value


def _list(holder: _Json, key: str) -> list[Any]:
    value = holder.get(key, [])
    if not isinstance(value, list):
        raise _Wrong(f"{key} is no list")
    return value


def _texts(holder: _Json, key: str) -> list[str]:
    return [str(value) for value in _list(holder, key)]


def _text(holder: _Json, key: str, default: str | None = None) -> str:
    value = holder.get(key, default)
    if not isinstance(value, str):
        raise _Wrong(f"{key} is no text")
    return value


def _word(holder: _Json, key: str, allowed: tuple[T, ...], default: T | None = None) -> T:
    value = holder.get(key, default)
    if value not in allowed:
        raise _Wrong(f"{key} is {value!r}")
    return cast("T", value)


def _number(value: object, key: str) -> float | int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise _Wrong(f"{key} is no number")
    return value


def _count(holder: _Json, key: str, default: int = 0) -> int:
    value = _number(holder.get(key, default), key)
    return default if value is None else int(value)


def _values(value: object, name: str) -> Values:
    return {str(key): _number(figure, name) for key, figure in _mapping(value, name).items()}
