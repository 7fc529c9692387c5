"""``tokenbudget ab``: base and head interleaved, each with its own code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from own_process import POST

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and process groups are those of POSIX")

LIVE_TEST = """
from pathlib import Path

@token_budget({"latency": "20%", "input_tokens": "10%"})
def test_agent(ask):
    import agent
    ask(agent.PROMPT)
    with open(os.environ["DIARY"], "a") as diary:
        print(Path(agent.__file__).parents[1], file=diary)
"""

LIVE_HEAD = f"""
import os
import pytest
from pytest_tokenbudget import token_budget
{POST}
@pytest.fixture
def ask():
    def ask(said):
        body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": said}}]}}
        post(os.environ["MODEL_URL"] + "/v1/chat/completions", body)
    return ask
"""


def test_growth_is_caught_and_explained(repository: Any, temporary: Path) -> None:
    """One pair decides a scripted test: the base's own code ran at the base, the table names the cause, reports are written."""
    repository.write(prompt=4000)
    done = repository.ab("main", "--report", "ab.json", "--report", "ab.md")
    assert done.returncode == 1, done.stderr
    assert "REGRESSION" in done.stdout
    assert "user messages" in done.stdout
    gate = repository.gate("worker.input_tokens")
    assert gate["verdict"] == "regression"
    assert gate["value"] - gate["baseline"] >= 400
    assert gate["exact"] is True
    report = repository.report()
    assert report["tests"][0]["samples"] == 1
    assert report["tests"][0]["against"].startswith("main (")
    assert "over budget" in (repository.root / "ab.md").read_text(encoding="utf-8")
    assert "pair 1" in done.stderr
    assert repository.is_clean(temporary)


def test_both_sides_words_are_compared(repository: Any, temporary: Path) -> None:
    """The system prompts of both sides' requests are compared, and redacted as cassettes are."""
    with (repository.root / "pytest.ini").open("a", encoding="utf-8") as ini:
        ini.write("tokenbudget_redact = acct-\\d+\n")
    test = repository.root / "tests" / "test_agent.py"
    asked = '{"role": "user", "content": said}'
    source = test.read_text(encoding="utf-8").replace(asked, f'{{"role": "system", "content": agent.SYSTEM}}, {asked}')
    test.write_text(source, encoding="utf-8")
    agent = "CALLS, PROMPT, BOOKED = 1, 'hello', 'lunch'\nSYSTEM = {!r}\n"
    (repository.root / "src" / "agent.py").write_text(agent.format("You keep a calendar.\nBe brief."), encoding="utf-8")
    repository.commit()
    longer = "You keep a calendar.\nSay why" + ", and whom you asked" * 8 + ". Pay from acct-4711."
    (repository.root / "src" / "agent.py").write_text(agent.format(longer), encoding="utf-8")
    done = repository.ab("main", "--report", "ab.json")
    assert done.returncode == 1, done.stderr
    causes = repository.report()["tests"][0]["causes"]
    (diff,) = {tuple(cause["diff"]) for cause in causes if cause["part"] == "system"}
    assert diff[1] == "-Be brief."
    assert diff[-1] == "+Pay from [redacted]."
    assert "-Be brief." in done.stdout
    assert "4711" not in done.stdout + json.dumps(causes)


def test_unchanged_code_passes(repository: Any, temporary: Path) -> None:
    """Exit code 0, and no baseline is written."""
    done = repository.ab("HEAD", "--same-code", "--report", "ab.json")
    assert done.returncode == 0, done.stderr
    assert {gate["verdict"] for gate in repository.report()["tests"][0]["gates"]} == {"ok"}
    assert repository.is_clean(temporary)


@pytest.mark.parametrize("base", ["", " ", ".", "HEAD", "main", "../before"])
def test_the_heads_own_code_is_no_base(repository: Any, temporary: Path, base: str) -> None:
    """An unset variable in CI, the directory itself, a revision or a checkout of the same files compare nothing."""
    repository.git("clone", "--quiet", ".", str(repository.root.parent / "before"))
    done = repository.ab(base)
    assert done.returncode == 2
    assert "fix: give the code before the change" in done.stderr
    assert repository.is_clean(temporary)


def test_targets_are_met_or_missed(repository: Any) -> None:
    """--reduce decides, each by itself; an outcome that the base never had spoils a target that was met in numbers."""
    repository.write(prompt=400, calls=2)
    repository.commit()
    repository.write(prompt=400, calls=1)
    met = repository.ab("HEAD", "--reduce", "worker.input_tokens=40%", "--report", "ab.json")
    assert met.returncode == 0, met.stderr
    assert "improved" in met.stdout
    assert "TARGET MISSED" not in met.stdout
    repository.write(prompt=400, calls=1, booked="nothing")
    missed = repository.ab("HEAD", "--reduce", "worker.input_tokens=40%", "--reduce", "worker.calls=60%")
    assert missed.returncode == 1
    assert missed.stdout.count("TARGET MISSED") == 1
    assert "outcome 'booked' was 'lunch', is 'nothing'" in missed.stdout


