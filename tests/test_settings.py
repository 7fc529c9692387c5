"""The one table of options."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_tokenbudget.settings import OPTIONS, Settings

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
