"""What is stored for tests that no longer exist is removed, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from command import run_command
from own_process import only_this_plugin

from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord

DESK = """
from pytest_tokenbudget import token_budget

@token_budget("10%", replay="calendar")
def test_a():
    pass

@token_budget("10%", replay=True)
def test_deselected():
    pass
"""
PRODUCTION = '{\n  "format": 1,\n  "kind": "production",\n  "models": [],\n  "source": "x",\n  "stages": {}\n}\n'


def store(root: Path, name: str, *keys: str) -> None:
    """Write a baseline or reference with these entries."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump(dict.fromkeys(keys, BaselineEntry({"calls": MetricRecord(((1,),), 1)}))))


def keys(root: Path, name: str) -> list[str]:
    """The keys of a baseline."""
    return sorted(load((root / name).read_bytes(), Path(name)))


def files(root: Path) -> Mapping[str, bytes]:
    """Every stored file and its content."""
    return {str(path): path.read_bytes() for path in root.rglob("__budgets__/**/*") if path.is_file()}


def prune(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``tokenbudget prune`` in a folder."""
    return run_command("prune", *arguments, cwd=root)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two tests, one of which is deselected, a module that is skipped, and remains of earlier tests."""
    only_this_plugin(monkeypatch)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -k 'not deselected'\n", encoding="utf-8")
    (tmp_path / "tests" / "other").mkdir(parents=True)
    (tmp_path / "tests" / "test_desk.py").write_text(DESK, encoding="utf-8")
    skipped = "import pytest\npytest.skip('not here', allow_module_level=True)\n"
    (tmp_path / "tests" / "other" / "test_skipped.py").write_text(skipped, encoding="utf-8")
    store(tmp_path, "tests/__budgets__/test_desk.json", "test_a", "test_deselected", "test_gone", "test_gone[\x1b[31m]")
    store(tmp_path, "tests/__budgets__/before/test_desk.json", "test_gone")
    store(tmp_path, "tests/__budgets__/test_removed.json", "test_x")
    store(tmp_path, "tests/other/__budgets__/test_skipped.json", "test_s")
    (tmp_path / "tests" / "__budgets__" / "production.json").write_text(PRODUCTION, encoding="utf-8")
    for name in ("", "other/"):
        (tmp_path / "tests" / f"{name}__budgets__" / "cassettes").mkdir()
    for name in ("calendar", "test_desk.test_deselected", "test_desk.test_gone", "../../other/__budgets__/cassettes/x"):
        (tmp_path / "tests" / "__budgets__" / "cassettes" / f"{name}.jsonl").write_text("", encoding="utf-8")
    return tmp_path


def test_what_no_test_needs_is_removed(project: Path) -> None:
    """Entries, references and cassettes; a dry run only says so, and what pytest deselects or skips stays."""
    before = files(project)
    dry = prune(project, "--dry-run")
    assert (dry.returncode, dry.stderr, files(project)) == (0, "", before)
    assert "would remove 4 entries and 1 cassette" in dry.stdout
    assert "\x1b" not in dry.stdout
    done = prune(project, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert {entry["file"]: entry["tests"] for entry in told["entries"]} == {
        "tests/__budgets__/test_desk.json": ["test_gone", "test_gone[\x1b[31m]"],
        "tests/__budgets__/before/test_desk.json": ["test_gone"],
        "tests/__budgets__/test_removed.json": ["test_x"],
    }
    assert told["cassettes"] == ["tests/__budgets__/cassettes/test_desk.test_gone.jsonl"]
    assert [Path(kept["file"]).name for kept in told["kept"]] == ["test_skipped.json", "x.jsonl"]
    assert keys(project, "tests/__budgets__/test_desk.json") == ["test_a", "test_deselected"]
    assert sorted(path.relative_to(project).as_posix() for path in project.rglob("__budgets__/**/*")) == [
        "tests/__budgets__/cassettes",
        "tests/__budgets__/cassettes/calendar.jsonl",
        "tests/__budgets__/cassettes/test_desk.test_deselected.jsonl",
        "tests/__budgets__/production.json",
        "tests/__budgets__/test_desk.json",
        "tests/other/__budgets__/cassettes",
        "tests/other/__budgets__/cassettes/x.jsonl",
        "tests/other/__budgets__/test_skipped.json",
    ]
    again = prune(project, "tests")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "nothing to remove")


@pytest.mark.parametrize(
    ("addopts", "source", "told"),
    [
        ("-p tokenbudget", "import no_such_module", "no_such_module"),
        ("-p no:tokenbudget", "", "ran without the plugin"),
        ("-p tokenbudget --lf", "", "--last-failed"),
        ("-p tokenbudget tests/test_desk.py::test_a", "", "tests/test_desk.py::test_a"),
    ],
    ids=["broken file", "no plugin", "--lf", "one test"],
)
def test_nothing_is_removed_where_pytest_cannot_say_which_tests_there_are(
    project: Path, monkeypatch: pytest.MonkeyPatch, addopts: str, source: str, told: str
) -> None:
    """Exit code 2, with pytest's reason and a remedy."""
    monkeypatch.setenv("PYTEST_ADDOPTS", addopts)
    (project / "tests" / "test_broken.py").write_text(source, encoding="utf-8")
    before = files(project)
    done = prune(project)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "\n  fix: " in done.stderr
    assert files(project) == before


def test_nothing_is_removed_beside_a_baseline_that_cannot_be_read(project: Path) -> None:
    """It is named, with its remedy; a folder that is not there is too."""
    (project / "tests" / "__budgets__" / "test_desk.json").write_text("<<<<<<< ours\n", encoding="utf-8")
    before = files(project)
    done = prune(project)
    assert (done.returncode, files(project)) == (2, before)
    assert "conflict markers" in done.stderr
    missing = prune(project, "no_such_folder")
    assert (missing.returncode, "no_such_folder is no folder" in missing.stderr) == (2, True)
