"""One marked test: its samples, and what the gates say of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.capture.function_stages import FunctionStages
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watched_clients, watching
from pytest_tokenbudget.errors import BudgetExceeded, TokenBudgetError
from pytest_tokenbudget.plugin.ceiling import Ceiling
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.judgement import Place, gates_of, judge_test
from pytest_tokenbudget.plugin.own_failure import failed_on_its_own, forget_kept, raise_kept
from pytest_tokenbudget.plugin.progress import terminal_encoding
from pytest_tokenbudget.plugin.remedies import remedies
from pytest_tokenbudget.plugin.repeat import run_again, sampling
from pytest_tokenbudget.plugin.running import RunningSample
from pytest_tokenbudget.plugin.traffic import Traffic, traffic_for
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult
from pytest_tokenbudget.report.figures import for_terminal
from pytest_tokenbudget.report.table import failure_text

run_key: pytest.StashKey[TestRun] = pytest.StashKey()


class TestRun:
    """One execution of a marked test, all its samples included.

    Attributes:
        item: The test.
        budget: What it allows.
        running: The sample that is being taken.
        traffic: Where its answers come from.
        samples: The samples that were taken.
        result: What is said of it, as soon as that is known.
        repeating: Whether a further sample is being taken.
        subtest_failed: Whether one of its subtests failed, which pytest does not raise.
        finished: Whether its fixtures were torn down.
        recorded: Whether its cassette was recorded.
        played: The sample that was played from it then.
    """

    __test__ = False

    def __init__(self, item: pytest.Item, budget: Budget, context: SessionContext) -> None:
        self.item = item
        self.budget = budget
        self.context = context
        self.place = Place.of(item, budget.against)
        self.running: RunningSample | None = None
        self.samples: list[Sample] = []
        self._gates: tuple[GateResult, ...] | None = None
        self.result: TestResult | None = None
        self.repeating = False
        self.finished = False
        self.subtest_failed = False
        self.recorded = False
        self.played: Sample | None = None
        self._watched: tuple[str, ...] = ()
        self._functions: FunctionStages | None = None
        self._open = ExitStack()
        self._ceiling: Ceiling | None = None
        self.traffic: Traffic | None = None

    def begin_sample(self) -> None:
        """Begin to watch: from here on, what the test's own fixtures and body send belongs to the sample."""
        settings, reader = self.context.settings, self.context.reader
        self.traffic = traffic = self._open.enter_context(
            traffic_for(self.item, self.budget, self.context, recorded=self.recorded)
        )
        # Where nothing may fail, nothing is refused: its ceilings are judged at the end like other limits.
        stopping = self.budget.stop_at and settings.mode == "gate"
        self._ceiling = Ceiling(self.budget.stop_at) if stopping else None
        recorder = Recorder(
            clock=traffic.clock,
            answerer=traffic.answerer,
            before_send=self._ceiling.before_send if self._ceiling else None,
            on_end=self._ceiling.on_end if self._ceiling else None,
            request_usage=settings.request_usage,
        )
        self.running = RunningSample(recorder, reader, self.context.table, traffic.clock, traffic.clock())
        if self._ceiling is not None:
            self._ceiling.running = self.running
        self._functions = self._open.enter_context(watching(recorder, rules=self.context.stage_rules))
        if self.context.children is not None:
            self._open.enter_context(self.context.children.sample(recorder))

    def end_sample(self) -> None:
        """Stop watching."""
        self._open.close()
        self.running = self.traffic = self._ceiling = self._functions = None
        self.finished = not self.repeating

    def check_before(self) -> None:
        """Fail before anything is spent where the baseline cannot be read."""
        problem = self.context.problem(self.place.path)
        if problem is not None and self.context.settings.mode == "gate":
            pytest.fail(str(problem), pytrace=False)

    def measured_call(self) -> Generator[None, Any, Any]:
        """The call phase of one sample, measured."""
        __tracebackhide__ = True
        assert self.running is not None
        assert self.traffic is not None
        clock, began = self.traffic.clock, time.perf_counter()
        self.running.begin_call()
        try:
            yield
            raise_kept(self.item)
        except (pytest.skip.Exception, pytest.xfail.Exception, KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            self._take_sample(clock(), time.perf_counter() - began)
            self._failed(error)
            raise
        self._take_sample(clock(), time.perf_counter() - began)
        self._check_ceiling(None)
        self._check_traffic()
        if self.subtest_failed:
            self._on_its_own()
        else:
            self._record()

    def _record(self) -> None:
        """Keep the live run of a test that passed in its cassette."""
        assert self.running is not None
        assert self.traffic is not None
        tape = self.traffic.tape
        if tape is None or not tape.records:
            return
        try:
            tape.keep(self.running.recorder.exchanges(), self.context)
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        self.recorded = True

    def _take_sample(self, ended: float, wall: float) -> None:
        assert self.running is not None
        assert self.traffic is not None
        own_time = self.traffic.own_time(wall)
        self._watched = watched_clients()
        self.running.messages += self.traffic.notes()
        if self.context.children is not None:
            self.context.children.settle()
            self.running.messages += self.context.children.notes()
        if self._functions is not None:
            self.running.messages += self._functions.problems()
        try:
            with _collecting_later():
                self.samples.append(self.running.finish(ended=ended, own_time=own_time))
                self._gates = None
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def _check_traffic(self) -> None:
        assert self.traffic is not None
        problem = self.traffic.divergence()
        if problem is not None:
            self.result = replace(
                self._judged(), verdict="diverged", messages=(problem.message, problem.remedy), gates=(), failed=True
            )
            self._fail(self.result)

    def _failed(self, error: BaseException) -> None:
        """The test raised."""
        self._check_ceiling(error)
        self._check_traffic()
        if not is_xfailed(self.item):
            self._on_its_own()

    def _on_its_own(self) -> None:
        self.result = failed_on_its_own(self._judged())

    def _check_ceiling(self, error: BaseException | None) -> None:
        """Where a ceiling of ``stop_at`` was passed, that is the failure, whatever the agent made of it."""
        if self._ceiling is None or not self._ceiling.passed:
            return
        # What a run spent that was stopped midway is no baseline.
        judged = self._judged()
        self.result = replace(
            judged, verdict="over_limit", passed=False, failed=True, messages=(self._ceiling.note, *judged.messages)
        )
        self._fail(self.result, cause=None if _is_refusal(error) else error)

    def settled(self) -> bool:
        """Whether nothing more is to be found out: its result is known, or it is left alone."""
        return self.result is not None or is_xfailed(self.item)

    def play_recording(self) -> None:
        """Play what was just recorded: it must fit, and its figures are those that later runs are compared with."""
        __tracebackhide__ = True
        if not self.recorded or self.settled():
            return
        self._again()
        self.played = self.samples.pop()
        self._gates = None

    def _again(self) -> None:
        __tracebackhide__ = True
        self.repeating = True
        try:
            run_again(self.item)
        finally:
            self.repeating = False

    def repeat(self) -> None:
        """Take further samples: as many as the marker or the command line says, or until the gates are decided."""
        __tracebackhide__ = True
        if self.settled() or self.recorded:
            return
        for undecided in sampling(self.budget, self.context.settings, self.samples, self._gates_now):
            self.context.progress.say(self.item, len(self.samples), undecided)
            self._again()
            if self.settled():
                return

    def decide(self) -> None:
        """Judge the samples; a failing verdict fails the test."""
        if self.settled():
            return
        self.result = self._judged()
        if self.result.failed:
            self._fail(self.result)

    def _compared(self) -> Sequence[Sample]:
        """The samples that meet the baseline."""
        return self.samples if self.played is None else (self.played,)

    def _gates_now(self) -> tuple[GateResult, ...]:
        """What the gates say of the samples so far; judged once."""
        if self._gates is None:
            self._gates = gates_of(self.place, self.budget, self.context, self._compared())
        return self._gates

    def _judged(self) -> TestResult:
        result = judge_test(self.place, self.budget, self.context, self._compared(), self._gates_now(), self._watched)
        return replace(result, samples=tuple(self.samples), played=self.played)

    def _fail(self, result: TestResult, cause: BaseException | None = None) -> None:
        __tracebackhide__ = True
        forget_kept(self.item)
        text = failure_text(result, remedies=remedies(result, reports=self.context.settings.reports))
        raise pytest.fail.Exception(for_terminal(text, terminal_encoding()), pytrace=False) from cause


def _is_refusal(error: BaseException | None) -> bool:
    """Whether an error is our own refusal, or what an SDK made of it."""
    while error is not None and not isinstance(error, BudgetExceeded):
        error = error.__cause__
    return error is not None


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Keep the garbage collector from running meanwhile.

    Reading a sample makes many small objects that all stay; collecting over and over, with the objects of every imported
    SDK to look through, would take as long as the reading itself.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_xfailed(item: pytest.Item) -> bool:
    """Whether the test is marked as expected to fail, so that it is left alone."""
    # pytest keeps its evaluation of xfail marks under a key that it does not export.
    from _pytest.skipping import xfailed_key

    return item.stash.get(xfailed_key, None) is not None
