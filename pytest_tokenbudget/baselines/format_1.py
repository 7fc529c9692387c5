"""Reads files of format 1, which release 0.1 wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_tokenbudget.baselines.document import to_document
from pytest_tokenbudget.baselines.observe import rounded_times
from pytest_tokenbudget.measure.metrics import RENAMED
from pytest_tokenbudget.providers.names import current_provider
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord, Number, Session
from pytest_tokenbudget.records.composition import PART_NAMES, PartTotal, StageComposition
from pytest_tokenbudget.records.gate import key_of, split_key
from pytest_tokenbudget.stats.statistic import mean

Json = dict[str, Any]

_ENTRY_KEYS = {"composition", "metrics", "models", "outcomes", "pooled", "providers", "sources", "traffic"}


def migrate(document: Json) -> Json:
    """Turn a document of format 1 into one of format 2.

    Raises:
        LookupError, TypeError, ValueError: If it is none.
    """
    if unknown := document.keys() - {"format", "tests"}:
        raise ValueError(f"the key {min(unknown)!r} is unknown")
    return {"tests": {key: to_document(_entry(test)) for key, test in document["tests"].items()}}


def _entry(test: Json) -> BaselineEntry:
    if test.keys() != _ENTRY_KEYS:
        raise ValueError(f"keys that are missing or unknown: {', '.join(sorted(test.keys() ^ _ENTRY_KEYS))}")
    metrics = {_renamed(key): _record(record) for key, record in test["metrics"].items()}
    # The time of 0.1 was the measured one.
    metrics |= {
        key_of(stage, "measured_latency"): record
        for key, record in metrics.items()
        for stage, name in [split_key(key)]
        if name == "latency"
    }
    pooled = {_renamed(key): _record(record) for key, record in test["pooled"].items()}
    stages = tuple(sorted(stage for stage in test["composition"] if stage))
    composition = {stage: _own(stage, stages, test["composition"]) for stage in stages}
    traffic = test["traffic"]
    return BaselineEntry(
        metrics=_rounded(metrics, stages, traffic),
        pooled={key: _sorted_calls(record, traffic) for key, record in pooled.items()},
        composition=composition,
        outcomes=test["outcomes"],
        traffic=traffic,
        sources=test["sources"],
        models=tuple(test["models"]),
        providers=tuple(sorted(map(current_provider, test["providers"]))),
    )


def _renamed(key: str) -> str:
    stage, name = split_key(key)
    return key_of(stage, RENAMED.get(name, name))


def _record(record: Json) -> MetricRecord:
    sessions = tuple(tuple(map(_number, session)) for session in record["sessions"])
    if not sessions or not all(sessions):
        raise ValueError("a metric without a value")
    origin = record["origin"]
    return MetricRecord(sessions, None if origin is None else _number(origin))


def _number(value: object) -> Number:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return value  # type: ignore[return-value]  # checked above; a bool is none here


def _rounded(records: Mapping[str, MetricRecord], stages: tuple[str, ...], traffic: str) -> dict[str, MetricRecord]:
    """Round the times as they are rounded today, sample by sample, as far as the samples stand side by side."""
    shape = max((tuple(map(len, record.sessions)) for record in records.values()), default=())
    aligned = {key for key, record in records.items() if tuple(map(len, record.sessions)) == shape}
    constant = {key: record.values[0] for key, record in records.items() if len(set(record.values)) == 1}
    done = [
        [
            rounded_times({**constant, **{key: records[key].sessions[i][j] for key in aligned}}, stages, traffic)
            for j in range(size)
        ]
        for i, size in enumerate(shape)
    ]
    found = {}
    for key, record in records.items():
        sessions: tuple[Session, ...]
        if key in aligned:
            sessions = tuple(tuple(sample[key] for sample in samples) for samples in done)
        else:
            sessions = tuple(tuple(rounded_times({key: v}, (), traffic)[key] for v in each) for each in record.sessions)
        sessions = sessions if any(map(any, sessions)) else ((0,),)
        found[key] = MetricRecord(sessions, _origin(record, sessions, key, traffic))
    return found


def _sorted_calls(record: MetricRecord, traffic: str) -> MetricRecord:
    sessions = tuple(
        tuple(sorted(rounded_times({"call_latency": value}, (), traffic)["call_latency"] for value in session))
        for session in record.sessions
    )
    return MetricRecord(sessions, _origin(record, sessions, "call_latency", traffic))


def _origin(record: MetricRecord, sessions: tuple[Session, ...], key: str, traffic: str) -> Number | None:
    """Round an origin; one that is the mean of the first session stays that."""
    if record.origin is None:
        return None
    if math.isclose(record.origin, math.fsum(record.sessions[0]) / len(record.sessions[0]), rel_tol=1e-9):
        return mean(sessions[0])
    return rounded_times({key: record.origin}, (), traffic)[key]


def _own(stage: str, stages: Iterable[str], compositions: Mapping[str, Json]) -> StageComposition:
    """Give a stage's composition without those of the stages inside it, which format 1 counts in.

    Tokens and calls are exact. The number of different contents and the largest one are those of the whole, as far as the
    parts do not exclude them: a sum cannot tell which of two stages a content came from.
    """
    whole = compositions[stage]
    inside = [compositions[path] for path in stages if path.rpartition("/")[0] == stage]
    taken: dict[tuple[str, str], list[Json]] = {}
    for part in (part for composition in inside for part in composition["parts"]):
        taken.setdefault((part["part"], part["name"]), []).append(part)
    kept = [_own_part(part, taken.get((part["part"], part["name"]), [])) for part in whole["parts"]]
    parts = [part for part in kept if part.calls > 0 or part.tokens > 0]
    fresh = whole["fresh_input_tokens"] - sum(each["fresh_input_tokens"] for each in inside)
    others = {model for each in inside for model in each["models"]}
    return StageComposition(
        calls=whole["calls"] - sum(each["calls"] for each in inside),
        counted=tuple(_in_prompt_order(_with_behind(parts, fresh), whole["prefix"])),
        output_tokens=_minus(whole["output_tokens"], [each["output_tokens"] for each in inside]),
        reasoning_tokens=_minus(whole["reasoning_tokens"], [each["reasoning_tokens"] or 0 for each in inside]),
        failed_attempts=whole["attempts"] - sum(each["attempts"] for each in inside),
        models=tuple(model for model in whole["models"] if model not in others) or tuple(whole["models"]),
        estimated=whole["estimated"],
    )


def _own_part(part: Json, taken: Iterable[Json]) -> PartTotal:
    taken = tuple(taken)
    tokens = part["tokens"] - sum(each["tokens"] for each in taken)
    repeated = part["repeated_tokens"] - sum(each["repeated_tokens"] for each in taken)
    return PartTotal(
        part=part["part"],
        name=part["name"],
        tokens=max(0, tokens),
        calls=max(0, part["calls"] - sum(each["calls"] for each in taken)),
        distinct=max(1, part["distinct"] - sum(each["distinct"] for each in taken)),
        largest=part["largest"],
        digest="" if taken else part["digest"],
        repeated_tokens=min(max(0, repeated), max(0, tokens)),
    )


def _with_behind(parts: Iterable[PartTotal], fresh: int) -> list[PartTotal]:
    """Give each part its share of the repeated tokens that no cache can serve; format 1 knows their sum: framing first."""
    parts = list(parts)
    left = max(0, fresh - sum(part.tokens - part.repeated_tokens for part in parts))
    found = []
    for part in sorted(parts, key=lambda part: part.part != "framing"):
        behind = min(left, part.repeated_tokens)
        left -= behind
        fields = (part.part, part.name, part.tokens, part.calls, part.distinct, part.largest, part.digest)
        found.append(PartTotal(*fields, part.repeated_tokens, behind))
    return found


def _in_prompt_order(parts: Iterable[PartTotal], prefix: Iterable[Any]) -> list[PartTotal]:
    """Sort the parts by where they stand in the first prompt; what is not in it comes last."""
    place: dict[str, int] = {}
    for index, (label, _) in enumerate(prefix):
        place.setdefault(label, index)

    def position(part: PartTotal) -> tuple[int, int, str]:
        label = f"{part.part}:{part.name}" if part.name else part.part
        return place.get(label, len(place) + 1), PART_NAMES.index(part.part), part.name

    return sorted(parts, key=position)


def _minus(whole: int | None, inside: Iterable[int | None]) -> int | None:
    rest = whole
    for value in inside:
        rest = None if rest is None or value is None else rest - value
    return rest