def test_live_runs_are_interleaved_and_adaptive(repository: Any, llm_server: Any, tmp_path: Path) -> None:
    """A B B A A B: a live time is not decided before three pairs; each side runs its own code, from inside a folder too."""
    diary = tmp_path / "diary"
    installed = tmp_path / "site"
    installed.mkdir()
    # What an editable installation of the working tree does.
    (installed / "sitecustomize.py").write_text(f"import sys\nsys.path.append({str(repository.root / 'src')!r})\n")
    repository.write_tests(LIVE_TEST, head=LIVE_HEAD)
    repository.commit()
    repository.write(prompt=404)
    done = repository.ab(
        "main",
        "--max-increase", "measured_latency=1000%",
        "--max-samples", "5",
        inside="tests",
        args=("test_agent.py",),
        MODEL_URL=llm_server.url,
        DIARY=str(diary),
        PYTHONPATH=str(installed),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    order = ["B" if Path(line) == repository.root else "A" for line in diary.read_text().splitlines()]
    assert "".join(order).startswith("ABBAAB")
    assert order.count("A") == order.count("B") <= 5
    assert len(llm_server.ledger) == len(order)
    assert "undecided after 1 pair" in done.stderr
    assert re.search(r"measured_latency [+-][\d.,]+ %.*, rule \+1000 %; \d+ more pairs? at least", done.stderr), (
        done.stderr
    )


def _move_agent(repository: Any, installed: Path, sitecustomize: str) -> None:
    """Keep the agent in a folder that is on no import path but that of the environment."""
    (repository.root / "backend").mkdir()
    repository.git("mv", "src/agent.py", "backend/agent.py")
    repository.commit()
    (repository.root / "backend" / "agent.py").write_text("CALLS, PROMPT, BOOKED = 1, 'x' * 4000, 'lunch'\n")
    installed.mkdir()
    (installed / "sitecustomize.py").write_text(sitecustomize)


def test_a_directory_is_a_base_and_an_installed_folder_is_looked_for_on_both_sides(
    repository: Any, tmp_path: Path
) -> None:
    """A second checkout; what an editable installation puts on the import path of the working tree stands on its path, too."""
    backend = str(repository.root / "backend")
    _move_agent(repository, tmp_path / "site", f"import sys\nsys.path.append({backend!r})\n")
    other = tmp_path / "before"
    repository.git("clone", "--quiet", ".", str(other))
    done = repository.ab("../before", "--report", "ab.json", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 1, done.stderr
    assert repository.gate("input_tokens")["verdict"] == "regression"
    assert other.is_dir()


def test_code_of_the_other_side_is_an_error(repository: Any, temporary: Path, tmp_path: Path) -> None:
    """An installation that maps the package onto the working tree would compare it with itself."""
    finder = f"""
import importlib.util, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "agent":
            return importlib.util.spec_from_file_location(name, {str(repository.root / "backend" / "agent.py")!r})

sys.meta_path.append(Finder)
"""
    _move_agent(repository, tmp_path / "site", finder)
    done = repository.ab("HEAD", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 2, done.stdout
    assert "imports agent from the other side" in done.stderr
    assert "PYTHONPATH=folder" in done.stderr
    assert repository.is_clean(temporary)
    fixed = repository.ab("HEAD", PYTHONPATH=os.pathsep.join(("backend", str(tmp_path / "site"))))
    assert fixed.returncode == 1, fixed.stderr
    assert "REGRESSION" in fixed.stdout


def test_a_failing_test_fails_the_command(repository: Any, temporary: Path) -> None:
    """By its own assertions, on either side; it is not run again, and the side is named."""
    repository.write_tests(
        "\n@token_budget('10%')\ndef test_agent(ask):\n    ask('x')\n    assert agent.CALLS == 1, 'too many'\n"
    )
    repository.commit()
    repository.write(calls=2)
    done = repository.ab("main")
    assert done.returncode == 1
    assert "fails at the working tree: AssertionError: too many" in done.stdout
    assert "failed on its own" in done.stdout
    assert repository.is_clean(temporary)


def test_one_sided_tests_are_named_and_budgets_may_be_new(repository: Any) -> None:
    """A test without a budget at the base is measured there; one that is missing on a side is not compared."""
    repository.write_tests(
        "\ndef test_agent(ask):\n    ask(agent.PROMPT)\n\n@token_budget('10%')\ndef test_old(ask):\n    ask('x')\n"
    )
    repository.commit()
    repository.write_tests(
        "\n@token_budget('10%')\ndef test_agent(ask):\n    ask(agent.PROMPT)\n"
        "\n@token_budget('10%')\ndef test_new(ask):\n    ask('x')\n\ndef test_plain():\n    assert False\n"
    )
    done = repository.ab("main", "--report", "ab.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [test["nodeid"] for test in repository.report()["tests"]] == ["tests/test_agent.py::test_agent"]
    assert "only at the working tree, not compared: tests/test_agent.py::test_new" in done.stdout
    assert "tests/test_agent.py::test_old" in done.stdout


def test_a_confirmation_runs_only_what_is_suspected(repository: Any) -> None:
    """The gates that a report calls a regression, and no others; nothing suspected needs no run."""
    repository.write_tests("\n@token_budget('10%')\ndef test_other(ask):\n    ask('x')\n", name="test_other.py")
    repository.commit()
    repository.write(prompt=4000)
    assert repository.ab("main", "--report", "report.json").returncode == 1
    again = repository.ab("main", "--confirm", "report.json", "--report", "ab.json")
    assert again.returncode == 1, again.stderr
    (test,) = repository.report()["tests"]
    assert {gate["metric"] for gate in test["gates"]} == {"input_tokens", "worker.input_tokens"}
    report = repository.report("report.json")
    for gate in (gate for test in report["tests"] for gate in test["gates"]):
        gate["verdict"] = "ok"
    (repository.root / "report.json").write_text(json.dumps(report), encoding="utf-8")
    nothing = repository.ab("main", "--confirm", "report.json")
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert "nothing to confirm" in nothing.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-thing"], "it is no revision of this repository"),
        (["main", "--reduce", "worker.input_token=30%"], "nearest: input_tokens"),
        (["main", "--max-increase", "lots"], "is no rule"),
        (["main", "--report", "ab.xyz"], "known suffixes"),
        (["main", "--confirm", "pytest.ini"], "is no report"),
        (["main", "--max-samples", "0"], "at least one pair"),
    ],
)
def test_what_cannot_be_understood_is_an_error(
    repository: Any, temporary: Path, arguments: list[str], said: str
) -> None:
    """Exit code 2, with a remedy, and nothing stays behind."""
    done = repository.ab(*arguments, "--same-code")
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert repository.is_clean(temporary)


def test_a_side_that_does_not_collect_is_an_error(repository: Any, temporary: Path) -> None:
    """Its name and the end of what pytest said; the work tree is gone."""
    (repository.root / "src" / "agent.py").write_text("import no_such_module\n", encoding="utf-8")
    repository.commit()
    repository.write()
    done = repository.ab("main")
    assert done.returncode == 2
    assert "main (" in done.stderr
    assert "no_such_module" in done.stderr
    assert repository.is_clean(temporary)


def test_an_option_that_would_write_is_refused(repository: Any) -> None:
    """An A/B run stores nothing."""
    done = repository.ab("main", args=("tests", "--tokenbudget-update"))
    assert done.returncode == 2
    assert "stores nothing" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_left_after_a_signal(
    repository: Any, temporary: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The running pytest is ended, so that its fixtures are torn down, and the work tree is removed."""
    _hang(repository, tmp_path)
    process = _started(repository, tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "interrupted" in err
    assert (tmp_path / "torn-down").exists()
    assert repository.is_clean(temporary)


def test_what_a_killed_run_left_is_removed_by_the_next(repository: Any, temporary: Path, tmp_path: Path) -> None:
    """SIGKILL leaves a work tree; the next run removes it, but never one that is in use."""
    _hang(repository, tmp_path)
    killed, alive = _started(repository, tmp_path), _started(repository, tmp_path)
    killed.kill()
    killed.wait()
    assert len(repository.git("worktree", "list").splitlines()) == 3
    assert repository.ab("no-such-thing").returncode == 2
    repository.write_tests("\n@token_budget('10%')\ndef test_agent(ask):\n    ask('x')\n")
    assert repository.ab("main", "--same-code", args=("tests", "-k", "nothing")).returncode == 2
    assert len(repository.git("worktree", "list").splitlines()) == 2
    alive.send_signal(signal.SIGINT)
    alive.communicate(timeout=60)
    assert len(repository.git("worktree", "list").splitlines()) == 1
    killed.communicate()


def _hang(repository: Any, tmp_path: Path) -> None:
    """A test that says that it began, and waits for longer than anybody does."""
    repository.write_tests(f"""
import time
from pathlib import Path

@pytest.fixture
def resource():
    yield
    Path({str(tmp_path)!r}, "torn-down").touch()

@token_budget("10%")
def test_agent(ask, resource):
    ask("x")
    Path({str(tmp_path)!r}, f"began-{{os.getpid()}}").touch()
    time.sleep(60)
""")
    repository.commit()


def _started(repository: Any, tmp_path: Path) -> subprocess.Popen[str]:
    """The command, as soon as its first sample runs."""
    before = len(list(tmp_path.glob("began-*")))
    process = subprocess.Popen(
        [*repository.command, "main", "--same-code", "--", "tests"],
        cwd=repository.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("began-*"))) == before:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process
