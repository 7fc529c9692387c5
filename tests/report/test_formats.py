"""What people and programs read of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_runs import many, showcase

from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.report import json_report
from pytest_tokenbudget.report.figures import number, percent
from pytest_tokenbudget.report.github import error_lines
from pytest_tokenbudget.report.markdown import markdown
from pytest_tokenbudget.report.table import failure_text
from pytest_tokenbudget.report.terminal import section_lines
from pytest_tokenbudget.report.test_result import in_brief
from pytest_tokenbudget.wording import plain

GOLDEN = Path(__file__).parent / "golden"


def _golden(name: str, text: str) -> None:
    path = GOLDEN / name
    assert path.exists(), f"write the golden file {path}:\n{text}"
    assert text == path.read_text(encoding="utf-8")


def test_failure_names_what_grew_first(failing: TestResult) -> None:
    """The first line says what is wrong; the table and its causes follow."""
    _golden("failure.txt", failure_text(failing) + "\n")


@pytest.mark.parametrize(("verbosity", "name"), [(0, "terminal.txt"), (1, "terminal_verbose.txt")])
def test_section_on_the_terminal(run: RunView, verbosity: int, name: str) -> None:
    """One line a gate that is not ok; with -v every gate and stage."""
    _golden(name, "\n".join(line.text for line in section_lines(run, verbosity=verbosity, width=80)) + "\n")


def test_nothing_is_shown_where_nothing_was_marked() -> None:
    """No section without results."""
    assert section_lines(RunView("0.1.0", "gate", ()), verbosity=2) == []


def test_markdown_summary(run: RunView) -> None:
    """The summary holds the table, the causes and nothing of the tests that are fine."""
    _golden("summary.md", markdown(run))


def test_json_report_has_the_documented_shape(run: RunView, tmp_path: Path) -> None:
    """The fields of the documented example are there, failed attempts with null tokens."""
    json_report.write(run, tmp_path / "new" / "report.json")
    report = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    assert report["format"] == 1
    assert report["generator"] == "pytest-tokenbudget 0.1.0"
    assert (report["mode"], report["verdict"], report["exit_ok"]) == ("gate", "regression", False)
    assert report["unattributed"] == [{"host": "api.example.com", "path": "/v9/brain", "reason": "unknown", "count": 4}]
    assert report["watched"] == ["httpx 0.28.1"]
    test = report["tests"][0]
    assert {
        "nodeid",
        "verdict",
        "samples",
        "traffic",
        "gates",
        "stages",
        "total",
        "composition",
        "causes",
        "calls",
    } <= set(test)
    gate = test["gates"][2]
    assert gate["baseline"] == 12410
    assert gate["value"] == 16020
    assert gate["change"] == pytest.approx(0.2909, abs=1e-4)
    assert gate["exact"] is True
    attempt, call = test["calls"]
    assert (attempt["status"], attempt["input_tokens"], attempt["output_tokens"]) == (429, None, None)
    assert call["tool_calls"] == ["calendar_write"]
    assert sum(cause["delta"] for cause in test["causes"]) == gate["value"] - gate["baseline"]


def test_hostile_names_cannot_leave_their_place(failing: TestResult) -> None:
    """A name from a server is neither a control sequence, nor HTML, nor a table cell, nor a workflow command."""
    hostile = "evil\x1b[31m|<script>@all\n::error::x"
    gates = tuple(replace(gate, metric=f"{hostile}.calls") for gate in failing.gates)
    run = RunView("0.1.0", "gate", (replace(failing, nodeid=hostile, gates=gates, messages=(hostile,)),))
    terminal = "\n".join(line.text for line in section_lines(run, verbosity=1))
    assert "\x1b" not in terminal
    text = markdown(run)
    assert "<script>" not in text
    assert "@all" not in text.replace("@&#8203;", "")
    assert "\x1b" not in text
    (line,) = error_lines(run)
    assert "\n" not in line
    assert line.count("::") == 2 or "%3A%3Aerror" in line


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12410, "tokens", "12,410"),
        (1.5, "count", "1.50"),
        (41.2, "s", "41.2 s"),
        (0.85, "s", "850 ms"),
        (0.0123, "USD", "$0.0123"),
        (0.0000123, "USD", "$0.0000123"),
        (0, "USD", "$0"),
        (None, "USD", "-"),
    ],
)
def test_numbers_are_shown_in_their_unit(value: float | None, unit: Any, text: str) -> None:
    """Each unit has its own way to be written."""
    assert number(value, unit) == text


def test_percent_of_nothing_is_a_dash() -> None:
    """A change from 0 has no percentage."""
    assert percent(None) == "-"
    assert percent(0.2909) == "+29.1 %"


def test_text_from_outside_is_made_plain() -> None:
    """Control characters, overrides of the writing direction and surrogates are gone; long text is cut."""
    assert plain("a\x1b[0m\u202eb\ud800") == "a[0mb?"
    assert len(plain("x" * 1000)) == 400


@pytest.mark.parametrize("verbosity", [-1, 0])
def test_a_result_in_brief_is_shown_as_the_whole_one(verbosity: int) -> None:
    """What a session keeps of a test that is ok is all that its terminal shows of it."""
    for run in (showcase(), many(40)):
        results = tuple(in_brief(one) if one.verdict == "ok" and one.passed else one for one in run.results)
        assert section_lines(replace(run, results=results), verbosity=verbosity) == section_lines(
            run, verbosity=verbosity
        )
        assert any(one.verdict == "ok" for one in run.results)


@pytest.mark.parametrize("width", [60, 72, 80, 100])
def test_a_row_that_moved_fits_the_terminal(width: int) -> None:
    """Where it has no room beside the name of its test, it stands below it."""
    lines = section_lines(showcase(), verbosity=0, width=width)
    rows = [line for line in lines if line.toned.startswith(("OVER", "improved"))]
    assert len(rows) == 4
    assert max(len(line.text) for line in rows) <= width
    if width < 80:
        assert lines[lines.index(rows[1]) - 1].text == "test_calendar.py::test_finds_a_free_room"
