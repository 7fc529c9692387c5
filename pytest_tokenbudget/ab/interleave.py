"""Pairs of samples, A B B A A B ..., until every gate of every test is decided or the cap is reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_tokenbudget.ab.ab_options import AbOptions
from pytest_tokenbudget.ab.arms import Arm, sample
from pytest_tokenbudget.ab.paired_test import PairedJudge, PairedTest
from pytest_tokenbudget.ab.progress import Progress, look_at, quantile_outlook
from pytest_tokenbudget.records.gate import Budget, Metric
from pytest_tokenbudget.records.verdict import FAILING, next_batch


def interleave(
    arms: tuple[Arm, Arm], nodeids: Sequence[str], options: AbOptions, judge: PairedJudge, progress: Progress
) -> tuple[PairedTest, ...]:
    """Run pairs until all is decided.

    Args:
        arms: Base and head.
        nodeids: Node ids of the tests that both sides have.
        options: What is asked of them.
        judge: Judges the pairs; the family is counted here where it is not given by a report.
        progress: Told what is going on.

    Returns:
        All tests with their samples and verdicts.

    Raises:
        ABError: If a side cannot run.
    """
    tests = tuple(PairedTest(nodeid) for nodeid in nodeids)
    pair = 0
    while running := [test for test in tests if test.wanted]:
        pair += 1
        progress.begin(pair, options.max_samples)
        _run_pair(pair, arms, running, progress)
        for test in running:
            test.wanted = 0 if test.is_out else test.wanted - 1
        if pair == 1:
            _set_budgets(running, options, arms[0].name)
            judge = _with_family(judge, running)
            for line in _outlooks(running, options.max_samples):
                progress.say(line)
        for test in running:
            if not (test.wanted or test.is_out):
                _judge(test, judge, options.max_samples)
        progress.look(look_at(tests, pair))
    return tests


def _run_pair(pair: int, arms: tuple[Arm, Arm], running: Sequence[PairedTest], progress: Progress) -> None:
    """A B in odd pairs, B A in even ones, so that neither side always has the warmer provider."""
    nodeids = [test.nodeid for test in running]
    times = {}
    for arm in arms if pair % 2 else arms[::-1]:
        seen = sample(arm, nodeids)
        times[arm.name] = seen.seconds
        for test in running:
            test.take(arm, seen, head=arm is arms[1])
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    progress.say(f"pair {pair}: {took}")


def _set_budgets(running: Sequence[PairedTest], options: AbOptions, base: str) -> None:
    """After the first pair it is known what each test allows and which stages it opens."""
    known = [test for test in running if not test.is_out]
    if known:
        options.check_stages({stage for test in known for stage in test.stages})
    for test in known:
        own = test.measured.budget if test.measured is not None else None
        test.budget = options.on(own or Budget(), base=base, stages=test.stages)


def _outlooks(running: Sequence[PairedTest], max_samples: int) -> Iterator[str]:
    """Say of each quantile that is gated whether the cap allows it to be decided, by the test with the fewest calls."""
    fewest: dict[Metric, int] = {}
    for test in running:
        if test.is_out or test.budget is None:
            continue
        for metric, _ in (*test.budget.rules, *test.budget.reduce):
            calls = len(test.head[0].pooled.get(metric.stage, {}).get(metric.name, ()))
            if metric.statistic != "mean" and calls:
                fewest[metric] = min(calls, fewest.get(metric, calls))
    for metric, calls in sorted(fewest.items()):
        if said := quantile_outlook(metric, calls, max_samples):
            yield said


def _with_family(judge: PairedJudge, running: Sequence[PairedTest]) -> PairedJudge:
    """The judge, who now knows among how many gates that compare times the level is shared out."""
    if judge.only is not None:
        return judge
    gates = [judge.gates(test.nodeid, test.budget, test.base, test.head) for test in running if test.budget is not None]
    return replace(judge, family=max(1, sum(map(judge.timed_gates, gates))))


def _judge(test: PairedTest, judge: PairedJudge, cap: int) -> None:
    assert test.budget is not None
    test.gates = judge.gates(test.nodeid, test.budget, test.base, test.head)
    # What has failed already is not made better by more samples.
    decided = any(gate.verdict in FAILING for gate in test.gates)
    test.wanted = 0 if decided else min(next_batch(test.gates), cap - len(test.head))
