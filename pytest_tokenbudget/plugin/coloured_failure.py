"""Colours on pytest's terminal: of the section's lines, and of the text of a test that its budget failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import for_terminal, terminal_encoding
from pytest_tokenbudget.report.table import Line, Tone, failure_lines, failure_text, fold_line, remedies, short_headline

_MARKUP: dict[Tone, dict[str, bool]] = {
    "bad": {"red": True},
    "good": {"green": True},
    "doubtful": {"yellow": True},
    "faint": {"light": True},
    "plain": {},
}


def write_line(writer: Any, line: Line) -> None:
    """Write a line on a pytest ``TerminalWriter``, the part that has the tone in its colour."""
    encoding = getattr(writer._file, "encoding", None) or terminal_encoding()
    text, toned = for_terminal(line.text, encoding), for_terminal(line.toned or line.text, encoding)
    writer.write(text.removesuffix(toned))
    writer.line(toned, **_MARKUP[line.tone])


class ColouredFailure:
    """The ``longrepr`` that pytest shows of a test that its budget failed.

    Args:
        text: The whole text, for reports that are no terminal.
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
        place: Where the failure was raised, as pytest's summary reads it.
    """

    def __init__(self, text: str, result: TestResult, reports: Sequence[str], place: Any) -> None:
        self._text, self._result, self._reports = text, result, reports
        self.reprcrash = place

    def __str__(self) -> str:
        return self._text

    def toterminal(self, tw: Any) -> None:
        """Write it. How new numbers are accepted is left out: the end of the run says it once for all tests."""
        left = remedies(self._result, reports=self._reports, with_update=False)
        for line in [*failure_lines(self._result), *(Line(f"  {text}") for text in left)]:
            for part in fold_line(line, tw.fullwidth):
                write_line(tw, part)


def colour_failure(report: pytest.TestReport, result: TestResult, reports: Sequence[str], width: int) -> None:
    """Give a report whose text is the budget's failure, and nothing else, its colours and a short line for the summary.

    Args:
        report: pytest's report of the test.
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
        width: Columns of the terminal.
    """
    encoding = terminal_encoding()
    text = for_terminal(failure_text(result, reports=reports), encoding)
    shown = str(report.longrepr).strip()
    if not shown.endswith(text.strip()):
        return
    place = getattr(report.longrepr, "reprcrash", None)
    if place is not None:
        # pytest cuts the line at the edge, but not in colour.
        short = short_headline(result, room=width - len(f"FAILED {report.nodeid} - "))
        place = replace(place, message=for_terminal(short, encoding))
    if shown == text.strip():
        report.longrepr = ColouredFailure(text, result, reports, place)  # type: ignore[assignment]  # pytest shows any
    elif place is not None:
        report.longrepr.reprcrash = place  # type: ignore[union-attr]  # the agent's own exception is shown beside it
