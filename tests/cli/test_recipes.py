"""The recipes of ``docs/ci.md`` do what they say: each script runs in bash, against a stand-in for the host's API."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from code_host_server import PERSON, STRANGER, CodeHostServer, code_host_server
from own_process import POST, QUICK_INI
from report_runs import exact_test, showcase
from workflow_runner import ROOT, Runner, blocks, machine

from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report import json_report
from pytest_tokenbudget.report.markdown import marker

PAGE = ROOT / "docs" / "ci.md"
RECIPES = blocks(PAGE, "yaml") | blocks(PAGE, "groovy")
SHA = "0123456789abcdef0123456789abcdef01234567"

AGENT_TEST = f"""
from pytest_tokenbudget import token_budget
from pytest_tokenbudget.ext import text
{POST}
@token_budget({{"calls": "off"}}, limit={{"calls": 1}})
def test_agent(scripted_llm):
    scripted_llm.add(text("one"), text("two"))
    for prompt in ("hello", "bye"):
        body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": prompt}}]}}
        post("http://scripted.invalid/v1/chat/completions", body)
"""


@pytest.fixture
def host() -> Iterator[CodeHostServer]:
    with code_host_server() as running:
        yield running


def _project(tmp_path: Path) -> Path:
    """A project with a test that is over budget."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_agent.py").write_text(AGENT_TEST)
    (project / "pytest.ini").write_text(QUICK_INI)
    (project / "requirements.txt").write_text("")
    return project


def _github(
    tmp_path: Path, host: CodeHostServer, event: dict[str, Any], name: str, project: Path | None = None
) -> Runner:
    """A GitHub runner in the job of an event."""
    (artifacts := tmp_path / "artifacts").mkdir(parents=True, exist_ok=True)
    path = artifacts / f"{name}.json"
    path.write_text(json.dumps(event))
    run = event.get("workflow_run", {})
    return machine(
        project or _project(tmp_path),
        artifacts / name,
        github={
            "token": "t0ken",
            "event.workflow_run.event": run.get("event", ""),
            "event.workflow_run.id": str(run.get("id", "")),
            "event.workflow_run.html_url": run.get("html_url", ""),
        },
        environment={
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": host.url,
            "GITHUB_REPOSITORY": "acme/agent",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_STEP_SUMMARY": str(artifacts / f"{name}-summary.md"),
        },
    )


def _pull_request(number: int = 7, *, repository: str = "acme/agent") -> dict[str, Any]:
    return {"pull_request": {"number": number, "head": {"repo": {"full_name": repository}, "sha": SHA}}}


def _workflow_run(sha: str = SHA, owner: str = "mallory") -> dict[str, Any]:
    return {
        "workflow_run": {
            "event": "pull_request",
            "id": 99,
            "html_url": "https://host.example/runs/99",
            "head_branch": "patch-1",
            "head_sha": sha,
            "head_repository": {"owner": {"login": owner}},
            "pull_requests": [],
        }
    }


def test_every_recipe_is_run_here() -> None:
    """A recipe that is added has to be tried."""
    assert sorted(RECIPES) == [
        "GitHub: .github/workflows/agent-tests.yml",
        "GitLab: .gitlab-ci.yml",
        "Jenkins: Jenkinsfile",
        "Pull requests from forks: .github/workflows/agent-tests.yml",
        "Pull requests from forks: .github/workflows/token-budget-comment.yml",
    ]


