"""What the tests of a report show: the evidence that advice is found in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_tokenbudget.explain.advice import advise
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.advice import (
    Advice,
    CacheBreak,
    CallEvidence,
    PartEvidence,
    SchemaAnatomy,
    StageEvidence,
    TestEvidence,
)
from pytest_tokenbudget.records.production import Production
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.from_json import read_report
from pytest_tokenbudget.report.json_report import test_json

MILLION = 1_000_000


def read_tests(path: Path) -> list[dict[str, Any]]:
    """The tests of a JSON report.

    Raises:
        ReportError: If the file cannot be read or is no report.
    """
    read_report(path)  # checks every field that is read here
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["tests"]
    return found


def advice_of(results: Iterable[TestResult], prices: PriceBook) -> tuple[Advice, ...]:
    """What the tests of a run could save."""
    return advise(evidence_of([{**test_json(result)} for result in results], prices))


def evidence_of(tests: Iterable[Mapping[str, Any]], prices: PriceBook) -> tuple[TestEvidence, ...]:
    """What tests of a report show; tests without calls are left out."""
    return tuple(_test(test, prices) for test in tests if test["calls"])


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
    price = cached = None
    if rate is not None:
        read = call["input_tokens"] or 0
        price = float(rate.input.at(read) / MILLION)
        cached = float(rate.cached.at(read) / MILLION) if rate.cached is not None else None
    return CallEvidence(
        stage=call["stage"],
        provider=call["provider"],
        model=call["model"],
        started=call["started"],
        latency=call["latency"],
        input_tokens=call["input_tokens"],
        output_tokens=call["output_tokens"],
        cached_input_tokens=call["cached_input_tokens"],
        reasoning_tokens=call["reasoning_tokens"],
        tool_calls=tuple(call["tool_calls"]),
        offered_tools=call.get("offered_tools"),
        finish_reason=call["finish_reason"],
        failed=call["error"] is not None,
        cost=call["cost"],
        input_price=price,
        cached_price=cached,
    )


def _stage(path: str, paths: Sequence[str], test: Mapping[str, Any]) -> StageEvidence:
    """A stage's own parts; its fresh input is given with that of the stages inside it, which is taken off."""
    own = tuple(
        PartEvidence(
            part["part"], part["name"], part["tokens"], part["calls"], part["largest"], part["repeated_tokens"]
        )
        for part in test["parts"][path]
        if part["tokens"] > 0
    )
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
