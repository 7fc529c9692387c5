"""Each example runs as its page says, from a copy, without a key; and its budget fails where its page says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "conftest_examples"
CHANGES = {
    "quickstart": (
        "test_quickstart.py",
        "in one short sentence",
        "in one short sentence, in plain words, and never guess",
        "system",
    ),
    "rag": ("test_rag.py", "BEST = 2", "BEST = 4", "search"),
    "mcp_server": (
        "server.py",
        "Finds an order by its number",
        "Finds an order by its number, whatever the form in which the customer wrote it, and never guesses",
        "find_order",
    ),
}
"""A change to one file of each example, and a word that the failure says of its cause."""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest in an example as a newcomer does, at a desk."""
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "OPENAI_API_KEY")}
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120
    )


@pytest.mark.parametrize("name", CHANGES)
def test_an_example_keeps_its_budget_and_a_change_breaks_it(name: str, tmp_path: Path) -> None:
    """The committed budget is met as it stands; after the change the first cause is named."""
    pytest.importorskip("mcp" if name == "mcp_server" else "openai")
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    stored = {path: path.read_bytes() for path in (folder / "__budgets__").rglob("*") if path.is_file()}
    assert stored, "the example's budget is committed"
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in stored} == stored
    file, old, new, cause = CHANGES[name]
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    done = run(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REGRESSION" in done.stdout or "OVER" in done.stdout
    assert cause in done.stdout


def test_each_example_has_a_page() -> None:
    """Every folder says how it is run."""
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    assert folders
    for folder in folders:
        page = (folder / "README.md").read_text(encoding="utf-8")
        assert "pytest" in page or "make demo" in page
