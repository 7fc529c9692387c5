"""Two baselines of the same test file become one: of two runs in any order, or of two branches, figure by figure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, replace
from typing import Any

from pytest_tokenbudget.baselines.document import to_document, to_entry
from pytest_tokenbudget.records.baseline import MAX_SESSIONS, BaselineEntry, MetricRecord, Session
from pytest_tokenbudget.records.gate import split_key

_TRAFFIC_RANK = {"live": 2, "replay": 1, "scripted": 0}


def merge(a: Mapping[str, BaselineEntry], b: Mapping[str, BaselineEntry]) -> dict[str, BaselineEntry]:
    """Union of two files' entries.

    Commutative, associative and idempotent, so any number of files can be merged in any order.

    Args:
        a: Entries by test key.
        b: Entries by test key.

    Returns:
        The entries of both; a test that stands in both gets what :func:`merge_entries` makes of it.
    """
    return {**a, **b, **{key: merge_entries(a[key], b[key]) for key in a.keys() & b.keys()}}


def merge_entries(a: BaselineEntry, b: BaselineEntry) -> BaselineEntry:
    """Union of the sessions that two pytest sessions stored of the same test.

    Args:
        a: One entry.
        b: The other.

    Returns:
        For each metric the sessions of both, each once; composition and outcomes are those of one of the two. Entries
        of other models, providers or traffic cannot be mixed: live traffic wins over replayed, that over scripted,
        then the later name.
    """
    if (rank_a := _rank(a)) != (rank_b := _rank(b)):
        return a if rank_a > rank_b else b
    chosen = max(a, b, key=_description)
    clocked = max(a, b, key=_speed_order)
    metrics = _merged_records(a.metrics, b.metrics)
    if a.speeds != b.speeds:
        # Latencies at two speeds do not belong together.
        metrics = {key: record for key, record in metrics.items() if split_key(key)[1] != "latency"}
        metrics |= {key: record for key, record in clocked.metrics.items() if split_key(key)[1] == "latency"}
    return replace(chosen, metrics=metrics, pooled=_merged_records(a.pooled, b.pooled), speeds=clocked.speeds)


def merge_shards(
    base: Mapping[str, BaselineEntry], shards: Iterable[Mapping[str, BaselineEntry]]
) -> dict[str, BaselineEntry]:
    """Merge what several jobs made of one file, each by running a part of its tests.

    Args:
        base: The entries that the jobs began with, by test key; empty where there was no file.
        shards: The entries that each job ended with, in any order.

    Returns:
        All entries. A job's entry counts only where it differs from the base: an unchanged one is of a test that the job
        did not run. A test that several jobs changed gets what :func:`merge_entries` makes of them.
    """
    merged = dict(base)
    changed: set[str] = set()
    for shard in shards:
        for key, entry in shard.items():
            if entry != base.get(key):
                merged[key] = merge_entries(merged[key], entry) if key in changed else entry
                changed.add(key)
    return merged


def _speed_order(entry: BaselineEntry) -> tuple[bool, str]:
    """An order of speeds, whichever it is; those that are stored come behind none."""
    return bool(entry.speeds), repr(
        sorted((stage, sorted(models.items(), key=repr)) for stage, models in entry.speeds.items())
    )


def _rank(entry: BaselineEntry) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    return (_TRAFFIC_RANK.get(entry.traffic, -1), entry.providers, entry.models)


def _description(entry: BaselineEntry) -> str:
    """A text by which the describing half of entries can be put into an order, whichever it is."""
    compositions = sorted((stage, astuple(composition)) for stage, composition in entry.composition.items())
    return repr((compositions, sorted(entry.sources.items()), _sorted_deep(entry.outcomes)))


def _sorted_deep(value: object) -> object:
    if isinstance(value, dict):
        return [(key, _sorted_deep(value[key])) for key in sorted(value)]
    return [_sorted_deep(item) for item in value] if isinstance(value, list) else value


def _merged_records(a: Mapping[str, MetricRecord], b: Mapping[str, MetricRecord]) -> dict[str, MetricRecord]:
    return {**a, **b, **{name: _merged(a[name], b[name]) for name in a.keys() & b.keys()}}


def _merged(a: MetricRecord, b: MetricRecord) -> MetricRecord:
    origins = [record.origin for record in (a, b) if record.origin is not None]
    # The lower origin: a drift is seen the sooner.
    origin = min(origins, key=lambda value: (value, type(value) is float), default=None)
    # Compared and ordered as text, so that 1 and 1.0 are two values here as they are in the file.
    same = repr(a.sessions) == repr(b.sessions)
    return MetricRecord(a.sessions if same else _union(a.sessions, b.sessions), origin)


def _union(a: tuple[Session, ...], b: tuple[Session, ...]) -> tuple[Session, ...]:
    """Each session as often as in the one that has it more often; which ones stay, and their order, by their hash.

    Sessions carry no time (a file without timestamps is reviewable), so those of two branches have no order. A hash
    gives one that does not depend on which file came first and that favours neither high nor low values.
    """
    by_text = {repr(session): session for session in (*a, *b)}
    together = Counter(map(repr, a)) | Counter(map(repr, b))
    return tuple(by_text[text] for text in sorted(together.elements(), key=_hash)[:MAX_SESSIONS])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


_ABSENT = object()


def merge_branches(
    base: Mapping[str, BaselineEntry], ours: Mapping[str, BaselineEntry], theirs: Mapping[str, BaselineEntry]
) -> tuple[dict[str, BaselineEntry], list[str]]:
    """Merge two branches' entries.

    Args:
        base: Entries of the common ancestor, by test key.
        ours: Entries of one branch.
        theirs: Entries of the other.

    Returns:
        The merged entries, and the names of the figures that both sides changed, each to something else.
    """
    merged: dict[str, BaselineEntry] = {}
    conflicts: list[str] = []
    for key in sorted({*base, *ours, *theirs}):
        sides = [_keyed(side[key]) if key in side else _ABSENT for side in (base, ours, theirs)]
        found = _merged_value(sides[0], sides[1], sides[2], key, conflicts)
        if isinstance(found, dict):
            merged[key] = to_entry(_unkeyed(found))
    return merged, conflicts


def _keyed(entry: BaselineEntry) -> dict[str, Any]:
    """Give an entry's document with its lists of lines as objects, so that lines are told apart by what they are of."""
    document = to_document(entry)
    document["composition"] = {tuple(line[:-1]): line[-1] for line in document["composition"]}
    return document


def _unkeyed(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"composition": [[*key, fields] for key, fields in document["composition"].items()]}


def _merged_value(base: Any, ours: Any, theirs: Any, place: str, conflicts: list[str]) -> Any:
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        then = base if isinstance(base, dict) else {}
        found = {}
        for key in dict.fromkeys([*ours, *theirs]):
            name = " ".join(key) if isinstance(key, tuple) else str(key)
            value = _merged_value(
                then.get(key, _ABSENT), ours.get(key, _ABSENT), theirs.get(key, _ABSENT), f"{place} {name}", conflicts
            )
            if value is not _ABSENT:
                found[key] = value
        return found
    conflicts.append(place)
    return ours
