"""The main street: a marked test, its baseline, and a red pull request."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_tokenbudget.records.baseline import MetricRecord

ONE_CALL = """
@token_budget("10%")
def test_agent(ask):
    assert ask({text!r}, stage_name="worker").status_code == 200
"""


def test_first_run_writes_a_baseline_and_the_second_agrees(project: Any) -> None:
    """The file appears beside the tests, and an unchanged run leaves it untouched to the byte."""
    project.write(ONE_CALL.format(text="hello"))
    project.run().assert_outcomes(passed=1)
    assert project.test["verdict"] == "new"
    written = project.baseline
    project.run().assert_outcomes(passed=1)
    assert project.baseline == written
    assert project.test["verdict"] in ("ok", "inconclusive")
    assert project.gate("worker.input_tokens")["verdict"] == "ok"


def test_longer_prompt_fails_and_names_stage_and_growth(project: Any) -> None:
    """A prompt that grows beyond the rule fails the test and says which stage grew by how much."""
    project.write(ONE_CALL.format(text="hello " * 100))
    project.run().assert_outcomes(passed=1)
    project.write(ONE_CALL.format(text="hello " * 150))
    result = project.run()
    result.assert_outcomes(failed=1)
    then, now = project.server.ledger[0].input_tokens, project.server.ledger[-1].input_tokens
    gate = project.gate("worker.input_tokens")
    assert (gate["baseline"], gate["value"], gate["verdict"]) == (then, now, "regression")
    assert gate["change"] == pytest.approx(now / then - 1)
    result.stdout.fnmatch_lines(
        [f"*input_tokens*{then:,} → {now:,}*REGRESSION", f"*input {then:,} → {now:,}*OVER (+10 %)"]
    )
    result.stdout.no_fnmatch_line("*pytest_tokenbudget/*.py*")
    assert project.report["exit_ok"] is False


def test_report_equals_the_servers_books(project: Any) -> None:
    """Every call stands in the report with the tokens that the server booked."""
    project.write("""
@token_budget("10%")
def test_agent(ask):
    for n in range(3):
        ask("x" * n * 100, stage_name="worker")
    ask("bye")
""")
    project.run().assert_outcomes(passed=1)
    test = project.test
    ledger = project.server.ledger
    assert [call["input_tokens"] for call in test["calls"]] == [entry.input_tokens for entry in ledger]
    assert [call["stage"] for call in test["calls"]] == ["worker"] * 3 + ["main"]
    assert test["total"]["input_tokens"] == ledger.total("input_tokens")
    assert test["total"]["output_tokens"] == ledger.total("output_tokens")
    assert test["stages"]["worker"]["calls"] == 3
    assert sum(test["composition"]["worker"].values()) == test["stages"]["worker"]["input_tokens"]


def test_ci_requires_a_baseline(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set a missing baseline fails, is not created, and the remedy is named."""
    monkeypatch.setenv("CI", "true")
    project.write(ONE_CALL.format(text="hello"))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "no_baseline"
    assert not (project.pytester.path / "__budgets__").exists()
    result.stdout.fnmatch_lines(["*--tokenbudget-update*"])
    project.run("--tokenbudget-missing=create").assert_outcomes(passed=1)


def test_no_call_fails_and_names_what_was_watched(project: Any) -> None:
    """A marked test in which no model call was seen fails with the clients and hosts."""
    project.write("""
@token_budget("10%")
def test_agent(ask):
    import os
    try:
        import httpx
    except ImportError:
        import httpx2 as httpx
    httpx.get(os.environ["SERVER"] + "/v1/models")
""")
    import os

    os.environ["SERVER"] = project.server.url
    result = project.run()
    del os.environ["SERVER"]
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "no_calls"
    result.stdout.fnmatch_lines(["*no model call was seen*", "*watched clients: *httpx*", "*127.0.0.1*"])
    assert not (project.pytester.path / "__budgets__").exists()


