"""The docs name everything that there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.report import json_shape as shape

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", [*(spec.name for spec in BUILTIN_METRICS), *get_args(Verdict)])
def test_every_metric_and_verdict_is_documented(name: str) -> None:
    """Each has its row."""
    assert f"| `{name}` |" in (DOCS / "metrics.md").read_text(encoding="utf-8")


def test_the_report_has_a_schema() -> None:
    """Every field of the report stands in its JSON Schema."""
    schema = shape.json_schema()
    assert set(shape.RunJson.__annotations__) == set(schema["properties"])
    for part in (shape.TestJson, shape.GateJson, shape.CallJson):
        assert set(part.__annotations__) == set(schema["$defs"][part.__name__]["properties"])
