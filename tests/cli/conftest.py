"""A repository with an agent, its test, and a model that is scripted or listens on the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import run_command
from own_process import POST, QUICK_INI, only_this_plugin

SCRIPTED = f'''
import os
import pytest

import agent
from pytest_tokenbudget import stage, token_budget
{POST}
@pytest.fixture
def ask(scripted_llm):
    """An agent's way to ask its model, which takes a second on a clock that does not really pass."""
    from pytest_tokenbudget.replay.replies import text

    scripted_llm.pace(ttft=1.0)
    scripted_llm.respond_with(lambda asked: text("done"))

    def ask(said):
        with stage("worker"):
            body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": said}}]}}
            post(scripted_llm.base_url + "/chat/completions", body)

    return ask
'''

ONE_TEST = """
@token_budget("10%")
def test_agent(ask, budget):
    for _ in range(agent.CALLS):
        ask(agent.PROMPT)
    budget.outcome("booked", agent.BOOKED)
"""


@dataclass(frozen=True)
class Repository:
    """A project in git. ``root/src/agent.py`` is the agent, ``root/tests/test_agent.py`` its test."""

    root: Path

    def write(self, *, prompt: int = 400, calls: int = 1, booked: str = "lunch") -> None:
        """Write the agent: how long its prompt is, how often it asks, what it achieves."""
        (self.root / "src").mkdir(exist_ok=True)
        text = f"CALLS = {calls}\nPROMPT = 'x' * {prompt}\nBOOKED = {booked!r}\n"
        (self.root / "src" / "agent.py").write_text(text, encoding="utf-8")
        # Byte code is taken for fresh where a text of the same length was written within the same second.
        shutil.rmtree(self.root / "src" / "__pycache__", ignore_errors=True)

    def write_tests(self, source: str, head: str = SCRIPTED, name: str = "test_agent.py") -> None:
        """Write a test module."""
        (self.root / "tests").mkdir(exist_ok=True)
        (self.root / "tests" / name).write_text(head + source, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        """Run git."""
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=a step")

    @property
    def command(self) -> list[str]:
        """How the command is called."""
        return [sys.executable, "-m", "pytest_tokenbudget", "ab"]

    def ab(
        self, *arguments: str, inside: str = ".", args: tuple[str, ...] = ("tests",), **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``tokenbudget ab`` to its end: in this process, or in one with an environment of its own."""
        passed_on = (*arguments, "--", *args)
        if env:
            return subprocess.run(
                [*self.command, *passed_on],
                cwd=self.root / inside,
                env={**os.environ, **env},
                capture_output=True,
                text=True,
                check=False,
            )
        return run_command("ab", *passed_on, cwd=self.root / inside)

    def report(self, name: str = "ab.json") -> dict[str, Any]:
        """A JSON report that was written."""
        report: dict[str, Any] = json.loads((self.root / name).read_text(encoding="utf-8"))
        return report

    def gate(self, metric: str) -> dict[str, Any]:
        """One gate of the first test of ``ab.json``."""
        (gate,) = [gate for gate in self.report()["tests"][0]["gates"] if gate["metric"] == metric]
        return dict(gate)

    def is_clean(self, temporary: Path) -> bool:
        """Whether no work tree is left, in git's books or on the disk, and no baseline was written."""
        return (
            len(self.git("worktree", "list").splitlines()) == 1
            and not list(temporary.glob("tokenbudget-a*"))
            and not list(self.root.rglob("__budgets__"))
        )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, so that what is left behind can be seen."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


@pytest.fixture
def repository(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository with one commit on ``main``: an agent that asks a scripted model once."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    only_this_plugin(monkeypatch, "no:cacheprovider")
    root = tmp_path / "project"
    root.mkdir()
    made = Repository(root)
    made.git("init", "--quiet", "--initial-branch=main")
    (root / "pytest.ini").write_text(QUICK_INI, encoding="utf-8")
    made.write()
    made.write_tests(ONE_TEST)
    made.commit()
    return made
