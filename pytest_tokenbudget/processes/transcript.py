"""The transcript of a side's pytest: which tests there are, what they measured, what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.transport import decode


@dataclass(frozen=True, slots=True)
class Transcript:
    """One process of one side.

    Attributes:
        exit_code: pytest's.
        output: The end of what it printed.
        seconds: How long it took, s.
        collected: Node ids of the tests, and whether each has a budget; filled where it was asked to collect only.
        metrics: Metrics that the project adds, likewise.
        formats: Suffixes of the report formats that the project adds, likewise.
        problems: What could not be written, where it was asked to write reports.
        results: What was measured, by node id.
        failures: Phase and text of each failure, by node id.
        skipped: Node ids of tests that were skipped (or failed as expected).
        foreign: Modules that it imported from the other side's tree, and their files.
        stored: Where the files of the tests are stored, ``None`` where it was not asked or did not come that far.
    """

    exit_code: int
    output: str
    seconds: float
    collected: Mapping[str, bool] = field(default_factory=dict)
    metrics: tuple[MetricSpec, ...] = ()
    formats: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    results: Mapping[str, TestResult] = field(default_factory=dict)
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    foreign: tuple[tuple[str, str], ...] = ()
    stored: Mapping[str, Any] | None = None


def read_transcript(path: Path, *, exit_code: int, output: str, seconds: float) -> Transcript:
    """Read what a side's pytest wrote down; nothing where it did not come that far.

    Raises:
        ABError: If it cannot be understood.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []
        all_of: dict[str, list[Any]] = {}
        for key, said in (item for line in lines for item in line.items()):
            # What comes line by line is a value; what is known at once is the list of all.
            all_of.setdefault(key, []).extend([said] if key in ("result", "failure", "skipped", "stored") else said)
        results = [decode(result) for result in all_of.get("result", ())]
        failures: dict[str, tuple[str, str]] = {}
        for nodeid, when, text in all_of.get("failure", ()):
            failures.setdefault(nodeid, (when, text))
        return Transcript(
            exit_code,
            output,
            seconds,
            collected={str(nodeid): bool(marked) for nodeid, marked in all_of.get("collected", ())},
            metrics=tuple(_spec(*spec) for spec in all_of.get("metrics", ())),
            formats=tuple(all_of.get("formats", ())),
            problems=tuple(all_of.get("problems", ())),
            results={result.nodeid: result for result in results},
            failures=failures,
            skipped=frozenset(all_of.get("skipped", ())),
            foreign=tuple((str(name), str(file)) for name, file in all_of.get("foreign", ())),
            stored=next(iter(all_of.get("stored", ())), None),
        )
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ABError(
            f"what a side measured cannot be read: {error}",
            remedy="run both sides with this version of pytest-tokenbudget: none may come from the trees themselves",
        ) from error


def _spec(name: str, unit: Any, text: str, pooled: bool) -> MetricSpec:
    """A metric of the project as far as it matters here: its values were computed over there."""
    return MetricSpec(name, unit, text, lambda _: None, (lambda _: None) if pooled else None)
