"""The one tree of errors, and its documentation."""

from __future__ import annotations

from pathlib import Path

from pytest_tokenbudget import errors

DOCS = Path(__file__).parents[1] / "docs" / "errors.md"


def _tree(root: type[errors.TokenBudgetError]) -> list[type[errors.TokenBudgetError]]:
    return [root, *(error for child in root.__subclasses__() for error in _tree(child))]


def test_every_error_has_a_section_in_the_docs() -> None:
    """The address in a message leads to a heading of the same name."""
    headings = {line[3:].strip() for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("## ")}
    assert {error.slug for error in _tree(errors.TokenBudgetError)} == headings


def test_a_message_ends_with_the_remedy_and_the_address() -> None:
    """What was wrong comes first, what to do next, where to read last."""
    lines = str(errors.BaselineError("x.json: broken", remedy="git checkout x.json")).splitlines()
    assert lines[0] == "x.json: broken"
    assert "git checkout x.json" in lines[1]
    assert lines[2].endswith("#baseline")
