"""Beside other plugins, other kinds of tests, and pytest's own switches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from own_process import QUICK, run_in_own_process

FOUR = """
@token_budget("10%", samples=1)
@pytest.mark.parametrize("n", range(4))
def test_agent(ask, n):
    ask("x" * 100 * n, stage_name="worker")
    if n == 2:
        ask("once more")
"""
TIMES = {
    "measured_latency",
    "paces",
    "started",
    "latency",
    "ttft",
    "model_time",
    "call_latency",
    "own_time",
    "latency_per_output_token",
}


def _without_times(value: Any) -> Any:
    """A report without what differs from run to run: times, and what is said of them."""
    if isinstance(value, dict):
        timed = {"latency", "model_time"}
        return {k: _without_times(v) for k, v in value.items() if k not in TIMES and k not in timed}
    if isinstance(value, list):
        return [
            _without_times(v) for v in value if not (isinstance(v, dict) and str(v.get("metric")).endswith("latency"))
        ]
    return value


def test_xdist_gives_the_same_report(quick_project: Any) -> None:
    """-n0 and -n2 give the same JSON report but for times, and the same baseline but for times.

    A test in two groups has the baseline that it has without xdist, and no other.
    """
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    quick_project.write(
        FOUR
        + """
@pytest.mark.xdist_group("llm")
@pytest.mark.xdist_group("db")
@token_budget({"input_tokens": "10%"}, samples=1)
def test_grouped(ask):
    ask()
"""
    )
    quick_project.run("-n0", subprocess=True, plugins=("xdist",)).assert_outcomes(passed=5)
    alone, baseline = quick_project.report, json.loads(quick_project.baseline)
    (quick_project.pytester.path / "__budgets__" / "test_agent.json").unlink()
    quick_project.run("-n2", "--dist=load", subprocess=True, plugins=("xdist",)).assert_outcomes(passed=5)
    assert _without_times(quick_project.report) == _without_times(alone)
    together = json.loads(quick_project.baseline)
    assert together["tests"].keys() == baseline["tests"].keys()
    for key, entry in baseline["tests"].items():
        assert together["tests"][key]["composition"] == entry["composition"]
    quick_project.run("-n2", "--dist=loadgroup", subprocess=True, plugins=("xdist",)).assert_outcomes(passed=5)
    assert [test["nodeid"] for test in quick_project.report["tests"]] == [test["nodeid"] for test in alone["tests"]]
    assert {test["verdict"] for test in quick_project.report["tests"]} == {"ok"}
    assert json.loads(quick_project.baseline)["tests"].keys() == baseline["tests"].keys()


TOGETHER = """
import contextlib
import threading
import pytest

WORKERS, SEEN = threading.Barrier(2, timeout=20), threading.local()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_report_from_serializable(data):
    # The first results of both workers are read at the same time.
    report = yield
    if "tokenbudget" in data and not hasattr(SEEN, "first"):
        SEEN.first = True
        with contextlib.suppress(threading.BrokenBarrierError):
            WORKERS.wait()
    return report
"""


def test_workers_that_send_their_first_results_at_the_same_time(quick_project: Any) -> None:
    """pytest-xdist reads each worker's reports in a thread; without a report of ours nothing collects them before."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    quick_project.write(FOUR)
    quick_project.pytester.makepyfile(together=TOGETHER)
    result = run_in_own_process(quick_project.pytester, *QUICK, "-n2", plugins=("xdist", "together"))
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*4 tests new*"])


def test_a_killed_worker_costs_only_its_running_test(quick_project: Any) -> None:
    """What other tests measured is kept and written."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    quick_project.write("""
import os

@token_budget("10%")
@pytest.mark.parametrize("n", range(4))
def test_agent(ask, n):
    ask()
    if n == 1:
        os._exit(3)
""")
    result = quick_project.run("-n2", subprocess=True, plugins=("xdist",))
    result.assert_outcomes(passed=3, failed=1)
    assert len(quick_project.report["tests"]) == 3
    assert len(json.loads(quick_project.baseline)["tests"]) == 3


def test_bad_marker_under_xdist_is_said(quick_project: Any) -> None:
    """A usage error in the workers reaches the reader, without a traceback of ours."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    quick_project.write('@token_budget("ten")\ndef test_agent(ask):\n    ask()\n')
    result = quick_project.run("-n1", subprocess=True, plugins=("xdist",))
    assert result.ret != 0
    assert "max_increase" in result.stdout.str() + result.stderr.str()


