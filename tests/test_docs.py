"""The docs name everything that there is."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_args

import pytest

from pytest_tokenbudget import ext, hookspecs
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.option_table import ARGUMENTS, marker_signature
from pytest_tokenbudget.plugin.marker import TokenBudgetMark
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


def test_every_hook_is_documented() -> None:
    """A hook that nobody can find is none."""
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("pytest_tokenbudget_")]
    assert len(hooks) == 8
    assert [name for name in hooks if f"`{name}(" not in text] == []


@pytest.mark.parametrize("name", ext.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    """What ``ext`` promises is there."""
    assert getattr(ext, name) is not None


def test_the_marker_is_documented() -> None:
    """Its signature, and a row for each argument, made from the one table."""
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert f"    {marker_signature()}\n" in text
    for argument in ARGUMENTS:
        assert f"| `{argument.name}` | `{argument.default}` | {argument.help} |" in text


def test_the_marker_is_typed_as_the_table_has_it() -> None:
    """The type that editors show, the table and the checked budget have the same arguments."""
    (mark,) = ast.parse(inspect.getsource(TokenBudgetMark)).body
    called = [node.args for node in ast.walk(mark) if isinstance(node, ast.FunctionDef)][-1]
    names = [argument.arg for argument in (*called.args[1:], *called.kwonlyargs)]
    assert names == [argument.name for argument in ARGUMENTS]
