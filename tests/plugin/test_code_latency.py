"""The latency that the code decides, and what the code decides of the tokens: through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_server import Reply

LOOP = """
@token_budget({{"latency": "20%"}})
def test_agent(ask):
    for number in range({calls}):
        ask("look it up")
"""

FAN_OUT = """
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

@token_budget({{"latency": "20%"}})
def test_agent(ask):
    with ThreadPoolExecutor({workers}) as pool:
        for done in [pool.submit(copy_context().run, ask, "look it up") for _ in range(4)]:
            done.result()
"""


@pytest.fixture
def slow(project: Any) -> Any:
    """A project whose model takes 30 ms for an answer."""
    project.server.play(lambda asked: Reply(delay=0.03))
    return project


def test_an_unchanged_run_is_decided_on_one_sample(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is three times slower today changes nothing of the code; it is told, and fails nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    slow.write(LOOP.format(calls=4))
    slow.run().assert_outcomes(passed=1)
    assert '"main": {"gpt-4o": [' in slow.baseline
    slow.server.play(lambda asked: Reply(delay=0.09))
    result = slow.run("-v")
    result.assert_outcomes(passed=1)
    assert (slow.test["verdict"], slow.test["samples"]) == ("ok", 1)
    gate = slow.gate("latency")
    assert gate["value"] == pytest.approx(gate["baseline"], rel=0.02)
    (pace,) = slow.test["provider_pace"]
    assert pace["model"] == "gpt-4o"
    assert pace["calls"] == 4
    assert 1.0 < pace["lower"] < pace["ratio"] < pace["upper"]
    assert pace["ratio"] == pytest.approx(3.0, rel=0.4)
    assert slow.test["total"]["measured_latency"] > 2 * slow.test["total"]["latency"]
    told = "openai gpt-4o is * times slower per token than in the baseline*"
    result.stdout.fnmatch_lines([told, "*not these changes"])
    assert max(len(line) for line in result.stdout.lines if line.startswith("openai gpt")) <= 80


def test_the_providers_part_is_gated_by_name(slow: Any) -> None:
    """Drift is no noise there: three samples of a provider that is slower fail, one of a provider as before passes."""
    source = LOOP.format(calls=6).replace('"latency": "20%"', '"provider_pace": "40%"')
    slow.write(source)
    slow.run().assert_outcomes(passed=1)
    slow.server.play(lambda asked: Reply(delay=0.03))
    slow.run().assert_outcomes(passed=1)
    assert slow.gate("provider_pace")["value"] == pytest.approx(1.0, rel=0.3)
    slow.server.play(lambda asked: Reply(delay=0.12))
    result = slow.run()
    result.assert_outcomes(failed=1)
    gate = slow.gate("provider_pace")
    assert (gate["verdict"], gate["baseline"], gate["exact"], gate["unit"]) == ("regression", 1.0, False, "ratio")
    assert gate["value"] > 1.4
    assert gate["lower"] > 0
    assert slow.test["samples"] >= 3
    slow.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    assert slow.gate("provider_pace")["verdict"] == "inconclusive"
    assert "times the expected time in 6 calls" in slow.gate("provider_pace")["reason"]


def test_more_calls_fail_whatever_the_provider_does(slow: Any) -> None:
    """Half as many calls again take half as long again, on a day on which each takes half of its time."""
    slow.write(LOOP.format(calls=4))
    slow.run().assert_outcomes(passed=1)
    slow.server.play(lambda asked: Reply(delay=0.015))
    slow.write(LOOP.format(calls=6))
    slow.run().assert_outcomes(failed=1)
    gate = slow.gate("latency")
    assert gate["verdict"] == "regression"
    assert gate["change"] == pytest.approx(0.5, abs=0.1)
    causes = [cause for cause in slow.test["causes"] if cause["metric"] == "latency"]
    assert causes[0]["part"] == "calls"
    assert causes[0]["text"].startswith("6 calls instead of 4, ")
    assert sum(cause["delta"] for cause in causes) == pytest.approx(gate["value"] - gate["baseline"])


def test_a_fan_out_made_sequential_fails(slow: Any) -> None:
    """The same calls one after another take four times as long: tokens and calls do not tell it."""
    slow.server.play(lambda asked: Reply(delay=0.15))  # long beside the start of a thread on a busy machine
    slow.write(FAN_OUT.format(workers=4))
    slow.run().assert_outcomes(passed=1)
    slow.write(FAN_OUT.format(workers=1))
    slow.run().assert_outcomes(failed=1)
    assert slow.gate("latency")["change"] > 1.0
    assert slow.test["causes"][0]["part"] == "overlap"


def test_the_measured_time_is_gated_by_name(slow: Any) -> None:
    """It is judged by the statistics, which one session of one sample does not satisfy."""
    slow.write(LOOP.format(calls=4).replace('"latency"', '"measured_latency"'))
    slow.run().assert_outcomes(passed=1)
    slow.run().assert_outcomes(passed=1)
    gate = slow.gate("measured_latency")
    assert (gate["verdict"], gate["learning"]) == ("inconclusive", False)
    assert slow.test["verdict"] == "inconclusive"


def test_another_session_is_at_the_speed_of_the_first(slow: Any) -> None:
    """An update appends a session where nothing changed; the stored speed stays, and a new model gets one of its own."""
    slow.write(LOOP.format(calls=4))
    slow.run().assert_outcomes(passed=1)
    stored = slow.stored("measured_latency").sessions
    speed = next(line for line in slow.baseline.splitlines() if '"speed"' in line)
    slow.server.play(lambda asked: Reply(delay=0.06))
    slow.run("--tokenbudget-update").assert_outcomes(passed=1)
    assert speed in slow.baseline
    assert len(slow.stored("measured_latency").sessions) == len(stored) + 1
    assert max(slow.stored("latency").values) < 1.1 * min(slow.stored("latency").values)
    slow.write(LOOP.format(calls=4).replace('"look it up"', '"look it up", model="gpt-4o-mini"'))
    slow.run("--tokenbudget-update").assert_outcomes(passed=1)
    assert '"gpt-4o-mini": [' in slow.baseline
    assert '"gpt-4o": [' not in slow.baseline


PROMPT = """
@token_budget("10%")
def test_agent(ask):
    history = [{{"role": "system", "content": "You are an agent. " + {more!r}}}, {{"role": "user", "content": "go on"}}]
    for number in range({calls}):
        answer = ask(messages=history).json()["choices"][0]["message"]["content"]
        history += [{{"role": "assistant", "content": answer}}, {{"role": "user", "content": "and then"}}]
