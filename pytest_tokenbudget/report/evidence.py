"""Gathers the evidence of a report's tests, in which advice is found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pytest_tokenbudget.explain.advice import advise
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.advice import (
    Advice,
    CacheBreak,
    CallEvidence,
    SchemaAnatomy,
    StageEvidence,
    TestEvidence,
)
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import PartTotal, StageComposition, split
from pytest_tokenbudget.records.production import Production
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.from_json import read_report
from pytest_tokenbudget.report.json_report import test_json
from pytest_tokenbudget.stats.statistic import mean

MILLION = 1_000_000


def read_tests(path: Path) -> list[dict[str, Any]]:
    """The tests of a JSON report.

    Raises:
        ReportError: If the file cannot be read or is no report.
    """
    run = read_report(path)
    told = json.loads(path.read_bytes())["tests"]
    return [_completed({**test_json(result)}, test) for result, test in zip(run.results, told, strict=True)]


def _completed(test: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """A test that was read back, with what only its report tells: tools offered a call, and broken cache prefixes."""
    for call, said in zip(test["calls"], told.get("calls", ()), strict=True):
        offered = said.get("offered_tools")
        call["offered_tools"] = offered if type(offered) is int else None
    breaks = told.get("cache_breaks")
    test["cache_breaks"] = {
        stage: found
        for stage, found in (breaks.items() if isinstance(breaks, dict) else ())
        if isinstance(found, dict)
        and type(found.get("tokens")) is int
        and all(isinstance(found.get(name), str) for name in ("part", "text"))
    }
    return test


def advice_of(results: Iterable[TestResult], prices: PriceBook) -> tuple[Advice, ...]:
    """Find what the tests of a run could save."""
    return advise(evidence_of([{**test_json(result)} for result in results], prices))


def evidence_of(tests: Iterable[Mapping[str, Any]], prices: PriceBook) -> tuple[TestEvidence, ...]:
    """Gather the evidence of a report's tests; tests without calls are left out."""
    return tuple(_test(test, prices) for test in tests if test["calls"])


def stored_evidence(nodeid: str, entry: BaselineEntry, prices: PriceBook) -> TestEvidence:
    """Gather the evidence of a test's baseline: what its calls carried, by stage, and each call as an even share of it."""
    model = entry.models[0] if len(entry.models) == 1 else ""
    provider = entry.providers[0] if len(entry.providers) == 1 else ""
    calls: list[CallEvidence] = []
    for path, own in sorted(entry.composition.items()):
        if own.calls:
            cost, seconds = (_own_mean(entry, path, name) for name in ("cost", "model_time"))
            shares = _call_shares(path, own, (provider, (*own.models, model)[0]), cost, seconds or 0.0, prices)
            calls += [replace(call, started=len(calls) + number) for number, call in enumerate(shares)]
    stages = tuple(
        StageEvidence(path, tuple(part for part in own.parts if part.tokens > 0), own.fresh_input_tokens)
        for path, own in sorted(entry.composition.items())
    )
    return TestEvidence(nodeid, tuple(calls), stages, entry.traffic, has_single_calls=False)


def _own_mean(entry: BaselineEntry, path: str, name: str) -> float | None:
    """A metric's mean in a stage without the stages inside it; ``None`` where it is not known."""
    inner = [other for other in entry.stages if other.rpartition("/")[0] == path]
    value, *others = [_mean(entry, f"{stage}.{name}") for stage in (path, *inner)]
    if value is None and len(entry.composition) == 1:
        value = _mean(entry, name)
    return None if value is None else max(0.0, value - sum(other or 0.0 for other in others))


def _mean(entry: BaselineEntry, key: str) -> float | None:
    record = entry.metrics.get(key)
    return float(mean(record.values)) if record is not None and record.values else None


def _call_shares(
    path: str,
    own: StageComposition,
    asked: tuple[str, str],
    cost: float | None,
    seconds: float,
    prices: PriceBook,
) -> list[CallEvidence]:
    """The calls of a stage, each an even share; those that called a tool are told by its results."""
    provider, model = asked
    count = own.calls
    results = {part.name: part.distinct for part in own.parts if part.part == "tool_results" and part.name}
    tools = len({part.name for part in own.parts if part.part == "tools"})
    inputs = split(own.input_tokens, [1] * count)
    outputs = split(own.output_tokens or 0, [1] * count)
    reasoned = split(own.reasoning_tokens or 0, [1] * count)
    rate = prices.rate(provider, model) if model else None
    return [
        CallEvidence(
            stage=path,
            provider=provider,
            model=model,
            started=0.0,
            latency=seconds / count,
            input_tokens=inputs[number],
            output_tokens=outputs[number],
            cached_input_tokens=None,
            reasoning_tokens=reasoned[number],
            tool_calls=tuple(name for name, made in results.items() if number < made),
            offered_tools=tools,
            finish_reason=None,
            failed=False,
            cost=None if cost is None else cost / count,
            input_price=None if rate is None else float(rate.input.at(inputs[number]) / MILLION),
            cached_price=None,
        )
        for number in range(count)
    ]


def _test(test: Mapping[str, Any], prices: PriceBook) -> TestEvidence:
    paths = sorted(path for path in test["parts"] if path)
    return TestEvidence(
        nodeid=test["nodeid"],
        calls=tuple(_call(call, prices) for call in sorted(test["calls"], key=lambda call: call["started"])),
        stages=tuple(_stage(path, paths, test) for path in paths),
        traffic=test["traffic"],
        schemas={name: SchemaAnatomy(**found) for name, found in test.get("schemas", {}).items()},
        breaks={
            stage: CacheBreak(found["part"], found["tokens"], found["text"])
            for stage, found in test.get("cache_breaks", {}).items()
        },
    )


def _call(call: Mapping[str, Any], prices: PriceBook) -> CallEvidence:
    rate = prices.rate(call["provider"], call["model"])
    read = call["input_tokens"] or 0
    told: dict[str, Any] = {field.name: call.get(field.name) for field in fields(CallEvidence)} | {
        "tool_calls": tuple(call["tool_calls"]),
        "failed": call["error"] is not None,
        "input_price": None if rate is None else float(rate.input.at(read) / MILLION),
        "cached_price": None if rate is None or rate.cached is None else float(rate.cached.at(read) / MILLION),
    }
    return CallEvidence(**told)


def _stage(path: str, paths: Sequence[str], test: Mapping[str, Any]) -> StageEvidence:
    """A stage's own parts; its fresh input is given with that of the stages inside it, which is taken off."""
    own = tuple(PartTotal(**part) for part in test["parts"][path] if part["tokens"] > 0)
    fresh = test["stages"].get(path, {}).get("fresh_input_tokens")
    for child in (other for other in paths if other.rpartition("/")[0] == path):
        inside = test["stages"].get(child, {}).get("fresh_input_tokens")
        fresh = None if fresh is None or inside is None else fresh - inside
    return StageEvidence(path, own, None if fresh is None else round(fresh))


def production_weights(tests: Sequence[TestEvidence], production: Production) -> dict[str, float]:
    """By stage, how many calls production makes in a run for one call that a test makes on average."""
    weights = {}
    for stage, metrics in production.stages.items():
        made = sum(call.stage == stage and not call.failed for test in tests for call in test.calls)
        own = metrics["calls"].mean if "calls" in metrics else 0.0
        inner = [path for path in production.stages if path.rpartition("/")[0] == stage and path != stage]
        own -= sum(production.stages[path]["calls"].mean for path in inner if "calls" in production.stages[path])
        if stage and made and own > 0:
            weights[stage] = own * len(tests) / made
    return weights
