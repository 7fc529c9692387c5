"""What works in a project and its environment, and what to do where something does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import run_command
from own_process import only_this_plugin
from secret_shapes import made

from pytest_tokenbudget.baselines.format import dump, format_of, load
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord

REPOSITORY = Path(__file__).parents[2]
CASSETTE = next((REPOSITORY / "conftest_examples" / "quickstart").rglob("*.jsonl"))
FORMAT_1 = REPOSITORY / "tests" / "baselines" / "format_1" / "test_desk.json"
TEST = 'from pytest_tokenbudget import token_budget\n@token_budget("10%", replay=True)\ndef test_a(): pass\n'
OLD_TESTS = """
import pytest
def test_one_plain_call(): pass
def test_played(): pass
def test_says_where_the_lamp_is(): pass
@pytest.mark.parametrize("name", ["Ana", "B\u00f6 [x]"])
def test_three_samples(name): pass
"""


@dataclass(frozen=True)
class Project:
    """A project with one test, its baseline and its cassette."""

    root: Path

    @property
    def budgets(self) -> Path:
        """The folder of the stored files."""
        return self.root / "tests" / "__budgets__"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``tokenbudget doctor``."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return run_command("doctor", *arguments, cwd=self.root)

    def findings(self, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and the findings that are not ok."""
        done = self.run("--json", *arguments, **environment)
        assert done.stderr == ""
        found = json.loads(done.stdout)["findings"]
        return done.returncode, [one for one in found if one["level"] in ("finding", "error")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which all is well, on no CI service."""
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    only_this_plugin(monkeypatch, "no:cacheprovider")
    made = Project(tmp_path)
    (made.budgets / "cassettes").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "tests" / "test_desk.py").write_text(TEST, encoding="utf-8")
    (made.budgets / "test_desk.json").write_bytes(dump({"test_a": BaselineEntry({"calls": MetricRecord(((1,),), 1)})}))
    (made.budgets / "cassettes" / "test_desk.test_a.jsonl").write_bytes(CASSETTE.read_bytes())
    return made


def test_a_project_in_which_all_is_well(project: Project) -> None:
    """Exit code 0: versions, clients, formats, encodings, files and CI are named; ``CI=false`` is no CI."""
    done = project.run(GITHUB_ACTIONS="true", CI="false")
    assert (done.returncode, done.stderr) == (0, "")
    for told in (
        f"Python {sys.version.split()[0]}",
        f"pytest {pytest.__version__}",
        "clients: installed and watched: ",
        "openai.chat",
        "available offline: cl100k_base, o200k_base",
        "baselines: 1 readable file with 1 entry",
        "cassettes: 1 file readable and without a secret",
        "tests: 1 test collected; no entry without a test",
        "CI: none: CI is 'false'",
    ):
        assert told in done.stdout
    assert done.stdout.endswith("all is well\n")
    assert "\x1b" not in done.stdout


def test_old_baselines_are_found_and_migrated(project: Project) -> None:
    """Format 1 is a finding; ``--migrate`` writes the same figures in format 2, once."""
    old = FORMAT_1.read_bytes()
    entries = load(old, FORMAT_1)
    path = project.budgets / "test_desk.json"
    path.write_bytes(old)
    (project.root / "tests" / "test_desk.py").write_text(TEST + OLD_TESTS, encoding="utf-8")
    code, found = project.findings()
    assert (code, path.read_bytes()) == (1, old)
    assert [(one["text"], one["remedy"]) for one in found] == [
        ("tests/__budgets__/test_desk.json has format 1", "tokenbudget doctor --migrate")
    ]
    assert project.findings("--migrate", CI="true") == (0, [])
    written = path.read_bytes()
    assert (format_of(written), load(written, path)) == (2, entries)
    assert project.findings("--migrate") == (0, [])
    assert path.read_bytes() == written


def test_each_finding_has_its_remedy(project: Project) -> None:
    """An entry and a cassette without a test, and a CI service that does not say so: exit code 1."""
    (project.budgets / "test_gone.json").write_bytes(dump({"test_x[\x1b[31m]": BaselineEntry({})}))
    (project.budgets / "cassettes" / "gone.jsonl").write_bytes(CASSETTE.read_bytes())
    done = project.run(JENKINS_URL="http://ci.example")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    assert "tests/__budgets__/test_gone.json holds 1 entry without a test: test_x[[31m]" in done.stdout
    assert "gone.jsonl is a cassette that no test plays" in done.stdout
    assert "Jenkins is detected, but the variable CI is not set" in done.stdout
    assert done.stdout.count("fix: tokenbudget prune --dry-run") == 2
    assert "fix: set CI=true in the job" in done.stdout


def test_what_cannot_be_read_and_secrets_are_errors(project: Project) -> None:
    """Exit code 2, the file and the remedy; a secret is not told, and the project may allow it."""
    secret = "ghp_" + made(36)
    cassette = project.budgets / "cassettes" / "test_desk.test_a.jsonl"
    cassette.write_bytes(cassette.read_bytes().replace(b"What is a token?", f"My token: {secret}".encode()))
    baseline = project.budgets / "test_desk.json"
    before = baseline.read_bytes()
    baseline.write_bytes(before[: len(before) // 2])
    broken = project.root / "tests" / "test_broken.py"
    broken.write_text("import no_such_module\n", encoding="utf-8")
    code, found = project.findings()
    assert (code, [one["check"] for one in found]) == (2, ["baselines", "cassettes", "tests"])
    assert "test_desk.json" in found[0]["text"]
    assert "test_desk.test_a.jsonl: the request of call 1 holds what looks like a key (github-token" in found[1]["text"]
    assert "no_such_module" in found[2]["text"]
    assert all(one["remedy"] for one in found)
    assert secret not in json.dumps(found)
    baseline.write_bytes(before)
    broken.unlink()
    (project.root / "pytest.ini").write_text("[pytest]\ntokenbudget_allow_secret = github-token\n", encoding="utf-8")
    assert project.findings() == (0, [])
