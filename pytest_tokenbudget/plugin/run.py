"""One marked test: its samples, and what the gates say of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watched_clients, watching
from pytest_tokenbudget.errors import BudgetExceeded, Diverged, TokenBudgetError
from pytest_tokenbudget.measure.repeats import why_no_repeat
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.pytest_internals import (
    call_after_own_fixtures,
    can_run_again,
    forget_kept,
    is_xfailed,
    raise_kept,
    run_again,
)
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.plugin.test_judge import TestJudge
from pytest_tokenbudget.plugin.traffic import Traffic, traffic_for, unseen_of, write_cassette
from pytest_tokenbudget.providers.classify import body_limit
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report import test_result
from pytest_tokenbudget.report.figures import for_terminal, terminal_encoding
from pytest_tokenbudget.report.table import failure_text
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_tokenbudget.capture.function_stages import FunctionStages
    from pytest_tokenbudget.plugin.ceiling import Ceiling
    from pytest_tokenbudget.plugin.time_limit import TimeLimit

_HOW_TO_REPEAT = 'what was measured before it decides (samples_in="process" repeats in fresh processes)'

run_key: pytest.StashKey[TestRun] = pytest.StashKey()


class TestRun:
    """One execution of a marked test, all its samples included.

    Attributes:
        item: The test.
        budget: What it allows.
        context: The session's tools.
        limit: The time that pytest-timeout leaves it; ``None`` where nothing ends it.
        paused: Stops the test's timer in the meantime: the plugin's own work does not run on it.
        running: The sample that is being taken.
        traffic: Where its answers come from.
        samples: The samples that were taken and count.
        result: What is said of it, as soon as that is known.
        repeating: Whether a further sample is being taken.
        subtest_failed: Whether one of its subtests failed, which pytest does not raise.
        finished: Whether its fixtures were torn down.
    """

    __test__ = False

    def __init__(self, item: pytest.Item, budget: Budget, context: SessionContext, limit: TimeLimit | None) -> None:
        self.item = item
        self.budget = budget
        self.context = context
        self.limit = limit
        self.paused: Callable[[], AbstractContextManager[None]] = nullcontext if limit is None else limit.paused
        self.running: RunningSample | None = None
        self.traffic: Traffic | None = None
        self.samples: list[Sample] = []
        self.result: TestResult | None = None
        self.repeating = False
        self.finished = False
        self.subtest_failed = False
        location = context.baselines.locate(item, budget.against)
        self._judge = TestJudge(budget, location, context, *context.baselines.read(location))
        self._recorded: str = ""
        self._repeats_in_fresh_processes = (budget.samples_in or context.settings.samples_in) == "process"
        self._asked: Sequence[Call] = ()
        self._is_compared = context.config.pluginmanager.has_plugin("tokenbudget-arm")
        self._cassette: Path | None = None
        self._overwritten: bytes | None = None
        self._played: Sample | None = None
        self._discarded: list[Sample] = []
        self._began = 0.0
        self._longest = 0.0
        self._functions: FunctionStages | None = None
        self._ceiling: Ceiling | None = None
        self._open = ExitStack()

    def begin_sample(self) -> None:
        """Begin to watch: from here on, what the test's own fixtures and body send belongs to the sample.

        Raises:
            CassetteError: If a cassette is to be played that is not there or cannot be read.
        """
        context, settings = self.context, self.context.settings
        self._began = time.monotonic()
        call_after_own_fixtures(self.item, self._stop_watching)
        self.traffic = traffic = self._open.enter_context(
            traffic_for(self.item, self.budget, context, recorded=bool(self._recorded))
        )
        self._cassette = None if traffic.cassette is None else traffic.cassette.path
        is_read_while_it_runs = (
            self.budget.stop_at or settings.request_usage or "budget" in getattr(self.item, "fixturenames", ())
        )
        if traffic.answerer is not None or is_read_while_it_runs:
            context.reader.prepare()
        recorder = Recorder(
            clock=traffic.clock,
            answerer=traffic.answerer,
            request_usage=settings.request_usage,
            body_limit=partial(body_limit, formats=context.reader.formats),
            host_rules=traffic.host_rules,
            charges_earlier_work=settings.charge_earlier_work,
        )
        self.running = RunningSample(recorder, context.reader, context.table, traffic.clock, traffic.clock())
        # Where nothing may fail, nothing is refused: its ceilings are judged at the end like other limits.
        if self.budget.stop_at and settings.mode == "gate":
            from pytest_tokenbudget.plugin.ceiling import Ceiling

            self._ceiling = Ceiling(self.budget.stop_at, self.running)
            recorder.hold_calls(self._ceiling.before_send, self._ceiling.on_end)
            self.running.on_record = self._ceiling.on_record
        self._functions = self._open.enter_context(watching(recorder, rules=context.stage_rules))
        if context.children is not None:
            time_at = None
            if traffic.virtual is not None:
                traffic.virtual.processes, time_at = context.children.at_work, traffic.virtual.time_at
            self._open.enter_context(context.children.sample(recorder, time_at=time_at))

    def check_baseline(self) -> None:
        """Fail before anything is spent where the baseline cannot be read, or does not hold what the gates need."""
        if self.context.settings.mode != "gate" or is_xfailed(self.item):
            return
        problem = self._judge.problem
        if problem is not None:
            pytest.fail(str(problem), pytrace=False)
        missing = self._judge.without_baseline()
        if missing is not None:
            self._fail(missing)

    def measured_call(self) -> Generator[None, Any, Any]:
        """Run the call phase of one sample, and measure it."""
        __tracebackhide__ = True
        assert self.running is not None
        assert self.traffic is not None
        clock, began = self.traffic.clock, time.perf_counter()
        self.running.call_started = clock()
        try:
            yield
            raise_kept(self.item)
        except (pytest.skip.Exception, pytest.xfail.Exception, KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            self._end_call(clock(), time.perf_counter() - began, error)
            raise
        self._end_call(clock(), time.perf_counter() - began, None)

    def _end_call(self, ended: float, wall: float, error: BaseException | None) -> None:
        """Measure what the body did, and fail where the run was stopped or does not fit its answers.

        Args:
            ended: The end of the body on the sample's clock, s.
            wall: How long it really took, s.
            error: What it raised, if it did.
        """
        __tracebackhide__ = True
        assert self.running is not None
        assert self.traffic is not None
        with self.paused():
            self.samples.append(self._measure(self.running, self.traffic, ended, wall))
            # Whatever the agent made of the refusal.
            if self._ceiling is not None and self._ceiling.passed:
                cause = None if _is_caused_by(error, BudgetExceeded) else error
                self._fail(test_result.stopped(self._judged(), self._ceiling.note), cause)
            self._check_traffic(self.running, self.traffic, error)
            if error is None and not self.subtest_failed:
                if self.traffic.cassette is not None and self.traffic.cassette.records:
                    self._record(self.traffic.cassette.path, self.running)
            elif error is None or not is_xfailed(self.item):
                self.result = test_result.failed_on_its_own(self._judged())

    def _measure(self, running: RunningSample, traffic: Traffic, ended: float, wall: float) -> Sample:
        self._longest = max(self._longest, time.monotonic() - self._began)
        self._judge.watched = watched_clients()
        running.messages += (*traffic.notes(), *running.recorder.notes())
        self._judge.notices += traffic.notices()
        if self.context.children is not None:
            self.context.children.settle()
            unwatched = self.context.children.notes()
            if traffic.virtual is None:
                running.messages += unwatched
            else:  # such a process is not answered locally: it can reach the model itself
                self._judge.notices += unwatched
                running.messages += traffic.virtual.notes()
        if self._functions is not None:
            running.messages += self._functions.problems({span.stage for span in running.spans()})
        # Reading makes many small objects that all stay. Collecting garbage over and over, with the objects of every
        # imported SDK to look through, would take as long as the reading itself.
        collects = gc.isenabled()
        gc.disable()
        try:
            fixtures = self.context.fixture_calls.charged_to(
                self.item, running.recorder, origin=running.origin, mode=self.budget.fixture_calls
            )
            unseen = unseen_of(self.item, running.recorder, self.budget, self.context)
            # Where time is projected, own code takes none of it: it is what really passed.
            own_time = None if traffic.virtual is None else wall
            sample = running.finish(ended=ended, own_time=own_time, before=fixtures, unseen=unseen)
            # Prompts that nobody will ask for go now, so that no garbage collection looks through them.
            asked, running.asked = running.asked, ()
            self._asked = asked if self._cassette is not None or self._is_compared else ()
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        finally:
            if collects:
                gc.enable()
        return sample

    def _check_traffic(self, running: RunningSample, traffic: Traffic, error: BaseException | None) -> None:
        """Fail where the run does not fit its recorded or scripted answers.

        A body that failed on its own may have left answers over: its own error is shown then.
        """
        __tracebackhide__ = True
        problem = traffic.failure() or next(iter(running.recorder.connections.refusals), None)
        if problem is None and error is None:
            problem = traffic.left_over()
        if problem is None and self._recorded and any(call.estimated for call in self.samples[-1].calls):
            problem = _calls_more_each_time(self.samples)
        if problem is None:
            return
        if self._recorded and len(self.samples[-1].calls) < len(self.samples[0].calls):
            problem = _answered_by_a_cache(self.samples)
        result = test_result.diverged(self._judged(), problem)
        if error is not None and not _is_caused_by(error, TokenBudgetError):
            said = f"the test's own error: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            result = replace(result, messages=(*result.messages, said))
        self._fail(result, error)

    def _record(self, cassette: Path, running: RunningSample) -> None:
        """Keep the live run of a test that passed in its cassette."""
        self._overwritten = _content(cassette)
        try:
            write_cassette(cassette, running.recorder.exchanges(), self.context.reader, self.context.settings)
        except TokenBudgetError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        self._recorded = str(cassette)

    def decide(self, *, is_first: bool) -> None:
        """Take further samples where they are needed, and judge them; a failing verdict fails the test.

        Args:
            is_first: Whether the sample was the first that this process took of any test.
        """
        __tracebackhide__ = True
        if self.result is not None or is_xfailed(self.item):
            return
        with self.paused():
            if not self._recorded:
                if is_first:
                    self._warm_up()
                self._repeat()
            elif can_run_again(self.item):
                # What was just recorded must fit, and its figures are those that later runs are compared with.
                self._run_again()
                self._played = self.samples.pop()
            if self.result is None:
                self.result = self._judged()
                if self._asked and (self._is_compared or self.result.causes):
                    self.result = self._with_texts(self.result, self._asked, self._cassette)
                if self.result.failed:
                    self._fail(self.result)

    def _warm_up(self) -> None:
        """Take the first live sample of a process apart where times are gated, and take another in its place."""
        __tracebackhide__ = True
        if self.samples[-1].traffic == "live" and self._judge.needs_warm_up() and not self._why_no_further_sample():
            self._discarded.append(self.samples.pop())
            self._run_again()

    def _repeat(self) -> None:
        """Take further samples: as many as the marker or the command line says, or until the gates are decided."""
        __tracebackhide__ = True
        needed = self._judge.further_samples(self.samples)
        undecided = next(needed, None) if self.result is None else None
        if undecided is None:
            return
        from pytest_tokenbudget.plugin.sample_progress import SampleProgress

        most = self.context.settings.samples or self.budget.samples or self.budget.max_samples
        with SampleProgress(self.item, most) as progress:
            while undecided is not None:
                reason = self._why_no_further_sample()
                if not reason:
                    progress.show(len(self.samples), undecided, self._longest)
                    self._take_another()
                    if self.result is not None:
                        return
                    differs = why_no_repeat(self.samples[0], self.samples[-1])
                    if differs:
                        reason = f"sample {len(self.samples)} is not counted: {differs}; {_HOW_TO_REPEAT}"
                        self._discarded.append(self.samples.pop())
                if reason:
                    self._judge.is_final = True
                    self._judge.notices.append(reason)
                    return
                undecided = next(needed, None)

    def _why_no_further_sample(self) -> str:
        """The reason why the test cannot be run again now, ``""`` where it can."""
        if not self._repeats_in_fresh_processes and not can_run_again(self.item):
            return f"a {type(self.item).__name__} cannot be run again in the same process: its first sample decides"
        return "" if self.limit is None else self.limit.why_no_sample(self._longest)

    def _take_another(self) -> None:
        __tracebackhide__ = True
        if not self._repeats_in_fresh_processes:
            self._run_again()
            return
        from pytest_tokenbudget.plugin.fresh_sample import take_fresh_sample

        children = self.context.children
        if children is not None:
            children.end()
        try:
            self.samples += take_fresh_sample(self.item).samples
        except pytest.fail.Exception:
            self.result = test_result.failed_on_its_own(self._judged())
            raise
        finally:
            if children is not None:
                children.begin()

    def _run_again(self) -> None:
        """Take a sample in this process, while the test's timer runs."""
        __tracebackhide__ = True
        self.repeating = True
        try:
            with nullcontext() if self.limit is None else self.limit.running():
                run_again(self.item)
        finally:
            self.repeating = False

    def _judged(self) -> TestResult:
        """Judge the samples so far; a sample that was played from a fresh cassette is compared instead of them."""
        judged = self._judge.result(self.samples if self._played is None else (self._played,))
        if not (self._played or self._discarded or self._recorded):
            return judged
        return replace(
            judged,
            samples=judged.samples if self._played is None else tuple(self.samples),
            played=self._played,
            discarded=tuple(self._discarded),
            recorded_cassette=self._recorded,
        )

    def _with_texts(self, result: TestResult, asked: Sequence[Call], cassette: Path | None) -> TestResult:
        """Say which words changed, or hand them over to the command that compares this run with another one."""
        self._asked = ()
        if self._is_compared or cassette is None:
            from pytest_tokenbudget.replay.prompt_texts import TextRules, texts_of_calls

            return replace(result, texts=texts_of_calls(asked, TextRules.of(self.context.settings)))
        from pytest_tokenbudget.plugin.changed_texts import with_changed_texts

        earlier = self._overwritten if self._recorded else _content(cassette)
        return with_changed_texts(result, asked, cassette, earlier, self.context)

    def _fail(self, result: TestResult, cause: BaseException | None = None) -> None:
        """Fail the test with what is said of it."""
        self.result = result
        forget_kept(self.item)
        text = failure_text(result, reports=self.context.settings.reports)
        raise pytest.fail.Exception(for_terminal(text, terminal_encoding()), pytrace=False) from cause

    def end_sample(self) -> None:
        """End the sample, whatever ended the test; nothing that was put in place for it stays."""
        self._stop_watching()
        self.finished = not self.repeating
        if self.finished:
            self._asked = ()

    def _stop_watching(self) -> None:
        self._open.close()
        self.running = self.traffic = self._ceiling = self._functions = None


def _content(path: Path) -> bytes | None:
    """The bytes of a file, ``None`` where it is not there or cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _answered_by_a_cache(samples: Sequence[Sample]) -> Diverged:
    from pytest_tokenbudget.replay.response_caches import active_response_caches

    known = "; ".join(active_response_caches())
    hint = known or "look for functools.lru_cache, a dict in a module, or a cache of the framework"
    recorded, played = len(samples[0].calls), len(samples[-1].calls)
    return Diverged(
        f"{counted(recorded, 'call was', 'calls were')} recorded, and played at once in the same process the test made"
        f" {played}: a cache in the process answers instead of the model",
        remedy=f"switch it off in the test ({hint}), and record again",
    )


def _calls_more_each_time(samples: Sequence[Sample]) -> Diverged:
    recorded, played = len(samples[0].calls), len(samples[-1].calls)
    return Diverged(
        f"{counted(recorded, 'call was', 'calls were')} recorded, and played at once in the same process the test made"
        f" {played}: something keeps what the run before said",
        remedy="look for a fixture of a wider scope, or a list in a module, that holds the conversation",
    )


def _is_caused_by(error: BaseException | None, kind: type[TokenBudgetError]) -> bool:
    """Tell whether an error is one of ours, or what an SDK made of it."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None
