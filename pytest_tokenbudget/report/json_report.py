"""The JSON report: the view of a run in the shape that other programs rely on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_tokenbudget.explain.cache_prefix import find_break
from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.advice import Advice, SchemaAnatomy
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Cause, StageComposition, inclusive
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import Before, ExactPart, GateResult, TestResult
from pytest_tokenbudget.report.figures import mean_values
from pytest_tokenbudget.report.formats import RunView

if TYPE_CHECKING:
    from pytest_tokenbudget.report.json_shape import (
        AdviceJson,
        BeforeJson,
        CallJson,
        CauseJson,
        ExactPartJson,
        GateJson,
        PartJson,
        RunJson,
        SchemaJson,
        TestJson,
        UnattributedJson,
    )

FORMAT: Literal[1] = 1


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


def run_json(run: RunView) -> RunJson:
    """The JSON report of a run (format 1, see ``docs/report.md``)."""
    return {
        "format": FORMAT,
        "generator": f"pytest-tokenbudget {run.version}",
        "mode": run.mode,
        "verdict": run.verdict,
        "exit_ok": run.exit_ok,
        "tests": [test_json(result) for result in run.results],
        "unattributed": unattributed_json(run.results),
        "watched": sorted({client for result in run.results for client in result.watched}),
        "advice": [advice_json(advice) for advice in run.advice],
        "messages": [*run.messages, *run.problems],
    }


def advice_json(advice: Advice) -> AdviceJson:
    """One advice."""
    return {
        "kind": advice.kind,
        "stage": advice.stage,
        "part": advice.part,
        "name": advice.name,
        "tokens": advice.tokens,
        "cost": advice.cost,
        "seconds": advice.seconds,
        "share": advice.share,
        "sure": advice.sure,
        "text": advice.text,
        "tests": list(advice.tests),
        "recounted": advice.recounted,
    }


def test_json(result: TestResult) -> TestJson:
    """One test of the JSON report."""
    last = result.samples[-1] if result.samples else Sample()
    shown: TestJson = {
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
        "gates": [gate_json(gate) for gate in result.gates],
        "stages": {
            stage: mean_values([sample.stages.get(stage, {}) for sample in result.samples])
            for stage in sorted({stage for sample in result.samples for stage in sample.stages})
        },
        "total": mean_values([sample.total for sample in result.samples]),
        "composition": {stage: composition_json(parts) for stage, parts in inclusive(last.composition).items()},
        "parts": parts_json(last.composition),
        "schemas": {name: schema_json(anatomy) for name, anatomy in sorted(last.schemas.items())},
        "cache_breaks": {
            stage: {"part": found.part, "tokens": found.behind, "text": found.text}
            for stage, parts in inclusive(last.composition).items()
            if (found := find_break(parts)) is not None
        },
        "before": None if result.before is None else before_json(result.before),
        "causes": [cause_json(cause) for cause in result.causes],
        "provider_pace": [
            {
                "model": pace.model,
                "provider": pace.provider,
                "ratio": pace.ratio,
                "lower": pace.lower,
                "upper": pace.upper,
                "calls": pace.calls,
            }
            for pace in result.paces
        ],
        "calls": [call_json(call) for call in last.calls],
        "outcomes": last.outcomes,
        "turns": [{"turn": turn.number, **turn.values} for turn in last.turns],
        "own_time": last.own_time,
        "paid": [call_json(call) for call in last.paid],
        "unattributed": unattributed_json([result]),
        "messages": [*result.notices, *result.messages],
    }
    if len(result.samples) > 1:
        shown["samples_detail"] = [
            {
                "stages": s.stages,
                "total": s.total,
                "outcomes": s.outcomes,
                "calls": [call_json(call) for call in s.calls],
            }
            for s in result.samples
        ]
    return shown


def unattributed_json(results: Iterable[TestResult]) -> list[UnattributedJson]:
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


def gate_json(gate: GateResult) -> GateJson:
    """One gate."""
    return {
        "metric": gate.metric,
        "statistic": gate.statistic,
        "unit": gate.unit,
        "rule": gate.rule,
        "kind": gate.kind,
        "baseline": gate.baseline,
        "value": gate.value,
        "allowed": gate.allowed,
        "change": gate.change,
        "verdict": gate.verdict,
        "exact": gate.exact,
        "lower": gate.lower,
        "upper": gate.upper,
        "detectable": gate.detectable,
        "samples": gate.samples,
        "sigma": gate.sigma,
        "p": gate.p,
        "reason": gate.reason,
        "source": gate.source,
        "creep": gate.drift,
        "drift": gate.drift,
        "exact_part": _exact_part_json(gate.exact_part),
        "learning": gate.learning,
    }


def _exact_part_json(part: ExactPart | None) -> ExactPartJson | None:
    if part is None:
        return None
    return {"baseline": part.baseline, "value": part.value, "calls": part.calls}


def call_json(call: Call) -> CallJson:
    """One call or failed attempt."""
    return {
        "stage": call.stage,
        "provider": call.provider,
        "api": call.api,
        "operation": call.operation,
        "model": call.model,
        "stream": call.stream,
        "status": call.status,
        "error": call.error,
        "attempt": call.attempt,
        "started": call.started,
        "latency": call.latency,
        "ttft": call.ttft,
        "input_tokens": call.usage.input_tokens,
        "output_tokens": call.usage.output_tokens,
        "cached_input_tokens": call.usage.cached_input_tokens,
        "cache_write_tokens": call.usage.cache_write_tokens,
        "reasoning_tokens": call.usage.reasoning_tokens,
        "input_source": call.input_source,
        "output_source": call.output_source,
        "offered_tools": _offered_tools(call),
        "max_output_tokens": call.max_output_tokens,
        "tool_calls": list(call.tool_calls),
        "server_tool_calls": list(call.server_tool_calls),
        "finish_reason": call.finish_reason,
        "cost": call.cost,
        "estimated": call.estimated,
    }


def _offered_tools(call: Call) -> int | None:
    """Number of tools that a call's request offers; ``None`` where the request could not be read."""
    if call.composition is None:
        return None
    return len({piece.name for piece in call.composition.pieces if piece.part == "tools"})


