"""The example is what people see first: it works, it proves its point, and it leaves the tree alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "conftest_examples" / "calendar_agent"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def _tree() -> dict[str, str]:
    files = [path for path in EXAMPLE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_demo_catches_its_regression_and_changes_nothing() -> None:
    """The budget is kept, the target is met, the regression is caught and explained, and every file stays as it was."""
    pytest.importorskip("openai", reason="the example's agent uses the openai SDK")
    before = _tree()
    done = _run("demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Caught" in done.stdout
    assert "REGRESSION" in done.stdout
    assert _tree() == before


def test_the_agent_does_not_need_the_plugin() -> None:
    """In production the plugin need not be installed: ``stage`` falls back to nothing."""
    pytest.importorskip("openai", reason="the example's agent uses the openai SDK")
    code = "import sys; sys.modules['pytest_tokenbudget'] = None\nimport agent\nwith agent.stage('x'): print('fine')"
    done = _run("-c", code)
    assert done.stdout == "fine\n", done.stderr
