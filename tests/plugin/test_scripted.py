"""The ``scripted_llm`` fixture: answers without a network, exact in tokens and in time."""

from __future__ import annotations

from typing import Any

import pytest

SOURCE = """
try:
    import httpx
except ImportError:
    import httpx2 as httpx
from pytest_tokenbudget.replay.script import text, error

def post(prompt):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]}
    return httpx.post("http://scripted.invalid/v1/chat/completions", json=body)
"""


def test_scripted_runs_are_exact(project: Any) -> None:
    """Tokens and projected times are the same in every run, so latency is gated exactly."""
    project.write(
        SOURCE
        + """
@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.pace(ttft=0.5, tokens_per_second=10)
    scripted_llm.add(text("one two three"), text("four"))
    with stage("worker"):
        post("hello")
    post("bye")
"""
    )
    project.run().assert_outcomes(passed=1)
    first, written = project.test, project.baseline
    project.run().assert_outcomes(passed=1)
    assert project.test["verdict"] == "ok"
    assert project.test["traffic"] == "scripted"
    assert project.baseline == written
    assert project.test["total"]["latency"] == first["total"]["latency"] == 1.4
    assert project.gate("worker.latency")["exact"] is True
    assert not project.server.ledger


def test_one_more_call_costs_its_time_and_tokens(project: Any) -> None:
    """A loop that runs once more fails at once, with the calls as the first cause."""
    source = (
        SOURCE
        + """
@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.pace(ttft=1)
    scripted_llm.add(*[text("ok")] * {calls})
    for _ in range({calls}):
        with stage("worker"):
            post("hello")
"""
    )
    project.write(source.replace("{calls}", "3"))
    project.run().assert_outcomes(passed=1)
    project.write(source.replace("{calls}", "4"))
    project.run().assert_outcomes(failed=1)
    test = project.test
    assert test["samples"] == 1
    assert project.gate("worker.latency")["verdict"] == "regression"
    (cause, *_) = [cause for cause in test["causes"] if cause["metric"] == "worker.input_tokens"]
    assert cause["part"] == "calls"
    assert cause["text"].startswith("4 calls instead of 3")


def test_what_the_script_still_had_to_say_fails_the_test(project: Any) -> None:
    """Replies that were left over are said, and can be allowed."""
    source = (
        SOURCE
        + """
@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.add(text("one"), text("two"))
    scripted_llm.allow_unconsumed = {allow}
    post("hello")
"""
    )
    project.write(source.replace("{allow}", "False"))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "diverged"
    result.stdout.fnmatch_lines(["*1 of 2 replies*left over*"])
    project.write(source.replace("{allow}", "True"))
    project.run().assert_outcomes(passed=1)


def test_unmarked_tests_can_use_a_script(project: Any) -> None:
    """The fixture needs no marker."""
    project.write(
        SOURCE
        + """
def test_agent(scripted_llm):
    scripted_llm.add(text("one"))
    assert post("hello").json()["choices"][0]["message"]["content"] == "one"
"""
    )
    project.run().assert_outcomes(passed=1)


CLIENT = """
import json, sys, urllib.request
body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}).encode()
urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, {"content-type": "application/json"})).read()
"""
SERVED = f"""
import subprocess, sys
from pytest_tokenbudget.replay.script import text

@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.add(text("hi", usage=(100, 10), duration=2.0), stage="worker")
    with scripted_llm.serve() as server, stage("worker"):
        subprocess.run([sys.executable, "-c", {CLIENT!r}, server.base_url + "/chat/completions"], check=True)
"""


def test_calls_of_other_processes_are_counted(project: Any) -> None:
    """What the loopback server is asked belongs to the sample: its stage, its tokens and its projected time."""
    project.write(SERVED)
    project.run().assert_outcomes(passed=1)
    worker = project.test["stages"]["worker"]
    assert (worker["input_tokens"], worker["calls"], worker["latency"]) == (100, 1, 2.0)


def test_a_method_that_is_assigned_is_an_error(project: Any) -> None:
    """scripted_llm.respond_with = f would be ignored; the message shows the call."""
    project.write("""
@token_budget("10%")
def test_agent(scripted_llm):
    def answer(asked): return "hi"
    scripted_llm.respond_with = answer
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*fix: scripted_llm.respond_with(answer)*"])


def test_replies_of_a_stage_that_the_configuration_names(project: Any) -> None:
    """A request that only ``tokenbudget_stages`` gives a stage gets that stage's replies, in marked tests and in others."""
    project.pytester.makeini(
        "[pytest]\ntokenbudget_stages =\n    router = system:You route*\n    worker = model:gpt-4o\n"
    )
    project.write(
        SOURCE
        + """
def agent():
    body = {"model": "gpt-4.1", "messages": [{"role": "system", "content": "You route."}, {"role": "user", "content": "hi"}]}
    said = httpx.post("http://scripted.invalid/v1/chat/completions", json=body).json()
    assert said["choices"][0]["message"]["content"] == "order"
    assert post("hello").json()["choices"][0]["message"]["content"] == "sent"

@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.add(text("sent"), stage="worker")
    scripted_llm.add(text("order"), stage="router")
    agent()

def test_without_a_budget(scripted_llm):
    scripted_llm.add(text("sent"), stage="worker")
    scripted_llm.add(text("order"), stage="router")
    agent()
"""
    )
    project.run().assert_outcomes(passed=2)
    assert {name: stage["calls"] for name, stage in project.test["stages"].items()} == {"router": 1, "worker": 1}


def test_the_error_of_the_test_itself_is_shown(project: Any) -> None:
    """A body that raises leaves replies over as a matter of course; its own error is what is wrong, and is shown."""
    project.write(
        SOURCE
        + """
@token_budget("10%")
def test_raises(scripted_llm):
    scripted_llm.add(text("one"), text("two"))
    post("hello")
    raise ValueError("the agent broke")

@token_budget("10%")
def test_asks_too_often(scripted_llm):
    scripted_llm.add(text("one"))
    post("hello")
    try:
        post("again")
    except Exception:
        pass
    raise ValueError("the agent gave up")
"""
    )
    result = project.run()
    result.assert_outcomes(failed=2)
    said = result.stdout.str()
    assert "E       ValueError: the agent broke" in said
    assert "left over" not in said
    assert "the test's own error: ValueError: the agent gave up" in said
    assert "no answer to request 2" in said


PREFILL = """
from pytest_tokenbudget.replay.script import text

@token_budget("10%")
def test_agent(ask, scripted_llm):
    sizes = [{size} * turn for turn in (1, 2, 3, 4)]
    scripted_llm.add(*[text("ok", usage=(size, 20), duration=0.3 + 0.0005 * size) for size in sizes])
    for size in sizes:
        ask("x" * size)
"""


def test_where_reading_takes_the_time_longer_prompts_are_the_cause(project: Any) -> None:
    """The answers are as short as before: it is the tokens read that cost the seconds, and no time of an output token."""
    project.write(PREFILL.format(size=6000))
    project.run().assert_outcomes(passed=1)
    project.write(PREFILL.format(size=9000))
    project.run().assert_outcomes(failed=1)
    (cause,) = [cause for cause in project.test["causes"] if cause["metric"] == "latency"]
    assert (cause["part"], cause["text"]) == ("input", "15,000 -> 22,500 tokens read a call")
    assert cause["delta"] == pytest.approx(15.0, abs=0.1)
