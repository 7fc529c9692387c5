"""``report.bmf.json``: the figures in Bencher Metric Format.

The format: https://bencher.dev/docs/reference/bencher-metric-format (read 2026-11-28). Bencher has a measure ``latency`` of its
own, which counts nanoseconds; so do all times here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from math import isfinite
from pathlib import Path

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.sample import Values
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.figures import by_stage, is_seconds
from pytest_tokenbudget.wording import plain

NANOSECONDS = 1e9
LONGEST_BENCHMARK = 1024
LONGEST_MEASURE = 64

Bmf = dict[str, dict[str, dict[str, float]]]


def write(run: RunView, path: Path) -> None:
    """Write the metrics; folders are made as needed."""
    write_atomically(path, json.dumps(bmf(run), indent=2, allow_nan=False).encode() + b"\n")


def bmf(run: RunView) -> Bmf:
    """A benchmark for each test and each of its stages, with a measure for each metric; ranges where there are samples."""
    found: Bmf = {}
    for result in run.results:
        for stage, figures in by_stage(result.samples).items():
            name = f"{result.nodeid} ({stage})" if stage else result.nodeid
            if measures := _measures(figures):
                found[_cut(plain(name, limit=4000), LONGEST_BENCHMARK)] = measures
    return found


def _measures(figures: Sequence[Values]) -> dict[str, dict[str, float]]:
    measures: dict[str, dict[str, float]] = {}
    for metric in {name: None for values in figures for name in values}:
        known = [
            round(value * NANOSECONDS) if is_seconds(metric) else value
            for values in figures
            if (value := values.get(metric)) is not None and isfinite(value)
        ]
        if len(known) < len(figures):
            continue
        measure = {"value": known[0] if len(known) == 1 else sum(known) / len(known)}
        if len(known) > 1:
            measure |= {"lower_value": min(known), "upper_value": max(known)}
        measures[_cut(plain(metric).replace("_", "-"), LONGEST_MEASURE)] = measure
    return measures


def _cut(name: str, longest: int) -> str:
    """A name that is too long keeps its beginning, and the hash of all of it tells it from others."""
    return name if len(name) <= longest else f"{name[: longest - 9]}-{sha256(name.encode()).hexdigest()[:8]}"