def composition_json(composition: StageComposition) -> dict[str, int | dict[str, int]]:
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


def parts_json(composition: Mapping[str, StageComposition]) -> dict[str, list[PartJson]]:
    """The parts of the input of each stage's own calls, with how often each was sent and how much of it again."""
    return {
        stage: [
            {
                "part": part.part,
                "name": part.name,
                "tokens": part.tokens,
                "calls": part.calls,
                "distinct": part.distinct,
                "largest": part.largest,
                "digest": part.digest,
                "repeated_tokens": part.repeated_tokens,
            }
            for part in parts.parts
        ]
        for stage, parts in sorted(composition.items())
    }


def schema_json(anatomy: SchemaAnatomy) -> SchemaJson:
    """Give the parts of a tool's schema."""
    return {
        "tokens": anatomy.tokens,
        "description_tokens": anatomy.description_tokens,
        "repeated_tokens": anatomy.repeated_tokens,
        "enum_tokens": anatomy.enum_tokens,
        "example_tokens": anatomy.example_tokens,
        "largest_field": anatomy.largest_field,
        "largest_field_tokens": anatomy.largest_field_tokens,
    }


def before_json(before: Before) -> BeforeJson:
    """The stored run that a test was compared with."""
    return {
        "total": before.total,
        "stages": dict(sorted(before.stages.items())),
        "parts": parts_json(before.composition),
    }


def cause_json(cause: Cause) -> CauseJson:
    """One cause."""
    return {
        "metric": cause.metric,
        "stage": cause.stage,
        "part": cause.part,
        "name": cause.name,
        "delta": cause.delta,
        "text": cause.text,
        "diff": list(cause.diff),
    }
