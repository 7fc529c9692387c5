"""The result of a test travels on pytest's report of it, from the process that ran the test to the one that reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_tokenbudget.records.verdict import TestResult

_HERE = os.getpid()


def attach(report: pytest.TestReport, result: TestResult) -> None:
    """Attach a result to a report; as text in a forked process, whose reports hold plain data only (pytest-forked)."""
    attached: Any = result
    if os.getpid() != _HERE:
        from pytest_tokenbudget.report.transport import encode

        attached = encode(result)
    report.tokenbudget = attached  # type: ignore[attr-defined]  # pytest keeps further attributes of reports


def attached_to(report: Any) -> TestResult | None:
    """The result that is attached to a report, ``None`` where there is none."""
    attached: TestResult | str | None = getattr(report, "tokenbudget", None)
    if isinstance(attached, str):
        from pytest_tokenbudget.report.transport import decode

        report.tokenbudget = attached = decode(attached)
    return attached


def as_text(report: Any) -> str | None:
    """The result that is attached to a report as plain text, ``None`` where there is none."""
    attached: TestResult | str | None = getattr(report, "tokenbudget", None)
    if attached is None or isinstance(attached, str):
        return attached
    from pytest_tokenbudget.report.transport import encode

    return encode(attached)
