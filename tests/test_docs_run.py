"""The code of the docs runs: files are written as they are shown, commands print what is shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
SESSIONS = [page for page in PAGES if "```console" in page.read_text(encoding="utf-8")]
CHECKED = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load, "yml": yaml.safe_load}


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the fenced blocks."""
    text = page.read_text(encoding="utf-8")
    yield from ((match[1], match[2]) for match in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_valid(page: Path) -> None:
    """Python compiles, and data can be read."""
    for language, text in _blocks(page):
        if language == "python":
            # A decorator may be shown without the function that it stands above.
            alone = text.splitlines()[-1].startswith("@")
            compile(f"{text}def shown(): ...\n" if alone else text, page.name, "exec", dont_inherit=True)
        elif language in CHECKED and "..." not in text:
            CHECKED[language](text)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.stem)
def test_a_session_goes_as_it_is_told(page: Path, tmp_path: Path) -> None:
    """Blocks that name a file write it; commands run in order, and print the lines shown (``...`` stands for anything)."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GITHUB_", "PYTEST_")) and name != "CI"
    }
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    # Of pytest's plugins only ours, as in a fresh environment.
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_tokenbudget.plugin"}
    for language, text in _blocks(page):
        named = re.match(r"# (\S+\.\w+)\n", text)
        if language != "console" and named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
        elif language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                done = subprocess.run(
                    ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                for line in expected.splitlines():
                    pattern = ".*".join(map(re.escape, line.split("...")))
                    assert re.search(pattern, done.stdout), (
                        f"{page.name}: {command}: no line {line!r} in\n{done.stdout}{done.stderr}"
                    )


def test_the_tutorial_is_a_session() -> None:
    """A page that has no commands any more would pass the test above."""
    assert {"tutorial", "frameworks"} <= {page.stem for page in SESSIONS}