def test_forked_tests_are_measured(quick_project: Any) -> None:
    """pytest-forked runs each test in a process of its own, whose reports hold plain data only."""
    pytest.importorskip("pytest_forked", reason="pytest-forked is not installed")
    quick_project.write(FOUR)
    quick_project.run("--forked", subprocess=True, plugins=("pytest_forked",)).assert_outcomes(passed=4)
    assert len(quick_project.report["tests"]) == 4
    assert len(json.loads(quick_project.baseline)["tests"]) == 4


@pytest.mark.parametrize(
    ("value", "creates"), [("false", True), ("0", True), ("", True), ("1", False), ("true", False)]
)
def test_what_the_variable_ci_says(project: Any, monkeypatch: pytest.MonkeyPatch, value: str, *, creates: bool) -> None:
    """CI=false is no CI: a missing baseline is created."""
    monkeypatch.setenv("CI", value)
    project.write('@token_budget("10%", samples=1)\ndef test_agent(ask):\n    ask()\n')
    project.run().assert_outcomes(passed=int(creates), failed=int(not creates))
    assert (project.pytester.path / "__budgets__").exists() is creates


def test_reruns_count_once(project: Any) -> None:
    """With pytest-rerunfailures only the last run of a test is reported and stored."""
    pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")
    project.write("""
RUNS = []

@token_budget("10%")
def test_agent(ask):
    ask("x" * 400 if not RUNS else "y")
    RUNS.append(1)
    assert len(RUNS) == 2
""")
    result = project.run("--reruns=1", plugins=("rerunfailures",))
    result.assert_outcomes(passed=1)
    assert project.test["total"]["input_tokens"] == project.server.ledger[-1].input_tokens
    assert len(project.server.ledger) == 2


def test_repeated_tests_are_tests_of_their_own(project: Any) -> None:
    """pytest-repeat parametrizes; each repetition has its entry."""
    pytest.importorskip("pytest_repeat", reason="pytest-repeat is not installed")
    project.write('@token_budget("10%", samples=1)\ndef test_agent(ask):\n    ask()\n')
    project.run("--count=2", plugins=("repeat",)).assert_outcomes(passed=2)
    assert len(project.report["tests"]) == 2
    project.run("--count=2", plugins=("repeat",)).assert_outcomes(passed=2)


def test_pytests_own_switches(project: Any) -> None:
    """-k, -x, --lf, --collect-only and pytest without its terminal or cache."""
    project.write(FOUR)
    result = project.run("--collect-only")
    assert result.ret == 0
    assert not project.server.ledger
    project.run("-k", "1 or 2").assert_outcomes(passed=2, deselected=2)
    assert len(json.loads(project.baseline)["tests"]) == 2
    project.run("-x").assert_outcomes(passed=4)
    assert len(json.loads(project.baseline)["tests"]) == 4
    assert project.run("-p", "no:terminal", subprocess=True).ret == 0
    assert len(project.report["tests"]) == 4
    result = project.pytester.runpytest_inprocess("--lf", "--tokenbudget-report=report.json")
    result.assert_outcomes(passed=4)


def test_methods_of_a_class(project: Any) -> None:
    """Each sample of a method gets an instance of its own, and fixtures see the same one as the test."""
    project.write("""
class TestAgent:
    def setup_method(self):
        self.seen = getattr(self, "seen", 0) + 1

    @pytest.fixture
    def mine(self):
        self.fixture = True

    @token_budget("10%", samples=3)
    @pytest.mark.parametrize("n", [1])
    def test_agent(self, ask, mine, n):
        assert (self.seen, self.fixture) == (1, True)
        ask("x" * n)
""")
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] == 3


def test_unittest_cases(project: Any) -> None:
    """A marked method of a TestCase is measured, several samples included, with a fresh case each time."""
    project.write(f"""
import unittest
try:
    import httpx
except ImportError:
    import httpx2 as httpx

@token_budget("10%", samples=2)
class TestAgent(unittest.TestCase):
    def setUp(self):
        self.seen = getattr(self, "seen", 0) + 1

    def test_agent(self):
        assert self.seen == 1
        with stage("worker"):
            httpx.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})
""")
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] == 2
    assert project.test["stages"]["worker"]["calls"] == 1


@pytest.mark.parametrize("library", ["pytest_asyncio", "anyio"])
def test_coroutine_tests(project: Any, library: str) -> None:
    """Coroutine tests under pytest-asyncio and anyio, with stages in tasks and threads."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    mark = "asyncio" if library == "pytest_asyncio" else "anyio"
    fixture = "" if mark == "asyncio" else "\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
    project.write(f"""
import asyncio
try:
    import httpx
except ImportError:
    import httpx2 as httpx
{fixture}
async def one(name):
    with stage(name):
        async with httpx.AsyncClient() as client:
            await client.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})

def blocking():
    httpx.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})

