"""What messages point to exists: options, ini names, commands, extras, pages of the docs and their headings."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pytest_tokenbudget import hookspecs
from pytest_tokenbudget.cli import main as entry
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.option_table import OPTIONS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tokenbudget"
FLAGS = {option.flag for option in OPTIONS if option.flag}
INI = {option.ini for option in OPTIONS if option.ini}
HOOKS = {name for name in vars(hookspecs) if name.startswith("pytest_tokenbudget_")}
VERBS = set(entry.VERBS)
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@cache
def _texts() -> tuple[tuple[str, str], ...]:
    """Each text in the code of the package, docstrings left out, with its file."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        documented = set()
        # A docstring's statement is met before the docstring.
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Expr):
                documented.add(id(node.value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                found.append((path.relative_to(ROOT).as_posix(), node.value))
    return tuple(found)


def _found(pattern: str) -> set[tuple[str, str]]:
    return {(match, file) for file, text in _texts() for match in re.findall(pattern, text)}


def test_options_that_messages_name_exist() -> None:
    """On the command line, and in the ini file."""
    flags = _found(r"(--tokenbudget(?:-[a-z]+)*)\b")
    assert flags
    assert {(flag, file) for flag, file in flags if flag not in FLAGS} == set()
    names = {(name, file) for name, file in _found(r"(?:option |ini |set |`)(tokenbudget_[a-z_]+[a-z])")}
    known = INI
    assert {(name, file) for name, file in names if name not in known} == set()


def test_hooks_that_messages_name_exist() -> None:
    """A project can write what a message tells it to write."""
    names = _found(r"\b(pytest_tokenbudget_[a-z_]+)\b")
    assert {(name, file) for name, file in names if name not in HOOKS} == set()


def test_commands_that_messages_name_exist() -> None:
    """``tokenbudget VERB`` in backticks or as an example."""
    verbs = _found(r"(?:`|example: |\$ |^)tokenbudget ([a-z][a-z-]+)")
    assert verbs
    assert {(verb, file) for verb, file in verbs if verb not in VERBS} == set()


def test_extras_that_messages_name_exist_and_are_used() -> None:
    """``pip install 'pytest-tokenbudget[EXTRA]'``; an extra that no message or document names does not exist."""
    named = _found(r"pytest-tokenbudget\[([a-z]+)\]")
    assert {(extra, file) for extra, file in named if extra not in EXTRAS} == set()


def test_pages_that_messages_name_exist() -> None:
    """A page of the docs, and a heading on it where a message names one in quotes."""
    pages = _found(r"(docs/[\w/-]+\.md)")
    assert {(page, file) for page, file in pages if not (ROOT / page).exists()} == set()
    for file, text in _texts():
        for heading, page in re.findall(r"'([^']+)' in (docs/[\w-]+\.md)", text):
            lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
            assert any(line.lstrip("# ") == heading for line in lines if line.startswith("#")), (file, heading, page)


def _errors(base: type[TokenBudgetError] = TokenBudgetError) -> Iterator[type[TokenBudgetError]]:
    yield base
    for error in base.__subclasses__():
        yield from _errors(error)


@pytest.mark.parametrize("error", sorted(set(_errors()), key=lambda error: error.slug), ids=lambda error: error.slug)
def test_each_error_has_its_section(error: type[TokenBudgetError]) -> None:
    """The address that an error shows leads to a section of its page."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert f"## {error.slug}\n" in page
