"""A further sample counts only if it repeats the first one; what does not is said, and the first sample decides."""

from __future__ import annotations

from typing import Any

import pytest

STORED = """
@token_budget({{"input_tokens": "10%"}}{more})
def test_agent({fixtures}):
    {body}
"""


def _answers(project: Any, tokens: int, **more: Any) -> None:
    """Have the model write that many tokens: what it writes is chance, so growth of it is confirmed by repeats."""
    from ledger_server import Reply

    project.server.play(lambda asked: Reply("fine", output_tokens=tokens, **more))


KEEPS_CONVERSATION = """
class Agent:
    def __init__(self):
        self.messages = []

    def run(self, ask, text):
        self.messages.append({{"role": "user", "content": text}})
        ask(messages=self.messages)
        self.messages.append({{"role": "assistant", "content": "fine"}})

@pytest.fixture(scope="module")
def agent():
    return Agent()

@token_budget({{"output_tokens": "10%"}})
def test_agent(ask, agent):
    agent.run(ask, {text!r})
"""

CACHES_ALL = """
KEPT = {{}}

@token_budget({{"output_tokens": "10%"}})
def test_agent(ask):
    if "all" not in KEPT:
        KEPT["all"] = ask({text!r})
"""

CACHES_ONE = """
from functools import lru_cache

@pytest.fixture(scope="module")
def kept():
    return {{}}

@token_budget({{"output_tokens": "10%"}})
def test_agent(ask, kept):
    if "class" not in kept:
        kept["class"] = ask({text!r}, stage_name="classify")
    ask("answer", stage_name="answer")
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (KEEPS_CONVERSATION, "its first request holds messages of the sample before*fixture of a wider scope"),
        (CACHES_ALL, "it made no model call: a cache in the process answers"),
        (CACHES_ONE, "it did not make the call of stage 'classify' again*something keeps the answer"),
    ],
)
def test_growth_fails_though_repeats_are_none(project: Any, source: str, said: str) -> None:
    """State that is carried over, and a cache that answers, can neither confirm a suspicion nor wash it out."""
    project.write(source.format(text="hello"))
    _answers(project, 100)
    project.run().assert_outcomes(passed=1)
    _answers(project, 300)
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "regression"
    assert project.test["samples"] == 1
    assert project.gate("output_tokens")["value"] > 1.1 * project.gate("output_tokens")["baseline"]
    result.stdout.fnmatch_lines([f"*sample 2 is not counted: {said}*"])


def test_a_fixed_number_of_samples_is_no_reason_to_average_what_a_cache_answered(project: Any) -> None:
    """Two samples without calls do not make 1,267 tokens 422."""
    project.write(CACHES_ALL.format(text="hello"))
    _answers(project, 100)
    project.run().assert_outcomes(passed=1)
    _answers(project, 300)
    project.run("--tokenbudget-samples=3").assert_outcomes(failed=1)
    assert project.test["samples"] == 1


def test_a_loop_that_ends_earlier_is_a_repeat(project: Any) -> None:
    """Fewer calls after another answer are what chance does."""
    from ledger_server import Reply

    project.server.play(Reply("stop" if n % 2 else "go on, please", output_tokens=3 + n % 2) for n in range(40))
    project.write("""
@token_budget({"input_tokens": "10%"}, samples=3)
def test_agent(ask):
    for _ in range(2):
        answer = ask("go on?").json()["choices"][0]["message"]["content"]
        if answer == "stop":
            break
""")
    project.run().assert_outcomes(passed=1)
    assert project.test["samples"] == 3


@pytest.mark.parametrize("how", ["marker", "ini"])
def test_repeats_in_fresh_processes_share_nothing(quick_project: Any, how: str) -> None:
    """An agent that keeps state is measured as often as it takes, each time anew; the growth is confirmed."""
    source = KEEPS_CONVERSATION.replace("class Agent:", "import os\n\nclass Agent:")
    source = source.replace('"10%"}})', '"10%"}}, samples_in="process")') if how == "marker" else source
    if how == "ini":
        quick_project.pytester.makeini("[pytest]\ntokenbudget_samples_in = process\n")
    source += '    open("pids", "a").write(f"{{os.getpid()}} ")\n'
    quick_project.write(source.format(text="hello"))
    _answers(quick_project, 100)
    quick_project.run(subprocess=True).assert_outcomes(passed=1)
    _answers(quick_project, 300)
    (quick_project.pytester.path / "pids").unlink()
    quick_project.run("-k", "test_agent", "--tokenbudget-report=other.json", subprocess=True).assert_outcomes(failed=1)
    assert quick_project.test["samples"] == 3
    assert len(set((quick_project.pytester.path / "pids").read_text().split())) == 3
    assert (
        len({call["input_tokens"] for sample in quick_project.test["samples_detail"] for call in sample["calls"]}) == 1
    )


def test_a_sample_that_fails_in_its_process_fails_the_test(quick_project: Any) -> None:
    """With what it printed there; nothing is stored."""
    quick_project.write("""
import os

@token_budget("10%", samples=2, samples_in="process")
def test_agent(ask):
    ask()
    assert "first" not in os.listdir(), "the second time"
    open("first", "w").close()
