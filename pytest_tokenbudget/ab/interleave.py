"""Pairs of samples, A B B A A B ..., until every gate of every test is decided or the cap is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_tokenbudget.ab.ab_options import AbOptions
from pytest_tokenbudget.ab.arms import Arm, sample
from pytest_tokenbudget.ab.paired_test import PairedJudge, PairedTest
from pytest_tokenbudget.compare.sequential import next_batch
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.verdict import FAILING

Say = Callable[[str], None]
"""Takes a line for the user who waits."""


def interleave(
    arms: tuple[Arm, Arm], nodeids: Sequence[str], options: AbOptions, judge: PairedJudge, say: Say
) -> tuple[PairedTest, ...]:
    """Run pairs until all is decided.

    Args:
        arms: Base and head.
        nodeids: Node ids of the tests that both sides have.
        options: What is asked of them.
        judge: Judges the pairs; the family is counted here where it is not given by a report.
        say: Told what is going on.

    Returns:
        All tests with their samples and verdicts.

    Raises:
        ABError: If a side cannot run.
    """
    tests = tuple(PairedTest(nodeid) for nodeid in nodeids)
    pair = 0
    while running := [test for test in tests if test.wanted]:
        pair += 1
        _run_pair(pair, arms, running, say)
        for test in running:
            test.wanted = 0 if test.is_out else test.wanted - 1
        if pair == 1:
            _set_budgets(running, options, arms[0].name)
            judge = _with_family(judge, running)
        for test in running:
            if not (test.wanted or test.is_out):
                _judge(test, judge, options.max_samples)
        _report(tests, pair, say)
    return tests


def _run_pair(pair: int, arms: tuple[Arm, Arm], running: Sequence[PairedTest], say: Say) -> None:
    """A B in odd pairs, B A in even ones, so that neither side always has the warmer provider."""
    nodeids = [test.nodeid for test in running]
    times = {}
    for arm in arms if pair % 2 else arms[::-1]:
        seen = sample(arm, nodeids)
        times[arm.name] = seen.seconds
        for test in running:
            test.take(arm, seen, head=arm is arms[1])
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    say(f"pair {pair}: {took}")


def _set_budgets(running: Sequence[PairedTest], options: AbOptions, base: str) -> None:
    """After the first pair it is known what each test allows and which stages it opens."""
    known = [test for test in running if not test.is_out]
    if known:
        options.check_stages({stage for test in known for stage in test.stages})
    for test in known:
        own = test.measured.budget if test.measured is not None else None
        test.budget = options.on(own or Budget(), base=base, stages=test.stages)


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


SHOWN_UNDECIDED = 5
"""Gates that are shown after each pair, those that are still undecided."""


def _report(tests: Sequence[PairedTest], pair: int, say: Say) -> None:
    """Say after each pair what is undecided: the estimate, its interval, what is allowed, and how many pairs may follow."""
    from pytest_tokenbudget.report.figures import bound, percent
    from pytest_tokenbudget.wording import counted, plain

    waiting = [test for test in tests if test.wanted]
    if not waiting:
        return
    say(f"  {len(waiting)} of {counted(len(tests), 'test')} undecided after {counted(pair, 'pair')}")
    open_gates = [(test, gate) for test in waiting for gate in test.gates if gate.more]
    for test, gate in open_gates[:SHOWN_UNDECIDED]:
        between = ""
        if gate.lower is not None and gate.upper is not None:
            between = f" (between {bound(gate.lower)} and {bound(gate.upper)})"
        wanted = f"{counted(gate.more, 'more pair')} at least"
        rule = gate.rule.replace("%", " %")
        name = plain(test.nodeid.rpartition("::")[2] or test.nodeid, limit=60)
        say(f"    {name}  {plain(gate.metric)} {percent(gate.change)}{between}, rule {rule}; {wanted}")
    if len(open_gates) > SHOWN_UNDECIDED:
        say(f"    and {counted(len(open_gates) - SHOWN_UNDECIDED, 'gate')} more")
