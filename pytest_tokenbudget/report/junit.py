"""A test's figures as properties in ``junit.xml``, where Jenkins, GitLab and others show them beside the test."""

from __future__ import annotations

from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import STAGE_METRICS, now_value
from pytest_tokenbudget.report.table import gate_row, metric_name
from pytest_tokenbudget.wording import plain


def properties(result: TestResult) -> list[tuple[str, str]]:
    """Names and values: the verdict, the totals with what they were before, and a line for each gate that does not hold.

    Totals are bare numbers (s, USD), so that other programs can read them.
    """
    found: list[tuple[str, str]] = [("tokenbudget.verdict", result.verdict)]
    for metric in STAGE_METRICS:
        now = now_value(result, metric)
        before = result.before.total.get(metric) if result.before is not None else None
        if now is not None:
            found.append((f"tokenbudget.{metric}", f"{now:.12g}"))
        if before is not None:
            found.append((f"tokenbudget.{metric}.before", f"{before:.12g}"))
    for gate in result.gates:
        if gate.verdict not in ("ok", "new"):
            text = "  ".join(part for part in gate_row(gate)[1:] if part)
            found.append((f"tokenbudget.gate.{metric_name(gate)}", plain(text)))
    return found