"""


def test_a_grown_prompt_fails_on_one_sample(project: Any) -> None:
    """Live traffic, a loop that was shorter this time, and a prompt that grew: one run, red, and the reason."""
    rules = " Mind the rules of the house." * 40
    project.write(PROMPT.format(more=rules, calls=5))
    project.run().assert_outcomes(passed=1)
    project.server.forget()
    project.write(PROMPT.format(more=rules + " Then think about it again, and say what you think." * 12, calls=4))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert len(project.server.requests) == 4
    gate = project.gate("input_tokens")
    assert (gate["verdict"], gate["exact"]) == ("regression", True)
    assert gate["exact_part"]["value"] > 1.3 * gate["exact_part"]["baseline"]
    result.stdout.fnmatch_lines(["*decided by the prompt alone: * more tokens in each of 5 calls*"])


def test_an_update_leaves_the_time_of_the_agents_own_code(slow: Any) -> None:
    """All latencies of a baseline are reckoned with one time of the agent's own code, so that an update moves none of them."""
    own_code = "\n    __import__('time').sleep({})\n"
    slow.write(LOOP.format(calls=4) + own_code.format(0.12))
    slow.run().assert_outcomes(passed=1)
    stored = slow.gate("latency")["value"] if slow.test["gates"] else slow.test["total"]["latency"]
    slow.write(LOOP.format(calls=4).replace("look it up", "look it up twice") + own_code.format(0.04))
    slow.run("--tokenbudget-update").assert_outcomes(passed=1)
    slow.run().assert_outcomes(passed=1)
    gate = slow.gate("latency")
    assert gate["verdict"] == "ok"
    assert gate["value"] == pytest.approx(stored, rel=0.05)


def test_one_cold_start_is_no_regression(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own code is measured on a real clock: one sample in which it took seconds longer proves nothing."""
    body = LOOP.format(calls=4).replace("})", "}, samples=1)")
    slow.write(body + "    import os, time\n    time.sleep(float(os.environ.get('COLD', '0')))\n")
    slow.run().assert_outcomes(passed=1)
    monkeypatch.setenv("COLD", "1.3")
    slow.run().assert_outcomes(passed=1)
    assert slow.gate("latency")["verdict"] == "inconclusive"
