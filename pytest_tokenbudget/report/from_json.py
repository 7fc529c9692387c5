"""Read a JSON report back into the view that every other format is made from.

A report may come from a job that runs code of strangers (a pull request from a fork), so nothing in it is trusted: each field
is checked for the type that its record declares, and unknown words are refused. Only the standard library is needed, so that a CI job can render a report
without installing anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.records.advice import Advice, SchemaAnatomy
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Cause, PartTotal, StageComposition
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.records.sample import Sample, Traffic, Turn, Values
from pytest_tokenbudget.records.verdict import Before, ExactPart, GateResult, RunView, TestResult, Verdict
from pytest_tokenbudget.report.figures import unit_of
from pytest_tokenbudget.report.formats import REPORT_FORMAT
from pytest_tokenbudget.settings import Mode

LARGEST_REPORT = 256 * 2**20
"""Bytes of a report that are read: 2,000 tests take about 50 MiB."""

_REMEDY = "write it with `pytest --tokenbudget-report=report.json`"

T = TypeVar("T")
_Json = Mapping[str, Any]
_Texts = tuple[str, ...]


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
        raise ReportError(f"{path}: {error.strerror or 'cannot be read'}", remedy=_REMEDY) from None
    return parse_report(data, str(path))


def parse_report(data: bytes, name: str) -> RunView:
    """The run that a report's bytes tell of.

    Raises:
        ReportError: If they are no report of this format; the message says which field is wrong.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ReportError(f"{name}: is not JSON", remedy=_REMEDY) from None
    if isinstance(document, dict) and isinstance(document.get("format"), int) and document["format"] > REPORT_FORMAT:
        raise ReportError(
            f"{name}: was written in format {document['format']}, which this version does not know",
            remedy="install the version that wrote it: pip install --upgrade pytest-tokenbudget",
        )
    try:
        return _run(_checked(document, dict, "the report"))
    except _Wrong as wrong:
        raise ReportError(f"{name}: is no report of pytest-tokenbudget: {wrong}", remedy=_REMEDY) from None


class _Wrong(ValueError):
    """A field that does not have its type; the text names it."""


def _run(report: _Json) -> RunView:
    if report.get("format") != REPORT_FORMAT:
        raise _Wrong(f"format is {report.get('format')!r}")
    watched = _field(report, "watched", _Texts, [])
    results = tuple(_test(test, watched) for test in _objects(report, "tests"))
    run = RunView(
        version=_field(report, "generator", str).rpartition(" ")[2],
        mode=_field(report, "mode", Mode),
        results=results,
        messages=_field(report, "messages", _Texts, []),
        advice=_records(Advice, report, "advice"),
        ended_ok=bool(report.get("exit_ok")) or any(result.failed or not result.passed for result in results),
    )
    verdict: Verdict = _field(report, "verdict", Verdict)
    if run.verdict != verdict:
        # The verdict on the whole suite has no field of its own: it is what makes the run worse than its tests.
        run = replace(run, suite=(verdict,))
    return run


def _test(test: _Json, watched: _Texts) -> TestResult:
    before = _field(test, "before", dict | None)
    return TestResult(
        nodeid=_field(test, "nodeid", str),
        verdict=_field(test, "verdict", Verdict),
        gates=tuple(map(_gate, _objects(test, "gates"))),
        samples=tuple(_samples(test)),
        causes=_records(Cause, test, "causes"),
        messages=_field(test, "messages", _Texts, []),
        passed=_field(test, "passed", bool, True),
        failed=_field(test, "failed", bool, False),
        against=_field(test, "against", str, "baseline"),
        compared_with=_field(test, "compared_with", str, ""),
        line=_field(test, "line", int | None),
        watched=watched,
        before=None if before is None else Before(_total(before), _stages(before), _compositions(before)),
        runs_per_month=_field(test, "runs_per_month", float | None),
    )


