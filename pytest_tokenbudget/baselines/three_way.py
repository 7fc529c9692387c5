"""Merges what two branches made of one baseline, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_tokenbudget.baselines.document import to_document, to_entry
from pytest_tokenbudget.records.baseline import BaselineEntry

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
        found = _merged(sides[0], sides[1], sides[2], key, conflicts)
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


def _merged(base: Any, ours: Any, theirs: Any, place: str, conflicts: list[str]) -> Any:
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        then = base if isinstance(base, dict) else {}
        found = {}
        for key in dict.fromkeys([*ours, *theirs]):
            name = " ".join(key) if isinstance(key, tuple) else str(key)
            value = _merged(
                then.get(key, _ABSENT), ours.get(key, _ABSENT), theirs.get(key, _ABSENT), f"{place} {name}", conflicts
            )
            if value is not _ABSENT:
                found[key] = value
        return found
    conflicts.append(place)
    return ours
