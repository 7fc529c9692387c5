"""What is said at the end of a session about live times: the suite's shift, and how a failure is confirmed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.plugin.stored_baselines import count_timed_gates
from pytest_tokenbudget.plugin.suite import shifts
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, RunView, TestResult
from pytest_tokenbudget.report.table import confirmation, remedies

STORE: Any = SimpleNamespace(
    read=lambda path: {f"test_{i}": BaselineEntry({"measured_latency": MetricRecord(((1.0,),) * 5)}) for i in range(30)}
)


def _result(number: int, ratio: float, *, exact: bool = False, model: str = "m") -> TestResult:
    gate = GateResult("measured_latency", "mean", "+20%", "max_increase", 1.0, ratio, "ok", exact=exact, allowed=1.2)
    call = Call(provider="openai", model=model, api="openai.chat", stage="main", status=200)
    return TestResult(
        f"test_agent.py::test_{number}",
        "ok",
        (gate,),
        (Sample(calls=(call,)),),
        baseline_file=str(Path("__budgets__/test_agent.json")),
        key=f"test_{number}",
    )


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "ok"), (1.25, "inconclusive"), (1.6, "regression")])
def test_twenty_gates_have_a_verdict_together(ratio: float, verdict: str) -> None:
    """Within what they allow it is ok, above it is a regression only where drift between sessions does not explain it."""
    ((said, text),) = shifts([_result(i, ratio * (1 + 0.01 * (i % 3))) for i in range(20)], STORE)
    assert said == verdict
    assert text.startswith("openai m: all 20 latency gates together: +")


def test_a_baseline_of_one_session_cannot_tell_a_slower_day() -> None:
    """The first comparison on a machine under load fails nothing, however slow all of it was."""
    young: Any = SimpleNamespace(
        read=lambda path: {f"test_{i}": BaselineEntry({"measured_latency": MetricRecord(((1.0,),))}) for i in range(30)}
    )
    ((said, text),) = shifts([_result(i, 9.0) for i in range(20)], young)
    assert said == "inconclusive"
    assert "fewer than 3 sessions" in text


def test_gates_that_say_nothing_of_the_provider_do_not_count() -> None:
    """Fewer than 20, projected ones, and each model for itself."""
    assert shifts([_result(i, 2.0) for i in range(19)], STORE) == []
    assert shifts([_result(i, 2.0, exact=True) for i in range(20)], STORE) == []
    assert shifts([_result(i, 2.0, model="ab"[i % 2]) for i in range(30)], STORE) == []


def test_a_slower_suite_fails_a_run_though_every_test_passed() -> None:
    """It is the run's verdict, in gate mode alone."""
    assert not RunView("1", "gate", (), (), ("regression",)).exit_ok
    assert RunView("1", "gate", (), (), ("regression",)).verdict == "regression"
    assert RunView("1", "report", (), (), ("regression",)).exit_ok
    assert RunView("1", "gate", (), (), ("ok",)).exit_ok


def test_a_failure_against_a_stored_time_names_its_confirmation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A live time may have drifted; tokens and projected times have not."""
    monkeypatch.chdir(tmp_path)  # of a repository with a remote the branch there would be named
    failed = GateResult("worker.latency", "mean", "+20%", "max_increase", 1.0, 2.0, "regression", exact=False)
    lines = remedies(TestResult("t.py::test_a[x y]", "regression", (failed,)))
    assert any("unconfirmed" in line and "tokenbudget ab main -- 't.py::test_a[x y]'" in line for line in lines)
    exact = GateResult("worker.latency", "mean", "+20%", "max_increase", 1.0, 2.0, "regression")
    assert not any("unconfirmed" in line for line in remedies(TestResult("t.py::test_a", "regression", (exact,))))
    monkeypatch.setenv("GITHUB_BASE_REF", "trunk")
    lines = remedies(TestResult("t.py::test_a", "regression", (failed,)), reports=("out/report.json",))
    assert any("`tokenbudget ab origin/trunk --confirm out/report.json`" in line for line in lines)


def test_the_report_to_confirm_is_the_json_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not the one in Bencher's format, whose name ends like it."""
    monkeypatch.chdir(tmp_path)
    assert confirmation("t", ("a.bmf.json", "b.md"), "") == "tokenbudget ab main -- t"
    assert confirmation("t", ("a.bmf.json", "b.json"), "") == "tokenbudget ab main --confirm b.json"


def test_the_level_is_shared_among_the_live_times_that_are_gated() -> None:
    """The whole test's and each stored stage's; what a replay projects is exact and takes no share."""
    parts = StageComposition(calls=1)
    live = BaselineEntry(composition={"router": parts, "worker": parts}, traffic="live")
    by_default, table = Budget(Rule(Fraction(1, 10))), metric_table()
    assert count_timed_gates(by_default, live, table) == 3
    assert (
        count_timed_gates(Budget(None, rules=((Metric("worker", "latency"), Rule(Fraction(1, 10))),)), live, table) == 1
    )
    assert count_timed_gates(by_default, replace(live, traffic="replay"), table) == 0
    assert count_timed_gates(replace(by_default, replay="play"), live, table) == 0
