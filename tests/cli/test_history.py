"""How the figures of a test moved over git."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.cli import main as entry
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PartTotal, StageComposition

NODEID = "tests/test_desk.py::test_a"
HOSTILE = "evil\x1b[31m ##[error]"
WHO = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")


def git(*arguments: str) -> None:
    """Run git in this folder."""
    subprocess.run(["git", *WHO, *arguments], check=True, capture_output=True)


def store(tokens: int, *, origin: int = 100, key: str = "test_a") -> Path:
    """Write the baseline of a test whose worker reads so many tokens."""
    part = PartTotal("user", "", tokens, 1, 1, tokens, f"d{tokens}")
    metrics = {
        "worker.input_tokens": MetricRecord(((tokens,),), origin),
        "worker.calls": MetricRecord(((1,),), 1),
        "router.input_tokens": MetricRecord(((50,),), 50),
        "router.calls": MetricRecord(((1,),), 1),
    }
    path = Path("tests", "__budgets__", "test_desk.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump({key: BaselineEntry(metrics, composition={"worker": StageComposition(1, (part,))})}))
    return path


def commit(subject: str) -> None:
    """Commit everything."""
    git("add", "--all")
    git("commit", "-q", "--allow-empty", "-m", subject)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four revisions: stored, a little more, a jump that was updated, one that was accepted; and a change since then."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    for tokens, origin, subject in (
        (1000, 1000, "first"),
        (1001, 1000, "hardly more"),
        (1200, 1000, HOSTILE),
        (900, 900, "less"),
    ):
        store(tokens, origin=origin)
        commit(subject)
        commit("something else")
    store(950, origin=900)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What ``tokenbudget history`` prints; it succeeds."""
    assert entry.main(["history", *map(str, arguments)]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def points(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """The points of the one metric that it prints as JSON."""
    (found,) = json.loads(printed(capsys, *arguments, "--json"))["histories"]
    assert found["test"] == NODEID
    return list(found["points"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What it says to an error of the user."""
    assert entry.main(["history", *map(str, arguments)]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert "  fix: " in found.err
    return found.err


def test_a_metric_is_shown_over_its_revisions(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, with commit, change and subject; jumps say how they were stored; the working tree is the last."""
    lines = printed(capsys, NODEID, "worker.input_tokens").splitlines()
    assert lines[0] == NODEID
    assert lines[1] == "worker.input_tokens  ▃▃█▁▂  1,000 → 950 -5.0 %  (5 revisions)"
    assert [line.split()[0] for line in lines[2:3]] == ["(not"]
    words = [line.split()[2:] for line in lines[2:]]
    assert words == [
        ["950", "+5.6", "%", "updated"],
        ["900", "-25.0", "%", "accepted", "less"],
        ["1,200", "+19.9", "%", "updated", "evil[31m", "#", "#[error]"],
        ["1,001", "+0.1", "%", "hardly", "more"],
        ["1,000", "first"],
    ]


def test_without_a_metric_the_main_ones_are_shown_with_their_jumps(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums over the stages too; a metric that never moved is one flat line."""
    lines = printed(capsys, "test_a").splitlines()
    (calls,) = [line for line in lines if line.startswith("calls")]
    assert calls == "calls  ▁▁▁▁▁  2  (5 revisions)"
    assert not [line for line in lines if "hardly more" in line]
    assert [line for line in lines if "accepted" in line]


def test_json_has_whole_hashes_and_unrounded_values(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What another program needs; the working tree has no commit."""
    found = points(capsys, NODEID, "worker.input_tokens")
    assert [point["value"] for point in found] == [1000, 1001, 1200, 900, 950]
    assert [point["jump"] for point in found] == [False, False, True, True, True]
    assert [point["accepted"] for point in found] == [False, False, False, True, False]
    assert {len(point["commit"]) for point in found[:-1]} == {40}
    assert (found[-1]["commit"], found[-1]["time"]) == ("", None)
    assert found[2]["subject"] == HOSTILE
    assert found[2]["change"] == pytest.approx(1200 / 1001 - 1)


def test_fewer_revisions_are_said(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two commits and the working tree do not look like all there is."""
    text = printed(capsys, NODEID, "worker.input_tokens", "--revisions", "2")
    assert "1,200 → 950 -20.8 %  (3 revisions)" in text
    assert "there are older revisions: --revisions 4" in text
    assert "older" not in printed(capsys, NODEID, "worker.input_tokens", "--revisions", "4")


def test_a_test_that_is_gone_has_its_past(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its entry, or its whole file, was removed; git has it still."""
    store(10, key="test_other")
    assert [point["value"] for point in points(capsys, NODEID, "worker.input_tokens")] == [1000, 1001, 1200, 900]
    Path("tests", "__budgets__", "test_desk.json").unlink()
    assert [point["value"] for point in points(capsys, NODEID, "worker.input_tokens")] == [1000, 1001, 1200, 900]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((NODEID, "worker.input_token"), "worker.input_tokens"),
        (("tests/test_desk.py::test_none",), "no revision in git holds a test 'test_none'"),
        (("tests/test_none.py::test_a",), "git has no revision of it"),
        (("nothing",), "'nothing' is no file, no test and no reference"),
        ((NODEID, "--revisions", "0"), "less than 1"),
        ((NODEID, "--against", "../x"), "cannot be the name of a reference"),
    ],
)
def test_what_has_no_history_is_an_error(
    arguments: tuple[str, ...], said: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what was asked for, and a remedy; exit code 2."""
    assert said in refused(capsys, *arguments)


def test_outside_of_git_there_is_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says so instead of showing an empty line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    store(100)
    assert "no git repository" in refused(capsys, NODEID)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit codes."""
    with pytest.raises(SystemExit):
        entry.main(["history", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "example: tokenbudget history tests/test_desk.py::test_refunds worker.input_tokens" in text
    assert "Exit codes: 0" in text
