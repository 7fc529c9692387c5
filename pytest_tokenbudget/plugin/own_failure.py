"""What a test's own assertions said, where pytest does not raise it: unittest's cases and subtests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.records.verdict import TestResult


def raise_kept(item: pytest.Item) -> None:
    """Raise what a unittest case raised, or how it was skipped: pytest keeps that until it makes the report."""
    __tracebackhide__ = True
    kept: list[Any] | None = getattr(item, "_excinfo", None)
    if kept:
        raise kept[0].value


def forget_kept(item: pytest.Item) -> None:
    """Another failure takes the place of what a unittest case raised."""
    kept: list[Any] | None = getattr(item, "_excinfo", None)
    if kept:
        kept.clear()


def failed_on_its_own(result: TestResult) -> TestResult:
    """The result of a test that failed on its own: its numbers are shown, not gated, never stored."""
    return replace(
        result,
        verdict="inconclusive",
        gates=(),
        causes=(),
        passed=False,
        failed=False,
        notices=(),
        messages=result.samples[-1].messages,
    )
