"""What an A/B run says while it runs and when it ends: looks, the reason why it stopped, what a quantile needs."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

from pytest_tokenbudget.ab.ab_options import AbOptions, parse_options
from pytest_tokenbudget.ab.interleave import interleave
from pytest_tokenbudget.ab.paired_test import PairedJudge, PairedTest, results_of
from pytest_tokenbudget.ab.progress import closing_sentence, quantile_needs, why_stopped
from pytest_tokenbudget.cli.ab_display import PlainLines, progress_display
from pytest_tokenbudget.measure.metrics import metric_table, parse_metric
from pytest_tokenbudget.records.verdict import RunView

TABLE = metric_table()


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _interleaved(sides: Any, options: AbOptions, progress: Any = None, tests: tuple[str, ...] = ("t",)) -> Any:
    return interleave(sides.arms, tests, options, PairedJudge(TABLE), progress or PlainLines(sides.said.append))


def _slower_by(growth: float, sigma: float, sides: Any) -> Any:
    rng = random.Random(5)
    return lambda nodeid, head: sides.sampled(latency=(growth if head else 1.0) * rng.lognormvariate(0.0, sigma))


@pytest.mark.parametrize(
    ("growth", "sigma", "pairs", "reason"),
    [
        (1.0, 0.02, 30, "every gate is decided"),
        (1.2, 0.3, 5, "1 gate is undecided at the cap of 5 pairs"),
        (2.0, 0.05, 30, "every gate is decided"),
    ],
)
def test_it_says_why_it_stopped(sides: Any, growth: float, sigma: float, pairs: int, reason: str) -> None:
    """All is decided, or the cap was reached with something open."""
    options = parse_options(["measured_latency=20%", "off"], [], max_samples=pairs, table=TABLE)
    sides.measure = _slower_by(growth, sigma, sides)
    tests = _interleaved(sides, options)
    named = [gate for test in tests for gate in test.gates if gate.metric == "measured_latency"]
    assert named
    assert why_stopped(tests, pairs) == reason


def test_a_failure_that_ends_a_test_early_is_the_reason(sides: Any) -> None:
    """A prompt that grew is decided by the first pair; the time that is still open is said to be left so."""
    options = parse_options(["measured_latency=20%", "input_tokens=10%", "off"], [], max_samples=30, table=TABLE)
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=2000 if head else 1000, traffic="scripted")
    assert why_stopped(_interleaved(sides, options), 30) == "every gate is decided"
    rng = random.Random(2)
    sides.measure = lambda nodeid, head: sides.sampled(
        input_tokens=2000 if head else 1000, latency=rng.lognormvariate(0.0, 0.5)
    )
    tests = _interleaved(sides, options)
    assert len(tests[0].head) == 3
    assert why_stopped(tests, 30) == (
        "1 test failed, and further pairs would not change that (1 gate of it left undecided)"
    )


def test_pairs_that_cannot_decide_are_not_run(sides: Any) -> None:
    """Where neither end can be reached any more the run stops before the cap, and says so."""
    test = PairedTest("t", wanted=0, head=[sides.sampled()] * 8, base=[sides.sampled()] * 8)
    options = parse_options(["measured_latency=20%", "off"], [], max_samples=30, table=TABLE)
    sides.measure = _slower_by(1.2, 1.0, sides)
    test.gates = tuple(gate for one in _interleaved(sides, options) for gate in one.gates)
    assert {gate.verdict for gate in test.gates} == {"inconclusive"}
    assert why_stopped([test], 30) == "1 gate stays undecided: no pair that is left could decide it"
    assert why_stopped([PairedTest("t", trouble="fails at main")], 30) == "no test can be compared"


def _run_of(tests: Any) -> RunView:
    return RunView("0", "gate", results_of(tests))


def test_it_ends_with_a_sentence_to_forward(sides: Any) -> None:
    """How many tests, against what, why, and what is left undecided."""
    options = parse_options(["measured_latency=20%", "input_tokens=10%", "off"], [], max_samples=4, table=TABLE)
    sides.measure = lambda nodeid, head: sides.sampled(traffic="scripted")
    assert closing_sentence(_run_of(_interleaved(sides, options)), "main (1a2b3c4)") == (
        "1 test within budget against main (1a2b3c4)."
    )
    sides.measure = lambda nodeid, head: sides.sampled(input_tokens=2000 if head else 1000, traffic="scripted")
    said = closing_sentence(_run_of(_interleaved(sides, options)), "main (1a2b3c4)")
    assert said.startswith("1 of 1 test is over budget against main (1a2b3c4): the agent reads 100.0 % more")
    sides.measure = _slower_by(1.2, 0.4, sides)
    said = closing_sentence(_run_of(_interleaved(sides, options)), "main (1a2b3c4)")
    assert said == ("1 test within budget against main (1a2b3c4); 1 gate undecided (measured_latency of t).")


def test_a_quantile_says_before_it_begins_what_it_needs() -> None:
    """59 calls for a p95, and whether --max-samples allows them; a maximum is bounded by none."""
    said = list(quantile_needs([parse_metric("call_latency.p95", TABLE)], 10))
    assert said == [
        "call_latency.p95: needs 59 pooled calls; at most 10 pairs allow that only where a sample makes 6 calls or more"
    ]
    (few,) = quantile_needs([parse_metric("worker.ttft.p50", TABLE)], 30)
    assert few == "worker.ttft.p50: needs 5 pooled calls; at most 30 pairs allow that with one call a sample"
    (most,) = quantile_needs([parse_metric("call_latency.max", TABLE)], 30)
    assert "never pass" in most
    assert list(quantile_needs([parse_metric("latency", TABLE)], 30)) == []


@pytest.mark.parametrize(
    ("calls", "cap", "said"),
    [
        (6, 10, "a sample makes 6 calls, so its 59 take 10 pairs: --max-samples 10 allows it"),
        (
            3,
            10,
            "a sample makes 3 calls, so its 59 take 20 pairs: --max-samples 10 does not allow it; give --max-samples 20",
        ),
        (
            1,
            100,
            "a sample makes 1 call, so its 59 take 59 pairs: --max-samples 100 does not allow it, nor would more:"
            " 30 pairs are the most; gate p90",
        ),
    ],
)
def test_after_the_first_pair_it_says_whether_the_cap_allows_a_quantile(
    sides: Any, calls: int, cap: int, said: str
) -> None:
    """By then it is known how many calls a sample makes."""
    options = parse_options([], ["call_latency.p95=30%"], max_samples=cap, table=TABLE)
    sides.measure = lambda nodeid, head: sides.sampled(calls=calls)
    _interleaved(sides, options)
    assert f"call_latency.p95: {said}" in sides.said


def test_a_terminal_shows_the_pairs_alive(sides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pair runs, and what is undecided with its estimate, interval and rule; names from outside mark up nothing."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    options = parse_options(["measured_latency=20%", "off"], [], max_samples=8, table=TABLE)
    sides.measure = _slower_by(1.25, 0.2, sides)
    stream = Terminal()
    with progress_display(stream) as progress:
        _interleaved(sides, options, progress, ("t.py::test_[red]\x1b[31mbooks",))
    shown = stream.getvalue()
    for part in (
        "pair 1 of at most 8 is running",
        "after 3 pairs",
        "measured_latency",
        "+20 %",
        "more",
        "test_[red][31mbooks",
    ):
        assert part in shown, part
    assert " to +" in shown
    assert "\x1b[31m" not in shown


def test_elsewhere_there_are_plain_lines(sides: Any) -> None:
    """A log has no moving parts."""
    options = parse_options(["measured_latency=20%", "off"], [], max_samples=5, table=TABLE)
    sides.measure = _slower_by(1.25, 0.2, sides)
    stream = io.StringIO()
    with progress_display(stream) as progress:
        _interleaved(sides, options, progress)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "pair 1: " in shown
    assert "1 of 1 test undecided after 3 pairs" in shown