""")
    result = quick_project.run(subprocess=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*failed in a process of its own*", "*the second time*"])
    assert not (quick_project.pytester.path / "__budgets__").exists()


def test_a_doctest_is_never_repeated(project: Any) -> None:
    """It uses up what it holds: its first sample decides."""
    conftest = (project.pytester.path / "conftest.py").read_text()
    project.pytester.makeconftest(
        conftest
        + """
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.token_budget({"input_tokens": "10%"}))
"""
    )
    doc = '''
def agent(words):
    """
    >>> import httpx
    >>> answered = httpx.post({url!r} + "/v1/chat/completions", json={{"model": "m", "messages": [
    ...     {{"role": "user", "content": "x" * {size}}}]}})
    """
'''
    url = project.server.url
    project.pytester.makepyfile(shop=doc.format(url=url, size=600))
    project.run("--doctest-modules", "shop.py").assert_outcomes(passed=1)
    project.pytester.makepyfile(shop=doc.format(url=url, size=1800))
    result = project.run("--doctest-modules", "shop.py")
    result.assert_outcomes(failed=1)
    assert (project.test["samples"], project.test["verdict"]) == (1, "regression")


def test_sampling_stops_before_a_timeout(quick_project: Any) -> None:
    """pytest-timeout ends no test that would have passed or failed by its budget; what was measured decides."""
    pytest.importorskip("pytest_timeout", reason="pytest-timeout is not installed")
    source = """
@pytest.mark.timeout(2)
@token_budget({{"output_tokens": "10%"}})
def test_agent(ask):
    ask({text!r})
"""
    quick_project.write(source.format(text="hello"))
    _answers(quick_project, 100, delay=0.8)
    quick_project.run(subprocess=True, plugins=("timeout",)).assert_outcomes(passed=1)
    _answers(quick_project, 300, delay=0.8)
    result = quick_project.run(subprocess=True, plugins=("timeout",))
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*Timeout*")
    result.stdout.fnmatch_lines(
        ["*output_tokens*REGRESSION*", "*no further sample: of the 2 s that pytest-timeout gives*"]
    )


def test_own_work_is_not_on_the_tests_timer(quick_project: Any) -> None:
    """Reading and judging may take longer than the test itself may; the test's own code may not."""
    pytest.importorskip("pytest_timeout", reason="pytest-timeout is not installed")
    conftest = (quick_project.pytester.path / "conftest.py").read_text()
    quick_project.pytester.makeconftest(
        conftest
        + """
import time

def pytest_tokenbudget_price(provider, model, usage):
    time.sleep(1.1)
"""
    )
    quick_project.write("""
import time

@pytest.mark.timeout(1)
@token_budget("10%", samples=2)
def test_quick(ask):
    ask()

@pytest.mark.timeout(1)
@token_budget("10%", samples=1)
def test_slow(ask):
    ask()
    time.sleep(3)
""")
    quick_project.run("-k", "test_quick", subprocess=True, plugins=("timeout",)).assert_outcomes(passed=1, deselected=1)
    result = quick_project.run("-k", "test_slow", subprocess=True, plugins=("timeout",))
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*Timeout*"])


def test_a_run_that_only_reports_is_never_repeated(project: Any) -> None:
    """Nothing has to be confirmed where nothing fails."""
    project.write(STORED.format(more="", fixtures="ask", body='ask("x" * 600)'))
    project.run().assert_outcomes(passed=1)
    project.write(STORED.format(more="", fixtures="ask", body='ask("x" * 1800)'))
    calls = len(project.server.ledger)
    project.run("--tokenbudget=report").assert_outcomes(passed=1)
    assert len(project.server.ledger) == calls + 1


def test_the_first_sample_of_a_process_is_taken_apart_where_times_are_gated(project: Any) -> None:
    """It holds imports and the making of connections: it is not stored beside warm ones, and its calls are counted."""
    project.write("""
@token_budget({"model_time": "10%"}, samples=2)
def test_first(ask):
    ask()

@token_budget({"model_time": "10%"}, samples=2)
def test_other(ask):
    ask()

@token_budget({"input_tokens": "10%"})
def test_tokens(ask):
    ask()
""")
    project.run("-k", "test_first or test_other").assert_outcomes(passed=2, deselected=1)
    assert [len(test["samples_detail"]) for test in project.report["tests"]] == [2, 2]
    assert len(project.server.ledger) == 5
    project.run("-k", "test_tokens").assert_outcomes(passed=1, deselected=2)
    assert len(project.server.ledger) == 6


def test_a_missing_reference_is_said_before_anything_is_spent(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a missing baseline in CI, and one that lacks a metric that the marker names."""
    project.write("""
@token_budget(reduce={"input_tokens": "30%"}, against="before")
def test_agent(ask):
    ask()
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert (project.test["verdict"], project.test["samples"]) == ("no_baseline", 0)
    result.stdout.fnmatch_lines(["*NO BASELINE*", "*--tokenbudget-reference=before*"])
    project.write('@token_budget("off", limit={"calls": 9})\ndef test_agent(ask):\n    ask()\n')
    monkeypatch.setenv("CI", "true")
    assert project.server.ledger == []
    project.run().assert_outcomes(passed=1)
