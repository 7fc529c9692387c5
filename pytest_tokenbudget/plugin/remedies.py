"""What to do about a failure: the command that mends it."""

from __future__ import annotations

from pytest_tokenbudget.records.verdict import TestResult


def remedies(result: TestResult) -> list[str]:
    """Lines for the end of a failure's text."""
    verdicts = {gate.verdict for gate in result.gates} | {result.verdict}
    lines = []
    if result.verdict == "no_baseline":
        if result.against == "baseline":
            lines.append(
                "no baseline is stored: run `pytest --tokenbudget-update` and commit the file under __budgets__"
            )
        else:
            lines.append(f"write the reference first: `pytest --tokenbudget-reference={result.against}`")
    if "regression" in verdicts:
        lines.append("if this growth is wanted: `pytest --tokenbudget-update`, and commit the new numbers")
    return lines
