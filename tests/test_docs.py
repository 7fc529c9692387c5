"""The docs name everything that there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.report.shape import CallJson, GateJson, RunJson, TestJson, json_schema

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", [*(spec.name for spec in BUILTIN_METRICS), *get_args(Verdict)])
def test_every_metric_and_verdict_is_documented(name: str) -> None:
    """Each has its row."""
    assert f"| `{name}` |" in (DOCS / "metrics.md").read_text(encoding="utf-8")


def test_the_report_has_a_schema() -> None:
    """Every field of the report stands in its JSON Schema."""
    schema = json_schema()
    assert set(RunJson.__annotations__) == set(schema["properties"])
    for shape in (TestJson, GateJson, CallJson):
        assert set(shape.__annotations__) == set(schema["$defs"][shape.__name__]["properties"])
