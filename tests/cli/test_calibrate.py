"""``tokenbudget calibrate``: sessions of unchanged code are recorded, spaced, and kept as far as they are whole."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply
from own_process import POST, QUICK_INI, only_this_plugin

from pytest_tokenbudget.baselines.format import load
from pytest_tokenbudget.cli import calibrate
from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.records.baseline import BaselineEntry

TEST = f"""
import os
from pytest_tokenbudget import token_budget
{POST}
def ask(said):
    body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": said}}]}}
    return post(os.environ["MODEL_URL"] + "/v1/chat/completions", body)["choices"][0]["message"]["content"]

@token_budget("10%")
def test_loops(request):
    said = "go on"
    while "go on" in said:
        said = ask("go on")

def test_plain():
    raise AssertionError("no test of ours")
"""


def _loop_of(*lengths: int) -> Any:
    """Answers of loops that take so many calls, run after run."""
    return [Reply("done" if at == length - 1 else "go on") for length in lengths for at in range(length)]


@pytest.fixture
def live(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> LedgerServer:
    """A project with a live test whose loop is as long as the server says."""
    pytester.makepyfile(test_agent=TEST)
    pytester.makeini(QUICK_INI)
    only_this_plugin(monkeypatch, "no:cacheprovider")
    monkeypatch.setenv("MODEL_URL", llm_server.url)
    return llm_server


def _entry() -> BaselineEntry:
    path = Path("__budgets__/test_agent.json")
    (entry,) = load(path.read_bytes(), path).values()
    return entry


def test_each_session_of_unchanged_code_is_kept(live: LedgerServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A loop of 3, 6, 4 calls is one agent: an update would take 6 for a change, and 3 would be gone."""
    live.play(_loop_of(3, 6, 4))
    assert main(["calibrate", "-n", "3", "--interval", "0", "--", "test_agent.py"]) == 0
    assert _entry().metrics["calls"].sessions == ((3,), (6,), (4,))
    assert len(_entry().metrics["measured_latency"].sessions) == 3
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.err.splitlines()] == [f"session {n} of 3" for n in (1, 2, 3)]
    assert "1 test, 6 calls" in said.err
    assert "3 to 6" in said.out
    assert "recorded 3 sessions in __budgets__/test_agent.json; commit it" in said.out
    assert "nothing of how a provider is faster or slower from day to day" in said.out
    assert "\x1b" not in said.err


def test_a_change_before_it_is_taken_first(live: LedgerServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The first session is an update: what changed since the baseline replaces it, and only then sessions add up."""
    live.play(_loop_of(3))
    assert main(["calibrate", "-n", "1"]) == 0
    capsys.readouterr()
    live.play(_loop_of(8, 3))
    assert main(["calibrate", "-n", "1", "--json"]) == 0
    assert _entry().metrics["calls"].sessions == ((8,),)
    capsys.readouterr()
    assert main(["calibrate", "-n", "1", "--same-code", "--json"]) == 0
    assert _entry().metrics["calls"].sessions == ((8,), (3,))
    told = json.loads(capsys.readouterr().out)
    assert told["tests"]["test_agent.py::test_loops"]["calls"] == [3, 3]


def test_a_calibrated_loop_is_decided(live: LedgerServer, pytester: pytest.Pytester) -> None:
    """With sessions that show the noise, a run within it is ok on one sample, and one far above it is sampled and fails."""
    live.play(_loop_of(3, 6, 4))
    assert main(["calibrate", "-n", "3", "--interval", "0"]) == 0
    live.play(_loop_of(4))
    options = ("--tokenbudget-report=r.json", "-k", "loops")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
    test = json.loads(Path("r.json").read_text())["tests"][0]
    assert (test["verdict"], test["samples"]) == ("ok", 1)
    live.play(_loop_of(*[14, 13, 15, 14, 13, 16, 14, 13, 15, 14]))
    pytester.runpytest_inprocess(*options).assert_outcomes(failed=1)


def test_a_failing_test_stops_it(live: LedgerServer, pytester: pytest.Pytester, capsys: Any) -> None:
    """No more is spent on a test that fails on its own."""
    live.play(_loop_of(2))
    path = pytester.path / "test_agent.py"
    path.write_text(TEST.replace("    said = ", "    assert 0, 'broken'\n    said = "), encoding="utf-8")
    assert main(["calibrate", "--interval", "0"]) == 1
    said = capsys.readouterr()
    assert "stopped: test_agent.py::test_loops failed, and no more is spent" in said.err
    assert not Path("__budgets__").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "0"], "at least one session"),
        (["--interval", "-1"], "at least one session"),
        (["--", "--tokenbudget-accept"], "a series of --tokenbudget-update"),
        (["--", "-k", "plain"], "collects no test with a budget"),
        (["--", "--no-such-option"], "collects no test with a budget (exit code 4)"),
    ],
)
def test_what_cannot_be_recorded_is_said(live: LedgerServer, capsys: Any, arguments: list[str], said: str) -> None:
    """Before anything is spent."""
    assert main(["calibrate", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not live.ledger


def test_replayed_tests_need_one_session(live: LedgerServer, pytester: pytest.Pytester, capsys: Any) -> None:
    """They are exact: further sessions would say nothing."""
    path = pytester.path / "test_agent.py"
    path.write_text(TEST.replace('"10%"', '"10%", replay=True'), encoding="utf-8")
    live.play(_loop_of(3))
    assert main(["calibrate", "--interval", "0"]) == 0
    assert "no test has live traffic" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_ctrl_c_keeps_what_is_whole(live: LedgerServer, pytester: pytest.Pytester) -> None:
    """Interrupted while it waits for the second session: the first one stands, and that is said."""
    live.play(_loop_of(3, 3))
    command = [sys.executable, "-m", "pytest_tokenbudget", "calibrate", "--interval", "600"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=pytester.path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("session 1 of 5: 1 test, 3 calls")
        process.send_signal(signal.SIGINT)
        assert "interrupted; 1 of 5 sessions recorded, and kept" in process.stderr.read()
    assert process.returncode == 130
    assert _entry().metrics["calls"].sessions == ((3,),)


def test_sessions_are_spaced_and_a_terminal_shows_a_bar(live: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval lies between the starts of two sessions; the bar says how long it still waits."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(calibrate.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(calibrate.time, "sleep", sleep)
    monkeypatch.setattr(calibrate, "_record", lambda *args, same_code: _recorded(now))
    monkeypatch.setattr(calibrate, "_collected", lambda passed_on: ["t"])
    assert main(["calibrate", "-n", "2"]) == 0
    assert sum(slept) == pytest.approx(calibrate.INTERVAL_S - 20.0)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "calibrate 1/2" in shown
    assert "next session in 40 s" in shown


def _recorded(now: list[float]) -> Any:
    from pytest_tokenbudget.processes.transcript import Transcript
    from pytest_tokenbudget.records.sample import Sample
    from pytest_tokenbudget.records.verdict import TestResult

    now[0] += 20.0
    return Transcript(0, "", 20.0, results={"t": TestResult("t", "ok", samples=(Sample(traffic="live"),))})
