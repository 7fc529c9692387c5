"""What changed between two states of the baselines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PartTotal, StageComposition


def write(root: Path, tokens: int) -> Path:
    """A baseline of one test whose tool has so many tokens."""
    part = PartTotal("tools", "search_orders", tokens, 1, 1, tokens, f"d{tokens}")
    metrics = {"input_tokens": MetricRecord(((tokens,),), tokens), "calls": MetricRecord(((1,),), 1)}
    path = root / "tests" / "__budgets__" / "test_desk.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump({"test_a": BaselineEntry(metrics, composition={"main": StageComposition(1, (part,))})}))
    return path


def command(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``tokenbudget compare`` in a folder."""
    line = [sys.executable, "-m", "pytest_tokenbudget", "compare", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=root)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose committed baseline has 100 tokens and whose working tree 150."""
    write(tmp_path, 100)
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
    for step in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *step], cwd=tmp_path, check=True, capture_output=True)
    write(tmp_path, 150)
    return tmp_path


def test_a_revision_is_compared_with_the_working_tree(repository: Path) -> None:
    """What a reviewer runs: the figure, its change and the cause; exit code 1 where it is more than allowed."""
    done = command(repository, "main:")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tests/__budgets__/test_desk.json::test_a  input_tokens 100 -> 150 +50.0 %" in done.stdout
    assert "search_orders" in done.stdout
    assert command(repository, "main:", "--max-increase", "60%").returncode == 0
    over = command(repository, "main:", "--max-increase", "10%", "--json")
    assert over.returncode == 1
    (change,) = json.loads(over.stdout)["changes"]
    assert (change["metric"], change["before"], change["after"]) == ("input_tokens", 100, 150)
    assert command(repository, "main:", "main:").stdout == "nothing changed\n"


def test_two_files_are_compared(tmp_path: Path) -> None:
    """Whatever they are called."""
    done = command(tmp_path, write(tmp_path / "a", 100), write(tmp_path / "b", 90))
    assert "test_a  input_tokens 100 -> 90 -10.0 %" in done.stdout


@pytest.mark.parametrize("side", ["none.json", "no-such-branch:"])
def test_a_side_that_is_not_there_is_an_error(side: str, repository: Path) -> None:
    """Exit code 2 and one sentence."""
    done = command(repository, side)
    assert done.returncode == 2
    assert side.rstrip(":") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_baseline_is_shown_as_lines_for_git_diff(tmp_path: Path) -> None:
    """One figure a line, with those that no file holds."""
    line = [sys.executable, "-m", "pytest_tokenbudget", "textconv", str(write(tmp_path, 1500))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "test_a input_tokens 1,500\n" in done.stdout
    assert "test_a tool_schema_tokens 1,500\n" in done.stdout
