"""What becomes of numbers and files in every way in which a test, or a session, can end."""

from __future__ import annotations

import json
from typing import Any

import pytest

GROWING = """
SIZE = {size}

@token_budget("10%", samples=1)
def test_agent(ask, budget):
    ask("x" * SIZE, stage_name="worker")
    budget.outcome("events", {outcome})
"""


def test_what_was_written_is_told(project: Any) -> None:
    """The first run names the file to commit; a run that writes nothing says so only where it was asked to write."""
    project.write(GROWING.format(size=400, outcome=1))
    project.run().stdout.fnmatch_lines(["wrote __budgets__/test_agent.json; commit it*"])
    project.run().stdout.no_fnmatch_line("wrote*")
    project.run("--tokenbudget-ratchet").stdout.fnmatch_lines(["wrote nothing*"])


def test_an_update_is_no_alarm(project: Any) -> None:
    """Growth that the maintainer keeps is told in lower case, and the test passes."""
    project.write(GROWING.format(size=400, outcome=1))
    project.run()
    project.write(GROWING.format(size=4000, outcome=1))
    result = project.run("--tokenbudget-update")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*REGRESSION*")
    result.stdout.fnmatch_lines(["test_agent.py::test_agent  input * → * +*%*", "wrote __budgets__/test_agent.json*"])


def test_numbers_of_a_test_that_fails_in_teardown_are_not_stored(project: Any) -> None:
    """Its gates are shown; neither the run nor the report says that all is well."""
    project.write("""
@pytest.fixture
def fussy():
    yield
    assert False, "left something behind"

@token_budget("10%")
def test_agent(ask, fussy):
    ask()
""")
    result = project.run("--tokenbudget-update")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*failed in teardown: not stored"])
    assert not (project.pytester.path / "__budgets__").exists()
    assert (project.test["passed"], project.report["exit_ok"]) == (False, False)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_report_says_how_the_session_ends(quick_project: Any, workers: str) -> None:
    """Also where it is not a budget that fails it: an unmarked test, a fixture that breaks before anything is measured."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    quick_project.write("""
@pytest.fixture
def broken():
    raise OSError("no database")

@token_budget("10%")
def test_agent(ask):
    ask()

@token_budget("10%")
def test_never_begins(ask, broken):
    ask()
""")
    quick_project.run(workers, subprocess=True, plugins=("xdist",)).assert_outcomes(passed=1, errors=1)
    assert (quick_project.test["verdict"], quick_project.report["exit_ok"]) == ("new", False)


def test_a_report_that_was_asked_for_is_written(project: Any) -> None:
    """An old one would be taken for this run's: where nothing was measured it is empty."""
    project.write('@token_budget("10%")\ndef test_agent(ask):\n    pytest.skip("no")\n')
    result = project.run()
    result.assert_outcomes(skipped=1)
    result.stdout.no_fnmatch_line("*token budget*")
    assert project.report["tests"] == []


def test_a_broken_baseline_is_one_error(project: Any) -> None:
    """Said once, without a chain of exceptions; a run that only reports says it and goes on."""
    project.write(GROWING.format(size=400, outcome=1))
    project.run()
    path = project.pytester.path / "__budgets__" / "test_agent.json"
    path.write_text("{", encoding="utf-8")
    result = project.run()
    result.assert_outcomes(failed=1)
    # Once in the failure, and once in the line of it that pytest's summary shows.
    assert result.stdout.str().count("truncated") == 2
    assert "During handling" not in result.stdout.str()
    result = project.run("--tokenbudget=report")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*note: *test_agent.json*truncated*git checkout*"])
    assert path.read_text(encoding="utf-8") == "{"


