"""Further samples of a test: everything of its own anew, and what goes wrong in one of them."""

from __future__ import annotations

from typing import Any

import pytest


def test_pytests_own_fixtures_are_made_anew(project: Any) -> None:
    """tmp_path, monkeypatch, capsys and caplog of a sample know nothing of the sample before."""
    project.write("""
import logging, os

@token_budget("10%", samples=3)
def test_agent(ask, tmp_path, monkeypatch, capsys, caplog):
    assert not list(tmp_path.iterdir())
    (tmp_path / "notes").write_text("x")
    assert "AGENT_MODE" not in os.environ
    monkeypatch.setenv("AGENT_MODE", "1")
    print("said")
    assert capsys.readouterr().out == "said\\n"
    logging.getLogger("agent").warning("logged")
    assert caplog.messages == ["logged"]
    ask()
""")
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] == 3


@pytest.mark.parametrize("base", ["object", "unittest.TestCase"])
def test_a_class_is_instantiated_anew(project: Any, base: str) -> None:
    """What a sample leaves on self, and what setup methods put there, is gone in the next."""
    project.write(f"""
import unittest

class TestAgent({base}):
    def setup_method(self, method):
        self.log = []

    @pytest.fixture(autouse=True)
    def _client(self, ask):
        self.ask = ask

    @token_budget("10%", samples=2)
    def test_agent(self):
        assert self.log == [] and not hasattr(self, "left")
        self.log.append(1)
        self.left = True
        self.ask()
""")
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] == 2


@pytest.mark.parametrize(
    ("at", "where"),
    [("before", "the setup of sample 2"), ("after", "the teardown of sample 2")],
)
def test_a_fixture_that_fails_in_a_further_sample(project: Any, at: str, where: str) -> None:
    """It fails the test once, with nothing of ours in the traceback, and the next test runs."""
    before, after = (
        f"    if len(SETUPS) == 2: raise OSError({where!r})" if at == when else "" for when in ("before", "after")
    )
    project.pytester.makeconftest(
        (project.pytester.path / "conftest.py").read_text()
        + f"""
SETUPS = []

@pytest.fixture
def calendar(caplog, tmp_path):
    SETUPS.append(1)
{before}
    yield
{after}
"""
    )
    project.write("""
@token_budget("10%", samples=3)
def test_agent(ask, calendar):
    ask()

@token_budget("10%", samples=2)
def test_other(ask, caplog):
    ask()
""")
    result = project.run("-k", "test_agent or test_other")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"E*OSError: {where}"])
    result.stdout.no_fnmatch_line("*pytest_tokenbudget*")
    assert [test["nodeid"] for test in project.report["tests"]] == ["test_agent.py::test_other"]


def test_a_skip_in_a_further_sample_skips_the_test(project: Any) -> None:
    """Nothing is reported or stored of a test that was skipped in the end."""
    project.write("""
RUNS = []

@token_budget("10%", samples=3)
def test_agent(ask):
    RUNS.append(1)
    ask()
    if len(RUNS) == 2:
        pytest.skip("no more")
""")
    project.run().assert_outcomes(skipped=1)
    assert not (project.pytester.path / "__budgets__").exists()


FAILS_QUIETLY = {
    "unittest": """
import unittest
try:
    import httpx
except ImportError:
    import httpx2 as httpx

class TestAgent(unittest.TestCase):
    @token_budget("10%", samples=2)
    def test_agent(self):
        httpx.post({url!r}, json={{"model": "m", "messages": []}})
        self.assertEqual(1, 2)
""",
    "subTest": """
import unittest
try:
    import httpx
except ImportError:
    import httpx2 as httpx

class TestAgent(unittest.TestCase):
    @token_budget("10%", samples=2)
    def test_agent(self):
        httpx.post({url!r}, json={{"model": "m", "messages": []}})
        with self.subTest(n=1):
            self.assertEqual(1, 2)
""",
    "subtests": """
@token_budget("10%", samples=2)
def test_agent(ask, subtests):
    ask()
    with subtests.test(n=1):
        assert 1 == 2
""",
    "report": """
@token_budget("10%")
def test_agent(ask):
    ask()
""",
}
SOFT_ASSERTIONS = """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        report.outcome, report.longrepr = "failed", "a soft assertion"
    return report
"""


@pytest.mark.parametrize("kind", FAILS_QUIETLY)
def test_a_failure_that_pytest_does_not_raise_is_the_tests_own(project: Any, kind: str) -> None:
    """unittest's failures, subtests and soft assertions: shown, not gated, never stored, not sampled again."""
    if kind == "subtests" and int(pytest.__version__.partition(".")[0]) < 9:
        pytest.skip("pytest 9 brings the fixture subtests")
    if kind == "report":
        project.pytester.makeconftest((project.pytester.path / "conftest.py").read_text() + SOFT_ASSERTIONS)
    project.write(FAILS_QUIETLY[kind].format(url=project.server.url + "/v1/chat/completions"))
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*failed on its own*"])
    assert (project.test["samples"], project.test["gates"]) == (1, [])
    assert len(project.server.ledger) == 1
    assert not (project.pytester.path / "__budgets__").exists()


def test_a_skipped_unittest_case_is_left_alone(project: Any) -> None:
    """unittest's skipTest is a skip, also after a call."""
    project.write(f"""
import unittest
try:
    import httpx
except ImportError:
    import httpx2 as httpx

class TestAgent(unittest.TestCase):
    @token_budget("0", samples=2)
    def test_agent(self):
        httpx.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})
        self.skipTest("no")
""")
    project.run().assert_outcomes(skipped=1)
    assert project.report["tests"] == []


def test_bodies_are_let_go_with_the_test(quick_project: Any) -> None:
    """A long session does not fill the memory: what was captured of a test is gone when the next one runs."""
    quick_project.write("""
import gc
from pytest_tokenbudget.capture.recorder import Recorder

@token_budget("off", samples=2, stop_at={"calls": 9})
def test_agent(ask):
    ask("x" * 10_000)

def test_later():
    gc.collect()
    left = [found for found in gc.get_objects() if isinstance(found, Recorder)]
    assert not left
    assert not [found for found in gc.get_objects() if type(found).__name__ == "ExchangeBuilder"]
""")
    quick_project.run(subprocess=True).assert_outcomes(passed=2)
