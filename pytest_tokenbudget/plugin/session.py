"""Runs marked tests: each phase is watched, each sample is measured, and the gates decide before the test ends."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_tokenbudget.capture.children.child_processes import ChildProcesses
from pytest_tokenbudget.capture.watch import keep_in_place
from pytest_tokenbudget.errors import MarkerError, TokenBudgetError
from pytest_tokenbudget.option_table import MARKER
from pytest_tokenbudget.plugin.context import SessionContext, read_settings, register_builtins
from pytest_tokenbudget.plugin.controller import attach
from pytest_tokenbudget.plugin.marker import budget_of, has_budget
from pytest_tokenbudget.plugin.run import TestRun, run_key
from pytest_tokenbudget.plugin.writing import check_outputs
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.report.junit import properties
from pytest_tokenbudget.report.test_result import failed_on_its_own, in_brief

if TYPE_CHECKING:
    from pytest_tokenbudget.plugin.time_limit import TimeLimit


def activate(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Check the markers of all collected tests and begin to watch.

    Raises:
        pytest.UsageError: If an option or a marker cannot be understood; it names each place, once.
    """
    try:
        settings = read_settings(config)
        if settings.mode == "off":
            return
        check_outputs(config, settings)
        context = SessionContext.build(config, settings)
        budgets = _budgets(items, context)
    except TokenBudgetError as error:
        if hasattr(config, "workerinput"):
            # A worker of pytest-xdist that stops at collection takes the session down with a traceback of xdist's own.
            config.pluginmanager.register(Refusal(str(error)), "tokenbudget-refusal")
            return
        raise pytest.UsageError(str(error)) from None
    context.baselines.expect(budgets)
    if not config.option.collectonly:
        if settings.child_processes:
            children = ChildProcesses(rules=context.stage_rules, request_usage=settings.request_usage)
            context = replace(context, children=children)
        config.pluginmanager.register(BudgetSession(context, budgets), "tokenbudget-session")


def _budgets(items: Sequence[pytest.Item], context: SessionContext) -> dict[pytest.Item, Budget]:
    """Read what each marked test allows.

    Raises:
        MarkerError: If any marker cannot be understood; it names all of them, once each.
    """
    budgets: dict[pytest.Item, Budget] = {}
    problems: dict[str, MarkerError] = {}
    # Tests that share their markers, by parameters, a class or a module, share what these allow.
    read: dict[tuple[int, ...], Budget] = {}
    for item in items:
        marks = tuple(map(id, item.iter_markers(MARKER)))
        if marks:
            try:
                if marks not in read:
                    read[marks] = budget_of(item, table=context.table, default_rule=context.settings.max_increase)
                budgets[item] = read[marks]
            except MarkerError as error:
                problems[str(error)] = error
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        *others, last = problems.values()
        raise MarkerError("\n".join([*map(str, others), last.message]), remedy=last.remedy)
    return budgets


class Refusal:
    """Fails every marked test with the reason why none can be judged."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail before anything is spent."""
        if has_budget(item):
            pytest.fail(self._reason, pytrace=False)