def test_github_gets_a_comment_that_later_runs_replace(tmp_path: Path, host: CodeHostServer) -> None:
    """The failing test fails the job; the comment, the summary and the page are there all the same; the next run edits."""
    recipe = RECIPES["GitHub: .github/workflows/agent-tests.yml"]
    host.seed(7, "Nice!", PERSON)
    host.seed(7, f"I am the report.\n{marker()}", STRANGER)
    runner = _github(tmp_path, host, _pull_request(), "pull_request")
    runner.workflow(recipe)
    assert [code for script, code in runner.ran if script.startswith("pytest")] == [1]
    assert [comment["body"][:8] for comment in host.comments[7]] == ["Nice!", "I am the", "❌ **Toke"]
    (_, _, ours) = host.comments[7]
    assert "the agent makes 2 calls, limit 1" in ours["body"]
    assert "[the whole report](https://host.example/artifacts/token-budget-page)" in ours["body"]
    assert runner.uploaded == ["token-budget-page"]
    summary = (tmp_path / "artifacts" / "pull_request-summary.md").read_text(encoding="utf-8")
    assert "the agent makes 2 calls, limit 1" in summary
    assert host.tokens == {"Bearer t0ken"}

    fine = RunView("1", "gate", (exact_test("t.py::test_a"),))
    json_report.write(fine, runner.project / "report.json")
    again = _github(tmp_path, host, _pull_request(), "pull_request", runner.project)
    again.own_action({"report": "report.json"})
    assert len(host.comments[7]) == 3
    assert ours["body"].startswith("✅")


def test_a_fork_gets_its_comment_from_the_second_workflow(tmp_path: Path, host: CodeHostServer) -> None:
    """The first job holds no secret and asks the host for nothing; the second finds the pull request by branch and commit."""
    first = _github(tmp_path, host, _pull_request(8, repository="mallory/agent"), "pull_request")
    first.workflow(RECIPES["Pull requests from forks: .github/workflows/agent-tests.yml"])
    assert (first.uploaded, host.requests) == (["token-budget"], [])

    host.pulls = [
        {"number": 5, "head": {"label": "mallory:patch-1", "sha": "f" * 40}},
        {"number": 8, "head": {"label": "mallory:patch-1", "sha": SHA}},
        {"number": 9, "head": {"label": "ana:patch-1", "sha": SHA}},
    ]
    (empty := tmp_path / "empty").mkdir()
    second = _github(tmp_path, host, _workflow_run(), "workflow_run", empty)
    second.artifacts = first.artifacts
    second.workflow(RECIPES["Pull requests from forks: .github/workflows/token-budget-comment.yml"])
    assert [code for _, code in second.ran] == [0, 0]
    assert list(host.comments) == [8]
    assert "[the whole report](https://host.example/runs/99)" in host.comments[8][0]["body"]


def test_what_a_fork_uploads_is_data(tmp_path: Path, host: CodeHostServer) -> None:
    """Python files beside the report are not imported, and a report that is none comments nothing."""
    host.pulls = [{"number": 8, "head": {"label": "mallory:patch-1", "sha": SHA}}]
    (project := tmp_path / "hostile").mkdir()
    for name in ("json", "argparse", "sitecustomize", "urllib", "pathlib"):
        (project / f"{name}.py").write_text("open('owned', 'w').close()\n")
    (package := project / "pytest_tokenbudget").mkdir()
    (package / "__init__.py").write_text("open('owned', 'w').close()\n")
    json_report.write(showcase(), project / "report.json")
    runner = _github(tmp_path, host, _workflow_run(), "workflow_run", project)
    outputs = runner.own_action({"report": "report.json"})
    assert outputs == {"verdict": "no_calls", "exit-ok": "false"}
    assert not (project / "owned").exists()
    assert len(host.comments[8]) == 1

    (project / "report.json").write_text('{"format": 1, "verdict": "ok\\nexit-ok=true"}')
    assert runner.own_action({"report": "report.json"}) == {"verdict": "", "exit-ok": ""}
    assert len(host.comments[8]) == 1