def test_what_crept_up_and_what_the_agent_does_otherwise_is_shown(project: Any) -> None:
    """Though nothing fails: an outcome that differs, and growth since the origin that no single gate saw."""
    project.write(GROWING.format(size=4000, outcome=2**70))
    project.run()
    stored = json.loads(project.baseline)
    test = stored["tests"]["test_agent"]
    test["origin"] = {"input_tokens": project.stored("input_tokens").values[0] // 2}
    project.baseline_path.write_text(json.dumps(stored), encoding="utf-8")
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*note: input_tokens: +0.0 % now, +100.* % since the origin*"])
    assert result.stdout.str().count("since the origin") == 1, "the only stage says nothing of its own"
    result.stdout.no_fnmatch_line("*outcome*")
    project.write(GROWING.format(size=4000, outcome=3))
    project.run().stdout.fnmatch_lines(["*note: outcome 'events' was*is 3*"])


def test_what_crept_up_in_several_tests_is_one_note(project: Any) -> None:
    """A suite that was updated on purpose stays short; ``-v`` names its tests."""
    project.write("""
@token_budget("10%", samples=1)
@pytest.mark.parametrize("part", [2, 4])
def test_agent(ask, part):
    ask("x" * 4000)
""")
    project.run()
    stored = json.loads(project.baseline)
    for part, test in zip((2, 4), stored["tests"].values(), strict=True):
        tokens = test["metrics"]["input_tokens"]
        test["origin"] = {"input_tokens": tokens // part}
    project.baseline_path.write_text(json.dumps(stored), encoding="utf-8")
    result = project.run()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["note: input +100.* % to +30?.* % since the origin in 2 tests", "*--tokenbudget-accept*"]
    )
    assert result.stdout.str().count("since the origin") == 1
    assert project.run("-v").stdout.str().count("since the origin") == 2


def test_a_reference_needs_a_name(project: Any) -> None:
    """An empty one, as of a shell variable that is not set, is an error and not a plain run."""
    project.write(GROWING.format(size=400, outcome=1))
    for name in ("", "../elsewhere"):
        result = project.run(f"--tokenbudget-reference={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*cannot be the name of a reference*"])
    assert project.server.ledger == []


def test_a_renamed_stage_fails_the_gate_on_its_old_name(project: Any) -> None:
    """It does not pass as the best of improvements."""
    source = '@token_budget({{"worker.input_tokens": "10%"}})\ndef test_agent(ask):\n    ask(stage_name="{}")\n'
    project.write(source.format("worker"))
    project.run().assert_outcomes(passed=1)
    project.write(source.format("wrkr"))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["NO CALLS: stage 'worker' was never opened; opened: wrkr"])


def test_annotations_find_their_line(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the checkout, also where pytest's root is a folder of it, and at the line of the test."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.pytester.path.parent))
    project.write('@token_budget(limit={"calls": 0})\ndef test_agent(ask):\n    ask()\n')
    folder = project.pytester.path.name
    project.run().stdout.fnmatch_lines([f"::error file={folder}/test_agent.py,line=[0-9]*,title=*OVER LIMIT*"])


def test_a_terminal_without_our_signs_gets_ascii(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console of Windows, or of the locale C, shows -> and not an escape, in the failure and in the section."""
    project.write(GROWING.format(size=400, outcome=1))
    project.run()
    project.write(GROWING.format(size=4000, outcome=1))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    shown = project.run(subprocess=True).stdout.str()
    assert shown.count(" -> ") >= 4
    assert "\\u2192" not in shown


def test_a_stage_with_a_bad_name_is_shown_where_it_was_written(project: Any) -> None:
    """No frame of ours stands in the traceback."""
    project.write('@token_budget("10%")\ndef test_agent(ask):\n    with stage("a|b"):\n        ask()\n')
    result = project.run()
    result.stdout.fnmatch_lines(['>*with stage("a|b"):*'])
    result.stdout.no_fnmatch_line("*stages.py*")


def test_a_result_travels_as_it_is(project: Any) -> None:
    """What a worker sends is, to the character, what one process would have reported."""
    project.pytester.makeconftest(
        (project.pytester.path / "conftest.py").read_text(encoding="utf-8")
        + """
def pytest_tokenbudget_verdict(result):
    from pytest_tokenbudget.report.transport import decode, encode
    assert repr(decode(encode(result))) == repr(result)
"""
    )
    project.write(GROWING.format(size=400, outcome="[1, 1.5, None]"))
    project.run().assert_outcomes(passed=1)
    project.write(GROWING.format(size=4000, outcome="[1, 1.5, None]"))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