def _samples(test: _Json) -> list[Sample]:
    """The samples; what only the last one has (its parts, its turns) stands with that one."""
    details = _objects(test, "samples_detail")
    if not details and not test.get("samples", 1):
        return []
    schemas: _Json = _field(test, "schemas", dict, {})
    *earlier, last = [_sample(figures, test) for figures in details or [test]]
    last = replace(
        last,
        composition=_compositions(test),
        paid=tuple(map(_call, _objects(test, "paid"))),
        unattributed=_records(Unattributed, test, "unattributed"),
        turns=tuple(_turn(turn, index) for index, turn in enumerate(_objects(test, "turns"), 1)),
        schemas={name: _record(SchemaAnatomy, _checked(said, dict, name)) for name, said in schemas.items()},
        own_time=_field(test, "own_time", float | None),
    )
    return [*earlier, last]


def _sample(figures: _Json, test: _Json) -> Sample:
    return Sample(
        calls=tuple(map(_call, _objects(figures, "calls"))),
        total=_total(figures),
        stages=_stages(figures),
        outcomes=_field(figures, "outcomes", dict, {}),
        traffic=_field(test, "traffic", Traffic, "live"),
    )


def _turn(turn: _Json, index: int) -> Turn:
    values = _values(turn, "turns")
    return Turn(int(values.pop("turn", None) or index), values)


def _total(figures: _Json) -> Values:
    return _values(figures.get("total", {}), "total")


def _stages(figures: _Json) -> dict[str, Values]:
    return {stage: _values(values, "stages") for stage, values in _field(figures, "stages", dict, {}).items()}


def _values(figures: object, name: str) -> Values:
    return {key: _checked(value, float | None, name) for key, value in _checked(figures, dict, name).items()}


def _compositions(figures: _Json) -> dict[str, StageComposition]:
    stages: _Json = _field(figures, "parts", dict, {})
    found = {stage: _records(PartTotal, stages, stage) for stage in stages}
    return {
        stage: StageComposition(calls=max((part.calls for part in parts), default=0), counted=parts)
        for stage, parts in found.items()
    }


def _gate(gate: _Json) -> GateResult:
    part = _field(gate, "exact_part", dict | None)
    return _record(
        GateResult,
        gate,
        unit=_field(gate, "unit", Unit, unit_of(_field(gate, "metric", str))),
        exact_part=None if part is None else _record(ExactPart, part),
    )


def _call(call: _Json) -> Call:
    return _record(Call, call, usage=_record(Usage, call))


def _records(kind: type[T], holder: _Json, key: str) -> tuple[T, ...]:
    return tuple(_record(kind, said) for said in _objects(holder, key))


def _record(kind: type[T], said: _Json, **given: Any) -> T:
    """A record by the names and types of its fields; what a report of an older version does not tell has a default."""
    values = dict(given)
    for field in fields(kind):  # type: ignore[arg-type]  # all of them are dataclasses
        if field.name not in given and (field.name in said or field.default is MISSING):
            of = _TYPES[kind][field.name]
            values[field.name] = _field(said, field.name, of, _ABSENT.get(of) if field.name != "metric" else None)
    return kind(**values)


_RECORDS: tuple[type, ...] = (Advice, Call, Cause, ExactPart, GateResult, PartTotal, SchemaAnatomy, Unattributed, Usage)
_ABSENT: Mapping[Any, Any] = {str: "", int: 0, float: 0.0, float | int: 0}
_TYPES: Mapping[type, Mapping[str, Any]] = {kind: get_type_hints(kind) for kind in _RECORDS}


def _objects(holder: _Json, key: str) -> list[_Json]:
    return [_checked(one, dict, key) for one in _field(holder, key, list, [])]


def _field(holder: _Json, key: str, kind: Any, default: Any = None) -> Any:
    return _checked(holder.get(key, default), kind, key)


_WORDS = {str: "text", bool: "truth value", dict: "object", list: "list"}


def _checked(value: Any, kind: Any, name: str) -> Any:
    """A value that has a type; a list becomes a tuple where that is the type.

    Raises:
        _Wrong: If it has another one.
    """
    if get_origin(kind) in (Union, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        kind = float if float in get_args(kind) else get_args(kind)[0]
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise _Wrong(f"{name} is no number")
        return int(value) if kind is int else value
    if get_origin(kind) is tuple:
        return tuple(_checked(one, get_args(kind)[0], name) for one in _checked(value, list, name))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise _Wrong(f"{name} is {value!r}")
    elif not isinstance(value, kind):
        raise _Wrong(f"{name} is no {_WORDS.get(kind, kind.__name__)}")
    return value
