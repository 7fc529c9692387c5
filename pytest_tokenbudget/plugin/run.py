"""One marked test: its samples, and what the gates say of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_tokenbudget.capture.function_stages import FunctionStages
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watched_clients, watching
from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.errors import BudgetExceeded, TokenBudgetError
from pytest_tokenbudget.measure.constant_speed import at_speed_of
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.location import TestLocation
from pytest_tokenbudget.plugin.pytest_internals import (
    call_after_own_fixtures,
    forget_kept,
    is_xfailed,
    raise_kept,
    run_again,
)
from pytest_tokenbudget.plugin.repeat import sampling
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.plugin.traffic import Traffic, traffic_for, write_cassette
from pytest_tokenbudget.providers.classify import body_limit
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult
from pytest_tokenbudget.report import test_result
from pytest_tokenbudget.report.figures import for_terminal, terminal_encoding
from pytest_tokenbudget.report.table import failure_text
from pytest_tokenbudget.settings import runs_per_month

if TYPE_CHECKING:
    from pytest_tokenbudget.plugin.ceiling import Ceiling

run_key: pytest.StashKey[TestRun] = pytest.StashKey()


class TestRun:
    """One execution of a marked test, all its samples included.

    Attributes:
        item: The test.
        budget: What it allows.
        running: The sample that is being taken.
        traffic: Where its answers come from.
        samples: The samples that were taken.
        played: The sample that was played from a cassette at once after it was recorded.
        result: What is said of it, as soon as that is known.
        repeating: Whether a further sample is being taken.
        subtest_failed: Whether one of its subtests failed, which pytest does not raise.
        finished: Whether its fixtures were torn down.
        recorded: Whether its cassette was recorded.
    """

    __test__ = False

    def __init__(self, item: pytest.Item, budget: Budget, context: SessionContext) -> None:
        self.item = item
        self.budget = budget
        self.context = context
        self.location = TestLocation.of(item, budget.against)
        self.running: RunningSample | None = None
        self.traffic: Traffic | None = None
        self.samples: list[Sample] = []
        self.played: Sample | None = None
        self.result: TestResult | None = None
        self.repeating = False
        self.finished = False
        self.subtest_failed = False
        self.recorded = False
        self._gates: tuple[GateResult, ...] | None = None
        self._watched: tuple[str, ...] = ()
        self._functions: FunctionStages | None = None
        self._ceiling: Ceiling | None = None
        self._open = ExitStack()

    def begin_sample(self) -> None:
        """Begin to watch: from here on, what the test's own fixtures and body send belongs to the sample.

        Raises:
            CassetteError: If a cassette is to be played that is not there or cannot be read.
        """
        context = self.context
        call_after_own_fixtures(self.item, self._stop_watching)
        self.traffic = traffic = self._open.enter_context(
            traffic_for(self.item, self.budget, context, recorded=self.recorded)
        )
        recorder = Recorder(
            clock=traffic.clock,
            answerer=traffic.answerer,
            request_usage=context.settings.request_usage,
            body_limit=partial(body_limit, formats=context.reader.formats),
        )
        self.running = RunningSample(recorder, context.reader, context.table, traffic.clock, traffic.clock())
        # Where nothing may fail, nothing is refused: its ceilings are judged at the end like other limits.
        if self.budget.stop_at and context.settings.mode == "gate":
            from pytest_tokenbudget.plugin.ceiling import Ceiling

            self._ceiling = Ceiling(self.budget.stop_at, self.running)
            recorder.hold_calls(self._ceiling.before_send, self._ceiling.on_end)
            self.running.on_record = self._ceiling.on_record
        self._functions = self._open.enter_context(watching(recorder, rules=context.stage_rules))
        if context.children is not None:
            time_at = None
            if traffic.virtual is not None:
                traffic.virtual.processes, time_at = context.children.asking, traffic.virtual.time_at
            self._open.enter_context(context.children.sample(recorder, time_at=time_at))

    def end_sample(self) -> None:
        """End the sample, whatever ended the test; nothing that was put in place for it stays."""
        self._stop_watching()
        self.finished = not self.repeating

    def _stop_watching(self) -> None:
        self._open.close()
        self.running = self.traffic = self._ceiling = self._functions = None

    def check_baseline(self) -> None:
        """Fail before anything is spent where the baseline cannot be read."""
        problem = self.context.baselines.problem(self.location)
        if problem is not None and self.context.settings.mode == "gate":
            pytest.fail(str(problem), pytrace=False)

    def measured_call(self) -> Generator[None, Any, Any]:
        """Run the call phase of one sample, and measure it."""
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
            self._check_ceiling(error)
            self._check_traffic()
            if not is_xfailed(self.item):
                self.result = test_result.failed_on_its_own(self._judged())
            raise
        self._take_sample(clock(), time.perf_counter() - began)
        self._check_ceiling(None)
        self._check_traffic()
        if self.subtest_failed:
            self.result = test_result.failed_on_its_own(self._judged())
        else:
            self._record()

    def _take_sample(self, ended: float, wall: float) -> None:
        assert self.running is not None
        assert self.traffic is not None
        self._watched = watched_clients()
        self.running.messages += (*self.traffic.notes(), *self.running.recorder.notes())
        if self.context.children is not None:
            self.context.children.settle()
            self.running.messages += self.context.children.notes()
        if self._functions is not None:
            self.running.messages += self._functions.problems({span.stage for span in self.running.spans()})
        try:
            with _collecting_later():
                # Where time is projected, own code takes none of it: it is what really passed.
                own_time = None if self.traffic.virtual is None else wall
                self.samples.append(self.running.finish(ended=ended, own_time=own_time))
                self._gates = None
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def _check_ceiling(self, error: BaseException | None) -> None:
        """Fail where a ceiling of ``stop_at`` was passed, whatever the agent made of it."""
        if self._ceiling is not None and self._ceiling.passed:
            self.result = test_result.stopped(self._judged(), self._ceiling.note)
            self._fail(self.result, cause=None if _is_refusal(error) else error)

    def _check_traffic(self) -> None:
        """Fail where the run does not fit its recorded or scripted answers."""
        assert self.traffic is not None
        refused = self.running.recorder.connections.refusals if self.running is not None else []
        problem = self.traffic.divergence() or next(iter(refused), None)
        if problem is not None:
            self.result = test_result.diverged(self._judged(), problem)
            self._fail(self.result)

    def _record(self) -> None:
        """Keep the live run of a test that passed in its cassette."""
        assert self.running is not None
        assert self.traffic is not None
        cassette = self.traffic.cassette
        if cassette is None or not cassette.records:
            return
        exchanges, context = self.running.recorder.exchanges(), self.context
        try:
            write_cassette(cassette.path, exchanges, context.reader, context.settings)
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        self.recorded = True

    def play_recording(self) -> None:
        """Play what was just recorded: it must fit, and its figures are those that later runs are compared with."""
        __tracebackhide__ = True
        if not self.recorded or self._settled():
            return
        self._run_again()
        self.played = self.samples.pop()
        self._gates = None

    def repeat(self) -> None:
        """Take further samples: as many as the marker or the command line says, or until the gates are decided."""
        __tracebackhide__ = True
        if self._settled() or self.recorded:
            return
        for undecided in sampling(self.budget, self.context.settings, self.samples, self._gates_now):
            if undecided:
                from pytest_tokenbudget.plugin.progress import tell_undecided

                tell_undecided(self.item, len(self.samples), undecided)
            self._run_again()
            if self._settled():
                return

    def decide(self) -> None:
        """Judge the samples; a failing verdict fails the test."""
        if self._settled():
            return
        self.result = self._judged()
        if self.result.failed:
            self._fail(self.result)

    def _settled(self) -> bool:
        """Whether nothing more is to be found out: its result is known, or it is left alone."""
        return self.result is not None or is_xfailed(self.item)

    def _run_again(self) -> None:
        __tracebackhide__ = True
        self.repeating = True
        try:
            run_again(self.item)
        finally:
            self.repeating = False

    def _compared(self) -> Sequence[Sample]:
        """The samples that meet the baseline, at its speed."""
        samples = self.samples if self.played is None else (self.played,)
        return at_speed_of(self.context.baselines.entry(self.location), samples)

    def _gates_now(self) -> tuple[GateResult, ...]:
        """What the gates say of the samples so far; judged once. Without a call they say nothing."""
        if self._gates is None:
            samples = self._compared()
            self._gates = judge_gates(self._gate_input(samples)) if any(sample.calls for sample in samples) else ()
        return self._gates

    def _gate_input(self, samples: Sequence[Sample]) -> GateInput:
        settings, baselines, budget = self.context.settings, self.context.baselines, self.budget
        readable = baselines.problem(self.location) is None
        may_create = settings.missing == "create" and budget.against == "baseline" and readable
        return GateInput(
            budget,
            samples,
            baselines.entry(self.location),
            may_create or settings.replaces,
            self.context.table,
            family=baselines.family,
            noise=baselines.noise,
            fixed=(settings.samples or budget.samples) is not None,
        )

    def _judged(self) -> TestResult:
        settings, location, baselines = self.context.settings, self.location, self.context.baselines
        blank = TestResult(
            nodeid=location.nodeid,
            verdict="ok",
            line=location.line,
            baseline_file=str(location.baseline),
            key=location.key,
            compared_with=location.shown,
            watched=self._watched,
            budget=self.budget,
            runs_per_month=runs_per_month(settings.runs_per_month, location.nodeid),
        )
        entry, problem = baselines.entry(location), baselines.problem(location)
        earlier = [] if entry is None else [entry.outcomes]
        notices = [] if problem is None else [f"{problem.message}; {problem.remedy}"]
        compared = self._compared()
        judged = test_result.assemble(
            blank, self._gates_now(), compared, settings, entry=entry, earlier_outcomes=earlier, notices=notices
        )
        shown = compared if self.played is None else self.samples
        cassette = self.traffic.cassette if self.traffic is not None and self.recorded else None
        return replace(
            judged,
            samples=tuple(shown),
            played=self.played,
            recorded_cassette="" if cassette is None else str(cassette.path),
        )

    def _fail(self, result: TestResult, cause: BaseException | None = None) -> None:
        __tracebackhide__ = True
        forget_kept(self.item)
        text = failure_text(result, reports=self.context.settings.reports)
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
