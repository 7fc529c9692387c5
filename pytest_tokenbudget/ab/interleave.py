"""Pairs of samples, A B B A A B ..., until every gate of every test is decided or the cap is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_tokenbudget.ab.ab_options import AbOptions
from pytest_tokenbudget.ab.arms import Arm, sample
from pytest_tokenbudget.ab.paired_judge import PairedJudge, judged_result
from pytest_tokenbudget.ab.transcript import Transcript
from pytest_tokenbudget.compare.looks import next_batch
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult

Say = Callable[[str], None]
"""Takes a line for the user who waits."""


@dataclass(slots=True)
class PairedTest:
    """One test while pairs of it are run.

    Attributes:
        nodeid: Its node id, the same on both sides.
        wanted: Further pairs that are needed, 0 where it is settled.
        base: Samples of the base.
        head: Samples of the head.
        measured: What the head's plugin said of its last sample.
        budget: Its budget in this run, known from the first pair on.
        gates: What the gates say.
        trouble: Why it cannot be compared: a failure of its own on one side; empty where it can.
        diverged: Whether that is a run that no longer fits its recorded answers.
        left_out: Why it is left out without being a failure (skipped on one side).
    """

    nodeid: str
    wanted: int = 1
    base: list[Sample] = field(default_factory=list)
    head: list[Sample] = field(default_factory=list)
    measured: TestResult | None = None
    budget: Budget | None = None
    gates: tuple[GateResult, ...] = ()
    trouble: str = ""
    diverged: bool = False
    left_out: str = ""

    def take(self, arm: Arm, seen: Transcript, *, head: bool) -> None:
        """Take what one side measured in one run, or why it did not."""
        result = seen.results.get(self.nodeid)
        if result is not None and result.passed and self.nodeid not in seen.failures:
            (self.head if head else self.base).extend(result.samples)
            if head:
                self.measured = result
        elif self.nodeid in seen.failures:
            when, text = seen.failures[self.nodeid]
            phase = "" if when == "call" else f" in its {when}"
            self.trouble = self.trouble or f"fails{phase} at {arm.name}: {_last_lines(text)}"
            self.diverged = result is not None and result.verdict == "diverged"
            self.measured = result if head or self.measured is None else self.measured
        elif self.nodeid in seen.skipped:
            self.left_out = f"is skipped at {arm.name}"
        else:
            self.trouble = self.trouble or f"did not run at {arm.name} (pytest ended with exit code {seen.exit_code})"


def _last_lines(text: str, most: int = 300) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    shown = " ".join(marked or lines[-3:])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def interleave(
    arms: tuple[Arm, Arm], tests: Sequence[str], options: AbOptions, judge: PairedJudge, say: Say
) -> tuple[PairedTest, ...]:
    """Run pairs until all is decided.

    Args:
        arms: Base and head.
        tests: Node ids of the tests that both sides have.
        options: What is asked of them.
        judge: On what terms they are judged; the family is counted here where it is not given by a report.
        say: Told what is going on.

    Returns:
        All tests with their samples and verdicts.

    Raises:
        ABError: If a side cannot run.
    """
    tests = tuple(PairedTest(nodeid) for nodeid in tests)
    pair = 0
    while running := [test for test in tests if test.wanted]:
        pair += 1
        _one_pair(pair, arms, running, say)
        for test in running:
            test.wanted -= 1
            if test.trouble or test.left_out:
                test.wanted = 0
        if pair == 1:
            _prepare(running, options, arms[0].name)
            judge = _counted(judge, running)
        for test in running:
            if not (test.wanted or test.trouble or test.left_out):
                _judge(test, judge, options.max_samples)
        _report(tests, pair, say)
    return tests


def _one_pair(pair: int, arms: tuple[Arm, Arm], running: Sequence[PairedTest], say: Say) -> None:
    """A B in odd pairs, B A in even ones, so that neither side always has the warmer provider."""
    tests = [test.nodeid for test in running]
    times = {}
    for arm in arms if pair % 2 else arms[::-1]:
        seen = sample(arm, tests)
        times[arm.name] = seen.seconds
        for test in running:
            test.take(arm, seen, head=arm is arms[1])
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    say(f"pair {pair}: {took}")


def _prepare(running: Sequence[PairedTest], options: AbOptions, base: str) -> None:
    """After the first pair it is known what each test allows and which stages it opens."""
    known = [test for test in running if not (test.trouble or test.left_out)]
    if known:
        options.check_stages({stage for test in known for stage in _stages(test)})
    for test in known:
        own = test.measured.budget if test.measured is not None else None
        test.budget = options.on(own or Budget(), base=base, stages=_stages(test))


def _stages(test: PairedTest) -> set[str]:
    return {stage for sample in (*test.base, *test.head) for stage in sample.stages}


def _counted(judge: PairedJudge, running: Sequence[PairedTest]) -> PairedJudge:
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


def _report(tests: Sequence[PairedTest], pair: int, say: Say) -> None:
    from pytest_tokenbudget.report.figures import percent, plain

    waiting = [test for test in tests if test.wanted]
    if not waiting:
        return
    first = waiting[0]
    gate = next((gate for gate in first.gates if gate.more), None)
    about = f": {gate.metric} {percent(gate.change)} undecided" if gate is not None else ""
    say(f"  {len(waiting)} of {len(tests)} tests undecided after {pair}; {plain(first.nodeid)}{about}")


def results_of(tests: Sequence[PairedTest]) -> tuple[TestResult, ...]:
    """What is reported of the tests, in the order of their node ids; those that were left out are not in it."""
    found: Mapping[str, TestResult] = {
        test.nodeid: _result(test) for test in tests if test.trouble or not test.left_out
    }
    return tuple(found[nodeid] for nodeid in sorted(found))


def _result(test: PairedTest) -> TestResult:
    measured = test.measured or TestResult(test.nodeid, "inconclusive")
    if test.trouble:
        return replace(
            measured,
            verdict="diverged" if test.diverged else "inconclusive",
            gates=(),
            causes=(),
            samples=tuple(test.head),
            messages=(test.trouble,),
            passed=test.diverged,
            failed=test.diverged,
        )
    assert test.budget is not None
    return judged_result(measured, test.budget, test.gates, test.base, test.head)