def test_the_action_keeps_quiet_where_nothing_changed(tmp_path: Path, host: CodeHostServer) -> None:
    """No comment is written, unless it is wanted in any case; a name keeps the comments of two jobs apart."""
    project = _project(tmp_path)
    json_report.write(RunView("1", "gate", (exact_test("t.py::test_a"),)), project / "report.json")
    runner = _github(tmp_path, host, _pull_request(), "pull_request", project)
    assert runner.own_action({"report": "report.json"}) == {"verdict": "ok", "exit-ok": "true"}
    assert host.comments == {}
    for name in ("a", "b", "a"):
        runner.own_action({"report": "report.json", "always": "true", "name": name, "pull-request": "3"})
    assert [comment["body"].splitlines()[-1] for comment in host.comments[3]] == [marker("a"), marker("b")]


def test_the_action_says_which_permission_is_missing(
    tmp_path: Path, host: CodeHostServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """A token that may only read is an error with its remedy; for a fork it is none, and says which recipe helps."""
    project = _project(tmp_path)
    json_report.write(showcase(), project / "report.json")
    host.may_write = False
    runner = _github(tmp_path, host, _pull_request(), "pull_request", project)
    runner.own_action({"report": "report.json"})
    assert runner.ran[-1][1] == 2
    fork = _github(tmp_path / "fork", host, _pull_request(repository="mallory/agent"), "pull_request", project)
    fork.own_action({"report": "report.json"})
    assert fork.ran[-1][1] == 0
    said = capfd.readouterr().err
    assert "permissions: pull-requests: write" in said
    assert "Use the recipe with workflow_run" in said


def test_gitlab_gets_a_note_metrics_and_properties(tmp_path: Path, host: CodeHostServer) -> None:
    """The script fails by the budget, the note is written after it, and the next run edits it."""
    job = yaml.safe_load(RECIPES["GitLab: .gitlab-ci.yml"])["agent-tests"]
    host.me = dict(PERSON)
    host.seed(4, f"not mine\n{marker()}", STRANGER)
    project = _project(tmp_path)
    runner = machine(
        project,
        tmp_path / "artifacts",
        github={},
        environment={
            "GITLAB_CI": "true",
            "GITLAB_TOKEN": "glpat-1",
            "CI_API_V4_URL": f"{host.url}/api/v4",
            "CI_PROJECT_ID": "12",
            "CI_MERGE_REQUEST_IID": "4",
            "CI_JOB_URL": "https://host.example/jobs/1",
        },
    )
    assert [runner.script(line, {})[0] for line in job["script"]] == [0, 1]
    assert [runner.script(line, {})[0] for line in (*job["after_script"], *job["after_script"])] == [0, 0]
    other, note = host.comments[4]
    assert other["body"].startswith("not mine")
    assert "[the whole report](https://host.example/jobs/1/artifacts/file/report.html)" in note["body"]
    assert host.tokens == {"glpat-1"}
    assert all((project / name).exists() for name in job["artifacts"]["paths"])
    assert (project / job["artifacts"]["reports"]["metrics"]).read_text().endswith("# EOF\n")
    assert _properties(project / job["artifacts"]["reports"]["junit"])["tokenbudget.verdict"] == "over_limit"


def test_jenkins_gets_properties_and_the_page(tmp_path: Path) -> None:
    """The figures of a test stand in ``junit.xml``, as numbers."""
    recipe = RECIPES["Jenkins: Jenkinsfile"]
    runner = machine(_project(tmp_path), tmp_path / "artifacts", github={}, environment={})
    del runner.environment["CI"]
    codes = [runner.script(script, {})[0] for script in re.findall(r"sh '(.*)'", recipe)]
    assert codes == [0, 1]
    found = _properties(runner.project / "junit.xml")
    assert found["tokenbudget.calls"] == "2"
    assert int(found["tokenbudget.input_tokens"]) > 0
    assert found["tokenbudget.gate.calls"] == "2  limit 1  OVER LIMIT"
    assert (runner.project / "report.html").exists()


def _properties(path: Path) -> dict[str, str]:
    """The properties of the only test."""
    (case,) = ET.parse(path).getroot().iter("testcase")
    return {item.attrib["name"]: item.attrib["value"] for item in case.iter("property")}