class BudgetSession:
    """The hooks around each marked test."""

    def __init__(self, context: SessionContext, budgets: dict[pytest.Item, Budget]) -> None:
        self._context = context
        self._budgets = budgets
        self._now: TestRun | None = None
        self._limit: TimeLimit | None = None
        self._is_warm = False
        self._start_children(watched=True)

    def _start_children(self, *, watched: bool) -> None:
        """Have processes that are started from now on watched, or left alone."""
        children = self._context.children
        if children is not None:
            children.begin() if watched else children.end()

    # Also where Ctrl-C or pytest.exit passes: nothing may stay patched while pytest tears wider fixtures down.
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """End the sample of a test, however it ends."""
        self._limit = None
        if item in self._budgets and item.config.pluginmanager.has_plugin("timeout"):
            from pytest_tokenbudget.plugin.time_limit import limit_of

            self._limit = limit_of(item)
        try:
            return (yield)
        except BaseException:
            keep_in_place(False)
            raise
        finally:
            if self._now is not None:
                self._now.repeating = False
                self._now.end_sample()
                self._now = None
            if run_key in item.stash:
                del item.stash[run_key]

    # Innermost, so that what goes wrong here passes through the other plugins' wrappers as a failing fixture does.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Begin a sample before the test's fixtures are set up."""
        __tracebackhide__ = True
        budget = self._budgets.get(item)
        self._start_children(watched=budget is not None)
        if budget is not None:
            run = item.stash.get(run_key, None)
            if run is None or run.finished:
                run = item.stash[run_key] = TestRun(item, budget, self._context, self._limit)
            self._now = run
            try:
                with run.paused():
                    run.begin_sample()
            except TokenBudgetError as error:
                raise pytest.fail.Exception(str(error), pytrace=False) from None
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        """Keep apart what fixtures of a wider scope send."""
        __tracebackhide__ = True
        if fixturedef.scope == "function":
            return (yield)
        running, children = self._now.running if self._now is not None else None, self._context.children
        recorder, clock = (running.recorder, running.clock) if running is not None else (None, time.perf_counter)
        with ExitStack() as stack:
            if children is not None:
                # What it starts may serve a marked test, whichever test it was first asked for by.
                stack.enter_context(children.started_by_shared_fixture())
            mode = None if self._now is None else self._now.budget.fixture_calls
            stack.enter_context(
                self._context.fixture_calls.setting_up(fixturedef, recorder=recorder, clock=clock, mode=mode)
            )
            return (yield)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Forget what a fixture sent that was torn down."""
        self._context.fixture_calls.torn_down(fixturedef)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Measure the call phase, decide, and take further samples where they are needed."""
        __tracebackhide__ = True
        run = item.stash.get(run_key, None)
        if run is None:
            return (yield)
        if run.repeating:
            yield from run.measured_call()
            return
        run.check_baseline()
        yield from run.measured_call()
        is_first, self._is_warm = not self._is_warm, True
        run.decide(is_first=is_first)

    # Inside of pytest_runtest_call, since pytest-randomly seeds anew there.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Keep chance steady where time is projected."""
        run = pyfuncitem.stash.get(run_key, None)
        if run is None or run.traffic is None or run.traffic.virtual is None:
            return (yield)
        # Clients wait for a random time before they retry.
        before = random.getstate()
        random.seed(0)
        try:
            return (yield)
        finally:
            random.setstate(before)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        """Stop watching once the test's fixtures are torn down."""
        __tracebackhide__ = True
        run = item.stash.get(run_key, None)
        # Behind the last test of a module or class wider fixtures are torn down, which may undo only what they find as they left it.
        siblings = nextitem is not None and nextitem.parent is item.parent
        keep_in_place(siblings and item in self._budgets and nextitem in self._budgets)
        try:
            return (yield)
        finally:
            if run is not None:
                run.end_sample()
                self._now = None
            self._start_children(watched=True)

    def pytest_sessionfinish(self) -> None:
        """Keep for the next session what was worked out, and leave nothing else behind."""
        keep_in_place(False)
        register_builtins(self._context.config).save_caches()
        if self._context.children is not None:
            self._context.children.close()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Until its call phase has ended, reports of that phase are those of its subtests."""
        if self._now is not None and report.when == "call" and report.failed:
            self._now.subtest_failed = True

    # Outermost, so that what other plugins make of the report is known.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hand the result over with the report of the call phase, and once more where the teardown fails."""
        report = yield
        run = item.stash.get(run_key, None)
        if run is None or run.result is None or hasattr(report, "wasxfail"):
            return report
        if call.when == "call" and report.failed and not run.result.failed:
            run.result = failed_on_its_own(run.result)  # a plugin of soft assertions has its say here
        broken = call.when == "teardown" and report.failed
        if broken:
            run.result = replace(run.result, passed=False)
        if call.when == "teardown" and self._context.details:
            # junit.xml takes a test's properties from its last report.
            report.user_properties += properties(run.result)
        if broken or call.when == "call":
            is_brief = not (broken or self._context.details) and run.result.verdict == "ok" and run.result.compared
            attach(report, in_brief(run.result) if is_brief else run.result)
        return report
