"""What a person reads at the terminal: the section at the end, the failure of a test, and pytest's own summary."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

AGENT = """
def tool(name, text):
    return {{"type": "function", "function": {{"name": name, "description": text, "parameters": {{"type": "object"}}}}}}

def work(ask, question):
    ask("which desk?", stage_name="router")
    for _ in range(3):
        ask(question, stage_name="worker", tools=[tool("search_orders", {text!r}), tool("refund", "Money back.")])

@token_budget("10%", replay=True)
def test_refunds_a_lamp(ask):
    work(ask, "refund my lamp")

@token_budget("10%", replay=True)
def test_says_where_the_chair_of_the_customer_is(ask):
    work(ask, "where is my chair?")
"""
LONGER = "Finds the orders of a customer, by name or by number, newest first. "


@pytest.fixture
def regressed(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two tests whose tool grew."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "GITHUB_ACTIONS", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    project.write(AGENT.format(text="Finds orders."))
    project.run().assert_outcomes(passed=2)
    project.write(AGENT.format(text=LONGER * 3))
    return project


def _run(project: Any, *arguments: str) -> pytest.RunResult:
    """Run pytest as a user does, with its cache."""
    result: pytest.RunResult = project.pytester.runpytest_inprocess(*arguments)
    return result


def _section(result: pytest.RunResult) -> list[str]:
    """The lines of the section."""
    lines = result.outlines
    begin = next(index for index, line in enumerate(lines) if " token budget " in line)
    end = next(index for index in range(begin + 1, len(lines)) if lines[index].startswith("==="))
    return lines[begin + 1 : end]


def test_a_shared_cause_is_told_once_in_eighty_columns(regressed: Any) -> None:
    """A line a test, the cause with the tests that share it, what stayed, what it cost, and what to do: within 80 columns."""
    result = _run(regressed)
    result.assert_outcomes(failed=2)
    section = _section(result)
    assert [re.sub(r"[\d,.]+", "9", line) for line in section] == [
        "test_refunds_a_lamp          input 9 → 9 (calibrated)  +9 %  OVER (+9 %)",
        "test_says_where_t…stomer_is  input 9 → 9 (calibrated)  +9 %  OVER (+9 %)",
        "  +9  tool schema search_orders 9 → 9 in each of 9 worker calls   9 tests",
        "  output9 calls as before · cost +9 %",
        "9 tests over budget · 9 calls9 9 tokens9 $9",
        "wanted? pytest --tokenbudget-update   what changed: tokenbudget compare",
    ]
    begin = next(index for index, line in enumerate(result.outlines) if " FAILURES " in line)
    assert [line for line in result.outlines[begin:] if len(line) > 80] == []
    # Each failure has its own causes once, and how to accept them is told once for all.
    text = "\n".join(result.outlines)
    assert text.count("search_orders") == 3
    assert text.count("--tokenbudget-update") == 1


@pytest.mark.parametrize("workers", [(), ("-pxdist", "-n1")], ids=["alone", "xdist"])
def test_the_verdict_alone_is_coloured(regressed: Any, workers: tuple[str, ...]) -> None:
    """In the failure of a test too, and where another process ran it; what pytest's summary shows is one short line."""
    result = _run(regressed, "--color=yes", *workers)
    coloured = "\n".join(result.outlines)
    assert re.search(r"allowed \+10 %  \x1b\[31mREGRESSION\x1b\[0m", coloured)
    assert re.search(r"%  \x1b\[31mOVER \(\+10 %\)\x1b\[0m", coloured)
    shown = re.sub(r"\x1b\[\d+m", "", coloured).splitlines()
    summary = [line for line in shown if line.startswith("FAILED ")]
    assert len(summary) == 2
    assert re.fullmatch(r"FAILED test_agent.py::test_refunds_a_lamp - input \+\d+\.\d %, allowed \+10 %", summary[0])
    assert [len(line) for line in summary if len(line) > 80] == []


def test_a_run_that_only_reports_says_that_nothing_failed(regressed: Any) -> None:
    """It accepted nothing either."""
    result = _run(regressed, "--tokenbudget=report")
    result.assert_outcomes(passed=2)
    section = "\n".join(_section(result))
    assert "over, only reported (+10 %)" in section
    assert "2 tests over, only reported" in section
    assert "accepted" not in section


def test_a_passing_run_is_two_lines(regressed: Any) -> None:
    """The heading and what it cost."""
    _run(regressed, "--tokenbudget-accept")
    (line,) = _section(_run(regressed))
    assert re.fullmatch(r"2 tests within budget · 8 calls, [\d,]+ tokens, \$[\d.]+", line)


def test_the_clock_noise_that_is_forgiven_is_shown(project: Any) -> None:
    """A default latency gate of milliseconds allows 50 ms more, and says so; a rule that somebody wrote holds as it stands."""
    source = "@token_budget({budget})\ndef test_agent(ask):\n    import time; [ask() for _ in range(4)]; time.sleep({pause})\n"
    for budget, rule in (('"10%"', "+10% +50 ms"), ('{"latency": "10%"}', "+10%")):
        project.write(source.format(budget=budget, pause=0))
        project.run("--tokenbudget-update", "--tokenbudget-samples=3")
        project.write(source.format(budget=budget, pause=0.02))
        project.run("--tokenbudget-samples=3")
        gate = project.gate("latency")
        assert gate["rule"] == rule
        most = gate["baseline"] + 0.05 if "ms" in rule else gate["baseline"] * 1.1
        assert gate["allowed"] == pytest.approx(most)


def test_ctrl_c_leaves_the_stored_numbers_as_they_were(project: Any) -> None:
    """Also those of tests that had ended, and of an update."""
    source = """
@token_budget("10%")
def test_agent(ask):
    ask({text!r})

def test_stopped():
    {stop}
"""
    project.write(source.format(text="hello", stop="pass"))
    project.run()
    before = project.baseline
    project.write(source.format(text="hello " * 50, stop="raise KeyboardInterrupt"))
    result = project.pytester.runpytest_inprocess("--tokenbudget-update", no_reraise_ctrlc=True)
    result.stdout.fnmatch_lines(["interrupted: the stored numbers stand as they were"])
    assert project.baseline == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_further_samples_are_drawn_on_a_terminal_only(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar with what is left, which vanishes; in a log there is none."""
    import os
    import pty

    project.write("""
@token_budget("off", samples=3)
def test_agent(budget):
    budget.record(model="gpt-4o", input_tokens=10, output_tokens=1)
""")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    master, slave = pty.openpty()
    arguments = [sys.executable, "-m", "pytest", "-p", "no:asyncio"]
    with subprocess.Popen(arguments, cwd=project.pytester.path, stdout=slave, stderr=slave, stdin=slave) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                found = os.read(master, 4096)
            except OSError:  # the end, on Linux
                found = b""
            if not found:
                break
            shown += found
        assert process.wait() == 0
    os.close(master)
    text = shown.decode("utf-8", "replace")
    assert re.search(r"test_agent: sampling\b.*\b2/3\b.* at most", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text))
    assert text.count("\x1b[2K") >= 1
    assert "sampling" not in project.run().stdout.str()
