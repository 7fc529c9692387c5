"""How the site is built: ``make docs``. Warnings are errors, and every reference that stays within the site is checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pytest_tokenbudget.cli.main import VERBS, command_help

_DOCS = Path(__file__).parent
_PROJECT = tomllib.loads((_DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _commands_page() -> str:
    """The page of the command, from what it prints for ``--help``."""
    parts = [
        "# The command",
        "`tokenbudget` is also `python -m pytest_tokenbudget`. Exit codes: 0 all is well, 1 what was checked does not hold, 2 an error "
        "that you can fix.",
    ]
    for verb in VERBS:
        parts += [f"## tokenbudget {verb}", f"```text\n{command_help(verb)}```"]
    return "\n\n".join(parts) + "\n"


(_DOCS / "commands.md").write_text(_commands_page(), encoding="utf-8")
for _example in (_DOCS.parent / "conftest_examples").glob("*/README.md"):
    _page = f"```{{include}} ../../conftest_examples/{_example.parent.name}/README.md\n```\n"
    (_DOCS / "examples" / f"{_example.parent.name}.md").write_text(_page, encoding="utf-8")

project = "pytest-tokenbudget"
author = "The pytest-tokenbudget contributors"
copyright = f"2026, {author}"  # Sphinx reads this name
release = version = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"

html_theme = "furo"
html_title = "pytest-tokenbudget"
html_static_path = ["failing-run.svg", "page.png"]


def _add_further_pages(_app: object, name: str, source: list[str]) -> None:
    """List pages that the index does not name, so that none is out of reach."""
    if name != "index":
        return
    named = set(source[0].splitlines())
    further = [path.stem for path in sorted(_DOCS.glob("*.md")) if path.stem not in named | {"index"}]
    toctree = "\n".join(["```{toctree}", ":caption: Further pages", ":maxdepth: 1", "", *further, "```"])
    source[0] = source[0].replace("<!-- further pages -->", toctree if further else "")


def setup(app: Any) -> None:
    """Register what is done while the site is built."""
    from pygments.lexers.special import TextLexer

    # Code hosts draw these diagrams; the site shows their text, which is made to be read too.
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _add_further_pages)