@token_budget("10%", samples=2)
@pytest.mark.{mark}
async def test_agent():
    await asyncio.gather(one("a"), one("b"))
    with stage("c"):
        await asyncio.to_thread(blocking)
""")
    project.run(plugins=("anyio",)).assert_outcomes(passed=1)
    assert project.test["samples"] == 2
    assert {name: values["calls"] for name, values in project.test["stages"].items()} == {"a": 1, "b": 1, "c": 1}


def test_a_failing_sample_is_the_tests_failure(project: Any) -> None:
    """An assertion that fails in a later sample fails the test; nothing is stored."""
    project.write("""
RUNS = []

@token_budget("10%", samples=3)
def test_agent(ask):
    RUNS.append(1)
    ask()
    assert len(RUNS) < 2, "the second time"
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the second time*"])
    assert not (project.pytester.path / "__budgets__").exists()


def test_a_suspicion_is_confirmed_before_it_fails(project: Any) -> None:
    """With the default samples="auto" growth of what a live model writes is seen three times before the test fails."""
    from ledger_server import Reply

    project.write('@token_budget({"output_tokens": "10%"})\ndef test_agent(ask):\n    ask()\n')
    project.server.play(lambda asked: Reply("fine", output_tokens=100))
    project.run().assert_outcomes(passed=1)
    assert len(project.server.ledger) == 1
    project.server.play(lambda asked: Reply("fine", output_tokens=300))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["samples"] == 3
    result.stdout.fnmatch_lines(["*output_tokens*undecided*n = 1*"])


def test_an_answer_that_was_long_once_is_no_regression(project: Any) -> None:
    """Growth that does not come back is noise: the test passes, and all samples stay in the report."""
    from ledger_server import Reply

    project.write('@token_budget({"output_tokens": "10%"})\ndef test_agent(ask):\n    ask()\n')
    project.server.play(lambda asked: Reply("fine", output_tokens=100))
    project.run().assert_outcomes(passed=1)
    project.server.play(Reply("fine", output_tokens=tokens) for tokens in (300, *[100] * 30))
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] > 1
    assert len(project.test["samples_detail"]) == project.test["samples"]


def test_strict_fails_what_is_inconclusive(project: Any) -> None:
    """--tokenbudget-strict turns an inconclusive gate into a failure."""
    project.write('@token_budget({"measured_latency.p95": "10%"}, samples=1)\ndef test_agent(ask):\n    ask()\n')
    project.run().assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=1)
    assert project.test["verdict"] == "inconclusive"
    project.run("--tokenbudget-strict").assert_outcomes(failed=1)


def test_sessions_in_one_process_do_not_mix(project: Any) -> None:
    """pytester imports the plugin anew for each of its sessions; each has its own modules, whole."""
    project.write('@token_budget("0")\ndef test_agent(ask):\n    ask("how are you? " * 20)\n')
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    first = project.test["composition"]
    assert first[""]["user"] > first[""]["framing"]
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    assert project.test["composition"] == first


def test_user_hooks_take_part(project: Any) -> None:
    """A conftest adds a metric, a stage, a price and a report format through the same hooks."""
    conftest = (project.pytester.path / "conftest.py").read_text()
    project.pytester.makeconftest(
        conftest
        + """
from pytest_tokenbudget.ext import MetricSpec

def pytest_tokenbudget_metrics():
    return [
        MetricSpec("searches", "count", "Searches.", lambda view: len(view.calls) * 7),
        MetricSpec("thinking", "s", "Time to think.", lambda view: len(view.calls) * 0.25),
    ]

def pytest_tokenbudget_stage(call):
    return "judge" if call.request_model == "o3" else None

def pytest_tokenbudget_price(provider, model, usage):
    return 0.5

def pytest_tokenbudget_report_formats():
    return {".csv": lambda run, path: path.write_text("nodeid\\n" + run.results[0].nodeid)}

def pytest_tokenbudget_verdict(result):
    print("verdict of", result.nodeid, "is", result.verdict)
"""
    )
    project.write(
        '@token_budget("10%", limit={"searches": 6, "thinking": "200ms"})\ndef test_agent(ask):\n    ask(model="o3")\n'
    )
    result = project.run("--tokenbudget-report=out.csv", "-s")
    result.assert_outcomes(failed=1)
    assert project.gate("searches")["value"] == 7
    assert project.gate("thinking")["unit"] == "s"
    result.stdout.fnmatch_lines(["*thinking*250 ms*limit 200 ms*OVER LIMIT*"])
    assert project.test["stages"]["judge"]["cost"] == 0.5
    assert (project.pytester.path / "out.csv").read_text() == "nodeid\ntest_agent.py::test_agent"
    result.stdout.fnmatch_lines(["*verdict of test_agent.py::test_agent is over_limit*"])
