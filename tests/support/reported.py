"""A session inside a test, and what its report says."""

from __future__ import annotations

import json
from typing import Any

import pytest


def run_reported(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, dict[str, dict[str, Any]]]:
    """Run pytest in the test's process; gives the outcome, and the report's tests by name."""
    result = pytester.runpytest_inprocess("--tokenbudget-report=report.json", "-p", "no:cacheprovider", *options)
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    return result, {test["nodeid"].rpartition("::")[2]: test for test in report["tests"]}
