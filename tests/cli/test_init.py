"""A project is set up: each change is shown, nothing is written unasked, and a second run has nothing to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from code_host_server import code_host_server
from command import run_command
from workflow_runner import machine

from pytest_tokenbudget.cli import main as entry

AGENT = """
import httpx

def answer(question, *, url="http://scripted.invalid/v1"):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": question}]}
    return httpx.post(f"{url}/chat/completions", json=body).json()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a package, on GitHub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "agent.py").write_text(AGENT)
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text('# ours\n[project]\nname = "desk"  # the desk\n')
    for step in (("init", "-q", "-b", "trunk"), ("remote", "add", "origin", "https://github.com/ana/desk.git")):
        subprocess.run(["git", *step], cwd=tmp_path, check=True)
    return tmp_path


def _files(root: Path) -> dict[str, bytes]:
    """All files, git's settings too."""
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_without_a_terminal_it_only_shows(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The diff of each file and git's settings; not a byte is written."""
    before = _files(root)
    assert entry.main(["init", "--agent", "app.agent:answer"]) == 0
    shown = capsys.readouterr().out
    for line in (
        '+tokenbudget_max_increase = "10%"',
        "+**/__budgets__/**/*.json diff=tokenbudget merge=tokenbudget",
        '+    answer("What can you do for me?")  # ask what your users ask',
        "+    branches: [trunk]",
        "  git config merge.tokenbudget.driver 'tokenbudget merge-driver %O %A %B %P'",
        "nothing is written: `tokenbudget init --yes` writes it",
    ):
        assert line in shown.splitlines(), line
    assert _files(root) == before
    assert entry.main(["init", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [change["path"] for change in found["changes"]] == [
        "pyproject.toml",
        ".gitattributes",
        ".github/workflows/agent-tests.yml",
    ]
    assert found["written"] == []
    assert _files(root) == before


def test_twice_is_harmless(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --yes all is written, comments stay, and the second run has nothing to do."""
    assert entry.main(["init", "--agent", "app.agent:answer", "--yes"]) == 0
    text = (root / "pyproject.toml").read_text()
    assert text.startswith('# ours\n[project]\nname = "desk"  # the desk\n')
    assert text.endswith('[tool.pytest.ini_options]\ntokenbudget_max_increase = "10%"\npythonpath = ["."]\n')
    driver = subprocess.run(
        ["git", "config", "merge.tokenbudget.driver"], cwd=root, capture_output=True, text=True, check=True
    )
    assert driver.stdout == "tokenbudget merge-driver %O %A %B %P\n"
    before = _files(root)
    capsys.readouterr()
    assert entry.main(["init", "--agent", "app.agent:answer", "--yes"]) == 0
    assert capsys.readouterr().out == "nothing to do: the project is set up\n"
    assert _files(root) == before


def test_at_a_terminal_each_file_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is not written, and the end of the input refuses the rest."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        if len(asked) == 3:
            raise EOFError
        return "n" if "pyproject" in question else ""

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert entry.main(["init"]) == 0
    assert [question.removesuffix(" [Y/n] ") for question in asked] == [
        "write pyproject.toml?",
        "write .gitattributes?",
        "write .github/workflows/agent-tests.yml?",
        "make them here?",
    ]
    assert "tokenbudget" not in (root / "pyproject.toml").read_text()
    assert (root / ".gitattributes").exists()
    assert not (root / ".github").exists()


def test_the_first_test_runs(root: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest finds the agent from wherever it is run."""
    monkeypatch.chdir(root)
    assert entry.main(["init", "--agent", "app.agent:answer", "--yes"]) == 0
    monkeypatch.chdir(pytester.path)
    path = root / "tests" / "test_answer_budget.py"
    source = path.read_text()
    assert "from app.agent import answer\n" in source
    # No network here: the model is a script.
    path.write_text(
        source.replace(", replay=True", "").replace(
            "_budget():",
            "_budget(scripted_llm):\n    from pytest_tokenbudget.ext import text\n    scripted_llm.add(text('done'))",
        )
    )
    result = pytester.runpytest_inprocess(
        "-p", "no:asyncio", "--rootdir", str(root), "-c", str(root / "pyproject.toml"), str(root / "tests")
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pytest.ini", "[pytest]\n# why\naddopts = -q  ; quiet\n\n[other]\nx = 1\n", "[pytest]\n# why\naddopts = -q  ; quiet\nRULE\n\n[other]\nx = 1\n"),
        ("tox.ini", "[tox]\nenvlist = py\n\n[pytest]\naddopts =\n    -q\n", "[tox]\nenvlist = py\n\n[pytest]\naddopts =\n    -q\nRULE\n"),
        ("tox.ini", "[pytest]\r\naddopts = -q\r\n", "[pytest]\r\naddopts = -q\r\nRULE\r\n"),
        ("setup.cfg", "[tool:pytest]\n", "[tool:pytest]\nRULE\n"),
        ("pyproject.toml", '[tool.pytest]\nminversion = "9"  # new\n[tool.x]\na = 1\n', '[tool.pytest]\nminversion = "9"  # new\nTOML\n[tool.x]\na = 1\n'),
    ],
)  # fmt: skip
def test_the_rule_goes_where_the_project_keeps_its_settings(
    name: str, text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments, order and line ends stay."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(text.encode())
    assert entry.main(["init", "--yes", "--ci", "none"]) == 0
    rule = "tokenbudget_max_increase = 10%"
    toml = 'tokenbudget_max_increase = "10%"'
    assert (tmp_path / name).read_bytes().decode() == expected.replace("RULE", rule).replace("TOML", toml)


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_the_recipe_runs(host: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each of its scripts runs in bash, against a stand-in for the host's API; a job that exists stays as it is."""
    (root / "test_agent.py").write_text(
        "from pytest_tokenbudget import token_budget\n\n@token_budget('off', limit={'calls': 1})\ndef test_agent(budget):\n"
        "    for _ in range(2):\n        budget.record(model='gpt-4o', input_tokens=10, output_tokens=1)\n"
    )
    (root / ".gitlab-ci.yml").write_text("lint:\n  script: [ruff check]\n") if host == "gitlab" else None
    assert entry.main(["init", "--yes"]) == 0
    artifacts = tmp_path_factory.mktemp("artifacts")
    event = artifacts / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": {"repo": {"full_name": "ana/desk"}}}}))
    with code_host_server() as server:
        variables = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": server.url,
            "GITHUB_REPOSITORY": "ana/desk",
            "GITHUB_EVENT_PATH": str(event),
        }
        runner = machine(
            root, artifacts / "run", github={"token": "t0ken"}, environment=variables if host == "github" else {}
        )
        if host == "github":
            runner.workflow((root / ".github" / "workflows" / "agent-tests.yml").read_text())
            (comment,) = server.comments[7]
            assert "limit 1" in comment["body"]
            assert runner.uploaded == ["token-budget"]
        else:
            jobs = yaml.safe_load((root / ".gitlab-ci.yml").read_text())
            assert jobs["lint"] == {"script": ["ruff check"]}
            for line in [*jobs["agent-tests"]["script"], *jobs["agent-tests"]["after_script"]]:
                runner.script(line, {"CI_JOB_URL": "https://host.example/1"})
    codes = {script.split()[0]: code for script, code in runner.ran}
    assert codes["pip"] == 0
    assert codes["pytest"] == 1
    assert (root / "report.html").exists()


@pytest.mark.parametrize("agent", ["app.agent", "app.agent:none", "app.nothing:answer", "app.agent:a b", "../x:y"])
def test_an_agent_that_is_not_there_is_an_error(agent: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that says what there is; nothing is written."""
    before = _files(root)
    assert entry.main(["init", "--yes", "--agent", agent]) == 2
    assert "fix: " in capsys.readouterr().err
    assert _files(root) == before


def test_git_reads_its_diff_and_merges_by_itself(root: Path) -> None:
    """With what init writes, git diff shows figures, also of files that are no baselines, and branches merge."""
    from pytest_tokenbudget.baselines.format import dump
    from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord

    def write(tokens: dict[str, int]) -> None:
        path = root / "tests" / "__budgets__" / "test_desk.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            dump(
                {
                    key: BaselineEntry({"input_tokens": MetricRecord(((value,),), value)})
                    for key, value in tokens.items()
                }
            )
        )

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout

    assert entry.main(["init", "--yes", "--ci", "none"]) == 0

    for name, verb in (
        ("diff.tokenbudget.textconv", "textconv"),
        ("merge.tokenbudget.driver", "merge-driver %O %A %B %P"),
    ):
        git("config", name, f"{sys.executable} -m pytest_tokenbudget {verb}")
    write({"test_a": 1000, "test_b": 1000})
    git("add", "-A")
    git("commit", "-qm", "first")
    git("checkout", "-qb", "other")
    write({"test_a": 1500, "test_b": 1000})
    diff = git("diff")
    assert "-test_a input_tokens 1,000\n+test_a input_tokens 1,500\n" in diff
    git("commit", "-qam", "other")
    git("checkout", "-q", "trunk")
    write({"test_a": 1000, "test_b": 700})
    git("commit", "-qam", "ours")
    git("merge", "-q", "other")
    assert "test_a input_tokens 1,500" in git("diff", "HEAD~1") + git("diff", "HEAD^2")
    (root / "tests" / "__budgets__" / "test_desk.json").write_text("<<<<<<< ours\n")
    assert "+<<<<<<< ours" in git("diff")


@pytest.mark.parametrize(
    ("signature", "call"),
    [
        ("question", 'answer("What can you do for me?")'),
        ("url, question", 'answer(url=..., question="What can you do for me?")'),
        ("url, /, question, top=3", 'answer(..., question="What can you do for me?")'),
        ("url, *, prompt, user", 'answer(url=..., prompt="What can you do for me?", user=...)'),
        ("words, session", 'answer("What can you do for me?", session=...)'),
        ("", "answer()"),
    ],
)
def test_the_first_test_asks_by_the_argument_that_takes_a_question(signature: str, call: str, tmp_path: Path) -> None:
    """A name says which one it is; without such a name it is the first."""
    (tmp_path / "agent.py").write_text(f"def answer({signature}): ...\n", encoding="utf-8")
    shown = run_command("init", "--agent", "agent:answer", "--ci", "none", cwd=tmp_path).stdout
    assert f"+    {call}  # ask what your users ask\n" in shown
