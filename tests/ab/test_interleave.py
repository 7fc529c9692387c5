"""Pairs until it is decided: who runs, how often, and what is said of it."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.ab.ab_options import AbOptions, parse_options
from pytest_tokenbudget.ab.arms import import_path, move_into
from pytest_tokenbudget.ab.interleave import interleave
from pytest_tokenbudget.ab.paired_test import PairedJudge, results_of
from pytest_tokenbudget.cli.ab_display import PlainLines
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.verdict import TestResult

TABLE = metric_table()
MEASURED = Budget(default_rule=None, rules=((Metric("", "measured_latency"), Rule(Fraction(1, 5))),))


def _run(
    sides: Any, tests: list[str], options: AbOptions | None = None, judge: PairedJudge | None = None
) -> tuple[TestResult, ...]:
    return results_of(
        interleave(
            sides.arms, tests, options or AbOptions(), judge or PairedJudge(TABLE), PlainLines(sides.said.append)
        )
    )


def _noisy(rng: random.Random, base: float, head: float, sigma: float = 0.1) -> Any:
    return lambda nodeid, is_head: (head if is_head else base) * rng.lognormvariate(0.0, sigma)


@pytest.mark.parametrize(("growth", "verdict"), [(1.0, "ok"), (2.0, "regression"), (0.5, "ok")])
def test_live_times_are_judged_without_drift(sides: Any, growth: float, verdict: str) -> None:
    """Whatever the provider does to both sides: here it gets three times slower on the way."""
    rng = random.Random(7)
    times = _noisy(rng, 1.0, growth)
    sides.budget = MEASURED
    sides.measure = lambda nodeid, head: sides.sampled(latency=times(nodeid, head) * (1 + len(sides.runs) // 2 * 0.05))
    (result,) = _run(sides, ["t"])
    assert result.verdict == verdict
    assert sides.order.startswith("ABBAAB")
    assert sides.order.count("A") == sides.order.count("B") == len(result.samples) <= 12
    (gate,) = result.gates
    assert gate.exact is False
    assert gate.baseline == pytest.approx(gate.value / growth, rel=0.2)


def test_only_undecided_tests_run_again(sides: Any) -> None:
    """Scripted ones need one pair, noisy ones as many as they need, and never more than the cap."""
    rng = random.Random(3)
    times = _noisy(rng, 1.0, 1.3, 0.5)
    sides.budget = MEASURED

    def measure(nodeid: str, head: bool) -> Any:
        if nodeid == "scripted":
            return sides.sampled(traffic="scripted")
        return sides.sampled(latency=times(nodeid, head))

    sides.measure = measure
    results = {result.nodeid: result for result in _run(sides, ["noisy", "scripted"], AbOptions(max_samples=6))}
    assert len(results["scripted"].samples) == 1
    assert 3 < len(results["noisy"].samples) <= 6
    assert sides.runs[0][1] == ("noisy", "scripted")
    assert {tests for _, tests in sides.runs[2:]} == {("noisy",)}
    assert any("1 of 2 tests undecided" in line for line in sides.said)


def test_a_target_counts_where_its_stage_is(sides: Any) -> None:
    """Reached exactly in scripted runs; missed by one token; a stage that nobody opens is an error."""
    options = parse_options([], ["main.input_tokens=30%"], max_samples=3, table=TABLE)
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=700 if head else 1000, traffic="scripted")
    (met,) = _run(sides, ["t"], options)
    assert (met.verdict, met.failed) == ("improved", False)
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=701 if head else 1000, traffic="scripted")
    (missed,) = _run(sides, ["t"], options)
    assert (missed.verdict, missed.failed) == ("target_missed", True)
    with pytest.raises(ABError, match="no test opened the stage 'mian'; opened: main"):
        _run(sides, ["t"], parse_options([], ["mian.input_tokens=30%"], max_samples=3, table=TABLE))


def test_an_outcome_that_the_base_has_sometimes_is_none_that_differs(sides: Any) -> None:
    """A model that varies may do so on either side; something new fails a target."""
    options = parse_options([], ["measured_latency=30%"], max_samples=8, table=TABLE)
    sides.budget = MEASURED
    outcomes = iter(["a", "b", "a", "b", "a", "b", *"aaaaaaaaaa"])
    sides.measure = lambda nodeid, head: sides.sampled(
        latency=(0.4 if head else 1.0) * (1 + 0.01 * len(sides.runs)), outcome="a" if head else next(outcomes)
    )
    (result,) = _run(sides, ["t"], options)
    assert result.verdict == "improved"
    assert not any("outcome" in message for message in result.notices)
    sides.measure = lambda nodeid, head: sides.sampled(
        latency=(0.4 if head else 1.0) * (1 + 0.01 * (len(sides.runs) % 7)), outcome="c" if head else "a"
    )
    (result,) = _run(sides, ["t"], options)
    assert result.verdict == "target_missed"
    assert "outcome 'is' was 'a', is 'c'" in result.notices


def test_the_level_is_shared_out_among_the_gates_that_compare_times(sides: Any) -> None:
    """Many tests are judged more strictly than one; a confirmation takes the number from its report."""
    seen: list[int] = []

    class Watching(PairedJudge):
        def gates(self, *args: Any) -> Any:
            seen.append(self.family)
            return super().gates(*args)

    sides.budget = MEASURED
    rng = random.Random(1)
    sides.measure = lambda nodeid, head: sides.sampled(latency=rng.lognormvariate(0, 0.1))
    _run(sides, [f"t{i}" for i in range(7)], judge=Watching(TABLE))
    assert set(seen) == {1, 7}
    seen.clear()
    _run(sides, ["t"], judge=Watching(TABLE, family=40, only={"t": {("measured_latency", "mean")}}))
    assert set(seen) == {40}


def test_a_confirmation_judges_only_the_suspected_gates(sides: Any) -> None:
    """The others were decided in the earlier run."""
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=2000 if head else 1000, traffic="scripted")
    (result,) = _run(sides, ["t"], judge=PairedJudge(TABLE, only={"t": {("calls", "mean")}}))
    assert [gate.metric for gate in result.gates] == ["calls"]
    assert result.verdict == "ok"


def test_another_model_is_compared(sides: Any) -> None:
    """Both ran today; that is what an A/B run is for."""
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=900 if head else 1000, traffic="scripted")
    (result,) = _run(sides, ["t"], parse_options(["0%"], [], max_samples=1, table=TABLE))
    assert result.verdict == "improved"


def test_a_side_that_fails_or_skips_is_not_compared(sides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure fails the command; a skipped test is left out; a run that stopped early is a failure."""
    from pytest_tokenbudget.ab import interleave as module

    def sample(arm: Any, tests: Any) -> Transcript:
        seen = sides.sample(arm, tests)
        results = {name: result for name, result in seen.results.items() if name == "fine"}
        failures = {"broken": ("setup", "E   RuntimeError: no database")} if arm is sides.arms[0] else {}
        return Transcript(1, "", 1.0, results=results, failures=failures, skipped=frozenset({"skipped"}))

    monkeypatch.setattr(module, "sample", sample)
    sides.measure = lambda nodeid, head: sides.sampled(traffic="scripted")
    results = {result.nodeid: result for result in _run(sides, ["broken", "fine", "skipped", "stopped"])}
    assert set(results) == {"broken", "fine", "stopped"}
    assert results["broken"].messages == ("fails in its setup at main (1a2b3c4): RuntimeError: no database",)
    assert not results["broken"].passed
    assert "did not run at main" in results["stopped"].messages[0]
    assert results["fine"].verdict == "ok"


def test_the_own_tree_comes_first(tmp_path: Path) -> None:
    """Its src before its root; inherited entries into the head become those of the side, others stay."""
    head, base = tmp_path / "head", tmp_path / "base"
    (base / "src").mkdir(parents=True)
    inherited = f"{head}/lib:/elsewhere::{head}er"
    assert import_path(base, head, inherited) == [
        f"{base}/src", str(base), f"{base}/lib", "/elsewhere", f"{head}er"
    ]  # fmt: skip
    assert move_into(f"--config={head}/x.ini", head, base) == f"--config={base}/x.ini"
    assert move_into(f"{head}/x.ini", head, head) == f"{head}/x.ini"
