"""The one table of options."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.option_table import OPTIONS
from pytest_tokenbudget.settings import Settings, runs_per_month

DOCS = Path(__file__).parents[1] / "docs" / "options.md"


def test_every_setting_has_a_row() -> None:
    """The table and the frozen settings are the same."""
    assert [option.field for option in OPTIONS] == list(Settings._fields)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_option_is_documented(option: object) -> None:
    """Flags and ini names stand in the docs with their sentence."""
    text = DOCS.read_text(encoding="utf-8")
    for name in (option.flag, option.ini):  # type: ignore[attr-defined]  # parametrized over Option
        assert not name or f"`{name}" in text
    assert option.help in text  # type: ignore[attr-defined]  # parametrized over Option


def test_runs_a_month_are_told_for_all_tests_or_for_some() -> None:
    """The first line that fits a test counts; the brackets of a parameter stand for themselves."""
    lines = ("# monthly", "test_a.py::test_x[two] = 300", "test_a.py::* = 2_000", "50")
    assert runs_per_month(lines, "test_a.py::test_x[two]") == 300
    assert runs_per_month(lines, "test_a.py::test_x[t]") == 2000
    assert runs_per_month(lines, "test_b.py::test_x") == 50
    assert runs_per_month((), "test_b.py::test_x") is None


@pytest.mark.parametrize("line", ["many", "-3", "= 5", "test_a.py = inf", "test_a.py ="])
def test_a_line_that_names_no_number_of_runs_is_an_error(line: str) -> None:
    """The error shows the line."""
    with pytest.raises(SettingsError, match="tokenbudget_runs_per_month"):
        runs_per_month((line,), "test_a.py")
