"""The past of baseline files, from real git repositories."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.baselines.history import histories
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord

HOSTILE = "one\x02two \x1b[31m <script> --upload-pack=x"


class Repository:
    """A git repository with baseline files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.com")
        self.git("config", "user.name", "A")

    def git(self, *arguments: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True, capture_output=True, env=clean)

    def commit(self, name: str, tokens: int | None, subject: str = "Change") -> Path:
        """Store a value of ``input_tokens``, or remove the file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if tokens is None:
            path.unlink()
        else:
            path.write_bytes(dump({"test_a": _entry(tokens)}))
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty-message", "-m", subject)
        return path


def _entry(tokens: int) -> BaselineEntry:
    return replace(BaselineEntry(), metrics={"input_tokens": MetricRecord(((tokens,),), tokens)})


def _tokens(path: Path, **options: int) -> list[int | None]:
    """The stored values over time, ``None`` where the file was not there."""
    found = histories([path], **options).get(path, ())
    return [
        int(revision.entries["test_a"].metrics["input_tokens"].values[0]) if revision.entries else None
        for revision in found
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_revisions_come_oldest_first(repository: Repository) -> None:
    """Each commit that changed the file, with its hash, time and subject; others are not told."""
    path = repository.commit("tests/__budgets__/test_a.json", 100, "Add it")
    repository.commit("tests/__budgets__/test_b.json", 1, "Another file")
    repository.commit("tests/__budgets__/test_a.json", 120, HOSTILE)
    first, second = histories([path])[path]
    assert (first.subject, second.subject) == ("Add it", HOSTILE)
    assert len(first.commit) == 40
    assert first.time > 1_600_000_000
    assert _tokens(path) == [100, 120]


def test_a_file_that_was_away_or_damaged_keeps_its_past(repository: Repository) -> None:
    """A removal is a revision without entries; a revision that cannot be read is left out."""
    path = repository.commit("b/test_a.json", 100)
    repository.commit("b/test_a.json", None)
    repository.commit("b/test_a.json", 130)
    path.write_text("<<<<<<< HEAD\n")
    repository.git("commit", "-qam", "Damage it")
    repository.commit("b/test_a.json", 140)
    assert _tokens(path) == [100, None, 130, 140]
    path.unlink()
    assert _tokens(path) == [100, None, 130, 140]


def test_only_the_newest_revisions_are_read(repository: Repository) -> None:
    """By number, and by bytes, so that a long past costs no more than a short one."""
    for tokens in range(1, 8):
        path = repository.commit("b/test_a.json", tokens)
    size = path.stat().st_size
    assert _tokens(path, revisions=3) == [5, 6, 7]
    assert _tokens(path, most_bytes=int(2.5 * size)) == [6, 7]


def test_names_of_files_are_no_options_and_no_patterns(repository: Repository) -> None:
    """A path that git could take for an option, a pattern or magic is that file and no other."""
    names = ["b/test_*.json", "b/:(glob)test_x.json", "b/--all.json", "b/test [1].json", "b/tést.json"]
    paths = [repository.commit(name, index + 1) for index, name in enumerate(names)]
    repository.commit("b/test_a.json", 99)
    assert [_tokens(path) for path in paths] == [[1], [2], [3], [4], [5]]


def test_the_repository_runs_nothing(repository: Repository, tmp_path: Path) -> None:
    """Neither a text conversion nor a signature check nor a pager, which a repository's configuration may name."""
    path = repository.commit("b/test_a.json", 100)
    (repository.root / ".gitattributes").write_text("*.json diff=evil\n")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    evil.chmod(0o755)
    for key in (
        "diff.evil.textconv",
        "diff.evil.command",
        "diff.external",
        "gpg.program",
        "core.pager",
        "core.fsmonitor",
    ):
        repository.git("config", key, str(evil))
    repository.git("config", "log.showSignature", "true")
    assert _tokens(path) == [100]
    assert not (tmp_path / "owned").exists()


def test_where_there_is_no_git_there_is_no_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, without commits, without a folder, without git: empty, and no error."""
    outside = tmp_path / "outside" / "test_a.json"
    outside.parent.mkdir()
    assert histories([outside, tmp_path / "nowhere" / "test_a.json"]) == {}
    repository = Repository(tmp_path / "empty")
    assert histories([repository.root / "test_a.json"]) == {}
    path = repository.commit("test_a.json", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert histories([path]) == {}


def test_a_hook_of_git_does_not_mislead(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a hook, git's variables name another repository; the file's own is asked."""
    path = repository.commit("test_a.json", 5)
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    assert _tokens(path) == [5]
