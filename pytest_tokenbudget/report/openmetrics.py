"""``report.txt``: the figures as OpenMetrics, which Prometheus and GitLab's metrics reports read.

The format: https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md (version 1.0.0, read 2026-11-28).
"""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.figures import by_stage, is_seconds, mean_values
from pytest_tokenbudget.wording import plain

_PREFIX = "tokenbudget_"
_LONGEST_LABEL = 300


def write(run: RunView, path: Path) -> None:
    """Write the metrics; folders are made as needed."""
    write_atomically(path, openmetrics(run).encode("utf-8", "replace"))


def openmetrics(run: RunView) -> str:
    """Every known metric of every test and stage, and whether the test is over budget. Unknown values are left out."""
    families: dict[str, list[str]] = {}
    for result in sorted(run.results, key=lambda result: result.nodeid):
        for stage, figures in by_stage(result.samples).items():
            labels = _labels(test=result.nodeid, stage=stage)
            for metric, value in sorted(mean_values(figures).items()):
                if value is not None and isfinite(value):
                    families.setdefault(_family(metric), []).append(f"{{{labels}}} {_number(value, metric)}")
        labels = _labels(test=result.nodeid)
        families.setdefault(f"{_PREFIX}test_failed", []).append(f"{{{labels}}} {int(result.failed)}")
    lines = []
    for family, samples in sorted(families.items()):
        lines.append(f"# TYPE {family} gauge")
        unit = next((unit for unit in ("tokens", "seconds", "usd") if family.endswith(f"_{unit}")), "")
        if unit:
            lines.append(f"# UNIT {family} {unit}")
        # One label set may stand only once: names that become equal when they are written (control characters) give way.
        told: set[str] = set()
        for sample in samples:
            labels = sample.rpartition("} ")[0]
            if labels not in told:
                lines.append(family + sample)
                told.add(labels)
    return "\n".join([*lines, "# EOF", ""])


def _family(metric: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", metric)[:120]
    if metric == "cost":
        return f"{_PREFIX}cost_usd"
    return f"{_PREFIX}{name}_seconds" if is_seconds(metric) else f"{_PREFIX}{name}"


def _number(value: float, metric: str) -> str:
    """Times to the microsecond, money without the noise of its last digits: GitLab compares values as texts."""
    if isinstance(value, int):
        return str(value)
    return f"{round(value, 6) if is_seconds(metric) else value:.12g}"


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items() if value)


def _escaped(text: str) -> str:
    return plain(text, limit=_LONGEST_LABEL).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