def test_limit_needs_no_baseline_and_is_absolute(project: Any) -> None:
    """A ceiling fails by its own value."""
    project.write("""
@token_budget(limit={"calls": 1, "input_tokens": "1k"})
def test_agent(ask):
    ask(); ask()
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    limits = {gate["metric"]: gate["verdict"] for gate in project.test["gates"] if gate["kind"] == "limit"}
    assert limits == {"calls": "over_limit", "input_tokens": "ok"}
    assert not (project.pytester.path / "__budgets__").exists()


def test_reduce_against_a_reference(project: Any) -> None:
    """A target holds once the value is low enough below the kept reference."""
    source = """
@token_budget(reduce={{"worker.input_tokens": "30%"}}, against="before")
def test_agent(ask, budget):
    ask({text!r}, stage_name="worker")
    budget.outcome("events", ["{outcome}"])
"""
    project.write(source.format(text="x" * 4000, outcome="meeting"))
    project.run().assert_outcomes(failed=1)
    project.run("--tokenbudget-reference=before").assert_outcomes(passed=1)
    assert (project.pytester.path / "__budgets__" / "before" / "test_agent.json").exists()
    project.write(source.format(text="x" * 3000, outcome="meeting"))
    project.run().assert_outcomes(failed=1)
    assert project.test["verdict"] == "target_missed"
    project.write(source.format(text="x" * 2000, outcome="meeting"))
    project.run().assert_outcomes(passed=1)
    project.write(source.format(text="x" * 2000, outcome="nothing"))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*outcome 'events' was*meeting*nothing*"])


def test_update_replaces_what_changed(project: Any) -> None:
    """With --tokenbudget-update a grown prompt passes and becomes the baseline; the origin stays."""
    project.write(ONE_CALL.format(text="hello"))
    project.run().assert_outcomes(passed=1)
    then = project.server.ledger[-1].input_tokens
    project.write(ONE_CALL.format(text="hello" * 100))
    project.run("--tokenbudget-update").assert_outcomes(passed=1)
    now = project.server.ledger[-1].input_tokens
    assert project.stored("input_tokens") == MetricRecord(((now,),), then)
    project.run().assert_outcomes(passed=1)
    project.run("--tokenbudget-accept").assert_outcomes(passed=1)
    assert project.stored("input_tokens") == MetricRecord(((now,),), now)


def test_ratchet_takes_only_improvements(project: Any) -> None:
    """With --tokenbudget-ratchet a smaller number is kept and a bigger one still fails."""
    project.write(ONE_CALL.format(text="x" * 4000))
    project.run().assert_outcomes(passed=1)
    project.write(ONE_CALL.format(text="x" * 2000))
    project.run("--tokenbudget-ratchet").assert_outcomes(passed=1)
    now = project.server.ledger[-1].input_tokens
    assert project.gate("input_tokens")["verdict"] == "improved"
    assert project.stored("input_tokens").sessions == ((now,),)
    project.write(ONE_CALL.format(text="x" * 4000))
    kept = project.baseline
    project.run("--tokenbudget-ratchet").assert_outcomes(failed=1)
    assert project.baseline == kept


def test_failing_test_stays_its_own_failure(project: Any) -> None:
    """Its numbers are shown, not gated, and never stored."""
    project.write("""
@token_budget("10%")
def test_agent(ask):
    ask("x" * 100)
    assert 1 == 2, "the agent forgot"
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the agent forgot*", "*failed on its own*"])
    assert project.test["total"]["input_tokens"] == project.server.ledger[0].input_tokens
    assert project.test["gates"] == []
    assert not (project.pytester.path / "__budgets__").exists()


def test_skipped_and_xfailed_tests_are_left_alone(project: Any) -> None:
    """Neither is measured, stored or failed."""
    project.write("""
@token_budget("0")
def test_skips(ask):
    ask(); pytest.skip("no")

@token_budget("0")
@pytest.mark.xfail
def test_xfails(ask):
    ask(); assert False

@token_budget(limit={"calls": 0})
@pytest.mark.xfail
def test_xpasses(ask):
    ask()

@token_budget("0")
def test_xfails_inside(ask):
    pytest.xfail("not yet")
""")
    project.run().assert_outcomes(skipped=1, xfailed=2, xpassed=1)
    assert not (project.pytester.path / "__budgets__").exists()
    assert project.report["tests"] == []


def test_mode_report_only_says_so_and_off_stays_away(project: Any) -> None:
    """In report mode nothing fails; off neither measures nor writes."""
    project.write('@token_budget(limit={"calls": 0})\ndef test_agent(ask):\n    ask()\n')
    project.run("--tokenbudget=off").assert_outcomes(passed=1)
    assert not (project.pytester.path / "report.json").exists()
    project.run("--tokenbudget=report").assert_outcomes(passed=1)
    assert project.test["verdict"] == "over_limit"
    assert project.report["exit_ok"] is True


def test_samples_run_the_test_again_with_fresh_fixtures(project: Any) -> None:
    """samples=3 runs the body three times, function-scoped fixtures anew, wider ones once; one result is reported."""
    project.write("""
SETUPS = []

@pytest.fixture(scope="module")
def wide(): SETUPS.append("module")

@pytest.fixture
def narrow():
    SETUPS.append("function")
    yield
    SETUPS.append("down")

@token_budget("10%", samples=3)
def test_agent(ask, wide, narrow):
    ask()

def test_setups():
    assert SETUPS == ["module"] + ["function", "down"] * 3
""")
    project.run().assert_outcomes(passed=2)
    assert project.test["samples"] == 3
    assert len(project.test["samples_detail"]) == 3
    assert len(project.server.ledger) == 3
    project.run("--tokenbudget-samples=2").assert_outcomes(passed=1, failed=1)
    assert project.test["samples"] == 2


def test_wider_fixtures_belong_to_no_sample(project: Any) -> None:
    """A call in a module-scoped fixture is not charged to the test that happens to come first."""
    project.pytester.makepyfile(
        test_agent=f"""
import pytest
try:
    import httpx
except ImportError:
    import httpx2 as httpx
from pytest_tokenbudget import token_budget

def post():
    httpx.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})

@pytest.fixture(scope="module")
def warm(): post()

@pytest.fixture
def own(): post()

@token_budget("10%")
def test_agent(warm, own):
    post()
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.test["total"]["calls"] == 2


def test_retries_are_attempts(project: Any) -> None:
    """A 429 before a success is an attempt of the same work, with null tokens."""
    from ledger_server import Reply

    project.server.play([Reply(status=429), Reply("fine")])
    project.write("""
@token_budget("10%")
def test_agent(ask):
    assert ask().status_code == 429
    assert ask().status_code == 200
""")
    project.run().assert_outcomes(passed=1)
    failed, call = project.test["calls"]
    assert (failed["status"], failed["input_tokens"]) == (429, None)
    assert call["attempt"] == 1
    assert project.test["total"]["calls"] == 1
    assert project.test["total"]["failed_attempts"] == 1


def test_gate_on_a_stage_that_never_opened_fails(project: Any) -> None:
    """A slip in a stage's name is no silent pass."""
    project.write("""
@token_budget({"wroker.input_tokens": "10%"})
def test_agent(ask):
    ask(stage_name="worker")
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*'wroker' was never opened; opened: worker*"])


def test_broken_baseline_fails_with_file_and_remedy(project: Any) -> None:
    """Conflict markers are one clear error before anything is spent, and the file stays as it was."""
    project.write(ONE_CALL.format(text="hello"))
    project.run().assert_outcomes(passed=1)
    path = project.pytester.path / "__budgets__" / "test_agent.json"
    broken = "<<<<<<< HEAD\n" + project.baseline + "=======\n>>>>>>> theirs\n"
    path.write_text(broken, encoding="utf-8")
    calls = len(project.server.ledger)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_agent.json*"])
    assert path.read_text(encoding="utf-8") == broken
    assert len(project.server.ledger) == calls
    project.run("--tokenbudget-update")
    assert path.read_text(encoding="utf-8") == broken


def test_nothing_is_shown_where_nothing_is_marked(project: Any) -> None:
    """An unmarked session has no section; a report that was asked for is empty."""
    project.pytester.makepyfile(test_agent="def test_agent(): pass")
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*token budget*")
    assert (project.report["tests"], project.report["exit_ok"]) == ([], True)


def test_github_gets_annotations_and_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub Actions a failing budget is an error line and a Markdown summary."""
    summary = project.pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.write('@token_budget(limit={"calls": 0})\ndef test_agent(ask):\n    ask()\n')
    result = project.run()
    result.stdout.fnmatch_lines(["::error file=test_agent.py,line=*,title=test_agent.py%3A%3Atest_agent::*OVER LIMIT*"])
    assert "the agent makes 1 calls, limit 0" in summary.read_text(encoding="utf-8")
