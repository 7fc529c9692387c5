"""Where the files of a test file are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import baseline_path, cassette_directory, check_reference, references
from pytest_tokenbudget.errors import BaselineError

TEST_FILE = Path("tests/agents/test_calendar.py")


def test_the_baseline_lies_beside_the_test_file() -> None:
    """In ``__budgets__``, under the test file's stem."""
    assert baseline_path(TEST_FILE) == Path("tests/agents/__budgets__/test_calendar.json")
    assert baseline_path(TEST_FILE, "baseline") == baseline_path(TEST_FILE)


def test_a_reference_has_a_directory_of_its_own() -> None:
    """``__budgets__/NAME/``."""
    assert baseline_path(TEST_FILE, "before") == Path("tests/agents/__budgets__/before/test_calendar.json")


def test_cassettes_have_a_directory_of_their_own() -> None:
    """``__budgets__/cassettes/``."""
    assert cassette_directory(TEST_FILE) == Path("tests/agents/__budgets__/cassettes")


@pytest.mark.parametrize("name", ["before", "v1.2", "2026-11", "größer", "a", "x" * 100, "before_split+2"])
def test_names_that_a_directory_can_have_are_taken(name: str) -> None:
    """Letters, digits, underscore, hyphen, plus and inner dots."""
    assert check_reference(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "end.", "a b", "a\n", "c:", "x" * 101, "a\0", "-x", "*"]
)
def test_names_that_would_leave_the_directory_are_refused(name: str) -> None:
    """The message shows the name and what is allowed."""
    with pytest.raises(BaselineError, match="cannot be the name of a reference") as caught:
        baseline_path(TEST_FILE, name)
    assert repr(name) in caught.value.message
    assert "letters" in caught.value.remedy


@pytest.mark.parametrize("name", ["cassettes", "Cassettes", "BASELINE"])
def test_names_with_a_meaning_are_refused(name: str) -> None:
    """Also in capitals, which some file systems do not tell apart."""
    with pytest.raises(BaselineError, match="stands for"):
        check_reference(name)


def test_references_are_found_by_their_files(tmp_path: Path) -> None:
    """Directories that hold a file for this test file, in order; cassettes are none."""
    test_file = tmp_path / "test_a.py"
    for name in ("later", "before", "cassettes"):
        baseline_path(test_file).parent.joinpath(name).mkdir(parents=True)
        (baseline_path(test_file).parent / name / "test_a.json").touch()
    baseline_path(test_file, "other").parent.mkdir()
    assert references(test_file) == ("before", "later")
    assert references(tmp_path / "test_b.py") == ()
