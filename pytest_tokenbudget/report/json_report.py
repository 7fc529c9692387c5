"""The JSON report: the view of a run in the shape that other programs rely on, which ``json_shape.py`` declares."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from pytest_tokenbudget.explain.cache_prefix import find_break
from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition, inclusive
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, RunView, TestResult
from pytest_tokenbudget.report import json_shape as shape
from pytest_tokenbudget.report.figures import by_stage, mean_values
from pytest_tokenbudget.report.formats import REPORT_FORMAT


def write(run: RunView, path: Path) -> None:
    """Write the report; folders are made as needed."""
    write_atomically(path, report_text(run).encode("utf-8", "backslashreplace") + b"\n")


def report_text(run: RunView) -> str:
    """The report as text."""
    return json.dumps(_finite(run_json(run)), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """Put ``null`` in the place of every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _told(record: object, of: Any, **given: Any) -> Any:
    """What a shape names of a record, in its order; ``given`` is what has another name or form there."""
    told = {name: given[name] if name in given else getattr(record, name) for name in of.__annotations__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def run_json(run: RunView) -> shape.RunJson:
    """The JSON report of a run (format 1, see ``docs/report.md``)."""
    return {
        "format": REPORT_FORMAT,
        "generator": f"pytest-tokenbudget {run.version}",
        "mode": run.mode,
        "verdict": run.verdict,
        "exit_ok": run.exit_ok,
        "tests": [test_json(result) for result in run.results],
        "unattributed": _unattributed(run.results),
        "watched": sorted({client for result in run.results for client in result.watched}),
        "advice": [advice_json(advice) for advice in run.advice],
        "messages": [*run.messages, *run.problems],
    }


def advice_json(advice: Advice) -> shape.AdviceJson:
    """One advice."""
    told: shape.AdviceJson = _told(advice, shape.AdviceJson)
    return told


def test_json(result: TestResult) -> shape.TestJson:
    """One test of the JSON report."""
    last = result.samples[-1] if result.samples else Sample()
    inputs = inclusive(last.composition)
    stages = {stage: mean_values(figures) for stage, figures in by_stage(result.samples).items()}
    total = stages.pop("")
    shown: shape.TestJson = {
        "nodeid": result.nodeid,
        "verdict": result.verdict,
        "passed": result.passed,
        "failed": result.failed,
        "samples": len(result.samples),
        "traffic": last.traffic,
        "against": result.against,
        "compared_with": result.compared_with,
        "line": result.line,
        "runs_per_month": result.runs_per_month,
        "gates": [_gate(gate) for gate in result.gates],
        "stages": stages,
        "total": total,
        "composition": {stage: _composition(parts) for stage, parts in inputs.items()},
        "parts": parts_json(last.composition),
        "schemas": {name: _told(anatomy, shape.SchemaJson) for name, anatomy in sorted(last.schemas.items())},
        "cache_breaks": {
            stage: {"part": found.part, "tokens": found.behind, "text": found.text}
            for stage, parts in inputs.items()
            if (found := find_break(parts)) is not None
        },
        "before": None
        if result.before is None
        else {
            "total": result.before.total,
            "stages": dict(sorted(result.before.stages.items())),
            "parts": parts_json(result.before.composition),
        },
        "causes": [_told(cause, shape.CauseJson) for cause in result.causes],
        "provider_pace": [_told(pace, shape.PaceJson) for pace in result.paces],
        "calls": [call_json(call) for call in last.calls],
        "outcomes": last.outcomes,
        "turns": [{"turn": turn.number, **turn.values} for turn in last.turns],
        "own_time": last.own_time,
        "paid": [call_json(call) for call in last.paid],
        "unattributed": _unattributed([result]),
        "messages": [*result.notices, *result.messages],
    }
    if len(result.samples) > 1:
        shown["samples_detail"] = [
            _told(sample, shape.SampleJson, calls=[call_json(call) for call in sample.calls])
            for sample in result.samples
        ]
    return shown


def _unattributed(results: Iterable[TestResult]) -> list[shape.UnattributedJson]:
    """The requests of all samples that look like model calls and that no format reads, added up."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for result in results:
        for sample in result.samples:
            for seen in sample.unattributed:
                counts[seen.host, seen.path, seen.reason] += seen.count
    return [
        {"host": host, "path": path, "reason": reason, "count": count}
        for (host, path, reason), count in sorted(counts.items())
    ]


def _gate(gate: GateResult) -> shape.GateJson:
    exact_part = None if gate.exact_part is None else _told(gate.exact_part, shape.ExactPartJson)
    told: shape.GateJson = _told(gate, shape.GateJson, creep=gate.drift, exact_part=exact_part)
    return told


def call_json(call: Call) -> shape.CallJson:
    """One call or failed attempt."""
    told: shape.CallJson = _told(call, shape.CallJson, offered_tools=_offered_tools(call), **asdict(call.usage))
    return told


def _offered_tools(call: Call) -> int | None:
    """Number of tools that a call's request offers; ``None`` where the request could not be read."""
    if call.composition is None:
        return None
    return len({piece.name for piece in call.composition.pieces if piece.part == "tools"})


def _composition(composition: StageComposition) -> dict[str, int | dict[str, int]]:
    """Give the composition of a stage's input: tokens by part, and by name for tools and their results."""
    plain: dict[str, int] = {}
    named: dict[str, dict[str, int]] = {}
    for part in composition.parts:
        if part.part in ("tools", "tool_results"):
            group = named.setdefault(part.part, {})
            group[part.name] = group.get(part.name, 0) + part.tokens
        else:
            plain[part.part] = plain.get(part.part, 0) + part.tokens
    return {**plain, **named}


def parts_json(composition: Mapping[str, StageComposition]) -> dict[str, list[shape.PartJson]]:
    """The parts of the input of each stage's own calls, with how often each was sent and how much of it again."""
    return {
        stage: [_told(part, shape.PartJson) for part in parts.parts] for stage, parts in sorted(composition.items())
    }
