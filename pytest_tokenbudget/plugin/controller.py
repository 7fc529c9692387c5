"""The results of all tests come to the controller on pytest's reports. It alone writes baselines and reports.

Registered where a test is marked or a report is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

import pytest_tokenbudget
from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.plugin.context import read_settings, register_builtins, session_prices
from pytest_tokenbudget.plugin.writing import REPORT, Written, keep_last_run, report_formats, store_of, write_baselines
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.verdict import RunView, TestResult, Verdict
from pytest_tokenbudget.report.figures import for_terminal, terminal_encoding
from pytest_tokenbudget.report.formats import write_reports
from pytest_tokenbudget.report.table import Line, Tone, failure_lines, failure_text, fold_line, remedies, short_headline
from pytest_tokenbudget.report.test_result import pace_lines, pooled_paces
from pytest_tokenbudget.stats.log_ratio import ENOUGH_GATES

_HERE = os.getpid()


def attach(report: pytest.TestReport, result: TestResult) -> None:
    """Attach a result to a report; as text in a forked process, whose reports hold plain data only (pytest-forked)."""
    attached: Any = result
    if os.getpid() != _HERE:
        from pytest_tokenbudget.report.transport import encode

        attached = encode(result)
    report.tokenbudget = attached  # type: ignore[attr-defined]  # pytest keeps further attributes of reports


def attached_to(report: Any) -> TestResult | None:
    """The result that is attached to a report, ``None`` where there is none."""
    attached: TestResult | str | None = getattr(report, "tokenbudget", None)
    if isinstance(attached, str):
        from pytest_tokenbudget.report.transport import decode

        report.tokenbudget = attached = decode(attached)
    return attached


def as_text(report: Any) -> str | None:
    """The result that is attached to a report as plain text, ``None`` where there is none."""
    attached: TestResult | str | None = getattr(report, "tokenbudget", None)
    if attached is None or isinstance(attached, str):
        return attached
    from pytest_tokenbudget.report.transport import encode

    return encode(attached)


class Controller:
    """Collects results, then writes baselines and reports and shows the section at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, TestResult] = {}
        self._view: RunView | None = None
        self._interrupted = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the last result of each test; one that is run again by another plugin counts when it is done."""
        result = attached_to(report)
        if result is None or report.outcome not in ("passed", "failed"):
            return
        self._results[result.nodeid] = result
        if result.failed and report.failed:
            width = self._config.get_terminal_writer().fullwidth
            colour_failure(report, result, read_settings(self._config).reports, width)
        if report.when == "call":
            self._config.hook.pytest_tokenbudget_verdict(result=result)

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that somebody ended the session: the stored numbers stay as they were."""
        self._interrupted = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is to be written; what cannot be written, and a suite that got slower, fail the session."""
        if not self._results and not self._asked_for_reports():
            return
        results = tuple(self._results[nodeid] for nodeid in sorted(self._results))
        try:
            self._view = finish(
                self._config,
                results,
                ended_ok=session.exitstatus == pytest.ExitCode.OK,
                interrupted=self._interrupted,
            )
        except SettingsError:
            return  # the session has ended with it already, before any test ran
        if session.exitstatus == pytest.ExitCode.OK and not self._view.exit_ok:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _asked_for_reports(self) -> bool:
        """Tell whether a report is to be written though nothing was measured: an old file would be taken for this run's."""
        option = self._config.option
        return bool(option.tokenbudget_reports) and not option.collectonly and option.tokenbudget_mode != "off"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the section; nothing at all where nothing was marked."""
        if self._view is not None:
            show(self._view, terminalreporter)


def finish(config: pytest.Config, results: tuple[TestResult, ...], *, ended_ok: bool, interrupted: bool) -> RunView:
    """Write baselines and reports.

    Args:
        config: The session's.
        results: What is said of each test, sorted by node id.
        ended_ok: Whether the session ends well as far as pytest knows.
        interrupted: Whether somebody ended it (Ctrl-C): the stored numbers stay as they were.

    Returns:
        The run as it is reported, with what could not be written.
    """
    settings = read_settings(config)
    suite: list[tuple[Verdict, str]] = []
    # Not where this run becomes what others are compared with.
    if not settings.replaces and sum(len(result.gates) for result in results) >= ENOUGH_GATES:
        from pytest_tokenbudget.plugin.suite import shifts

        suite = shifts(results, store_of(config))
    if interrupted:
        written = Written(notes=("interrupted: the stored numbers stand as they were",))
    else:
        written = write_baselines(config, settings, results)
    advice: tuple[Advice, ...] = ()
    # Without a result the session may have ended with prices that cannot be read.
    if results and (settings.reports or config.get_verbosity() > 1):
        from pytest_tokenbudget.report.evidence import advice_of

        advice = advice_of(results, session_prices(config, settings))
    run = RunView(
        pytest_tokenbudget.__version__,
        settings.mode,
        results,
        messages=tuple(text for verdict, text in suite if verdict != "ok"),
        suite=tuple(verdict for verdict, _ in suite),
        problems=written.problems,
        notes=(
            *(text for verdict, text in suite if verdict == "ok"),
            *pace_lines(pooled_paces(results), what="these changes"),
            *written.notes,
        ),
        advice=advice,
        accepted=written.accepted,
        ended_ok=ended_ok,
    )
    register_builtins(config).save_caches()
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if settings.reports or summary:
        formats = report_formats(config) if settings.reports else {}
        directory = config.invocation_params.dir
        run = write_reports(run, settings.reports, formats, option=REPORT, directory=directory, summary=summary)
    return replace(run, compare=keep_last_run(config, settings, run))


def show(run: RunView, terminal: pytest.TerminalReporter) -> None:
    """Show the section at the end of the terminal's output, and in GitHub Actions the annotations."""
    from pytest_tokenbudget.report.terminal import section_lines

    verbosity = terminal.config.get_verbosity()
    if os.environ.get("GITHUB_ACTIONS"):
        from pytest_tokenbudget.report.github import error_lines, workspace_root

        for line in error_lines(run, root=workspace_root(terminal.config.rootpath)):
            terminal.write_line(line)
    lines = section_lines(run, verbosity=verbosity, width=terminal._tw.fullwidth)
    if lines:
        terminal.write_sep("=", "token budget")
    terminal.ensure_newline()
    for shown in lines:
        write_line(terminal._tw, shown)


_MARKUP: dict[Tone, dict[str, bool]] = {
    "bad": {"red": True},
    "good": {"green": True},
    "doubtful": {"yellow": True},
    "faint": {"light": True},
    "plain": {},
}


def write_line(writer: Any, line: Line) -> None:
    """Write a line on a pytest ``TerminalWriter``, the part that has the tone in its colour."""
    encoding = getattr(writer._file, "encoding", None) or terminal_encoding()
    text, toned = for_terminal(line.text, encoding), for_terminal(line.toned or line.text, encoding)
    writer.write(text.removesuffix(toned))
    writer.line(toned, **_MARKUP[line.tone])


@dataclass
class ColouredFailure:
    """The ``longrepr`` that pytest shows of a test that its budget failed.

    Attributes:
        text: The whole text, for reports that are no terminal.
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
        reprcrash: Where the failure was raised, as pytest's summary reads it.
    """

    text: str
    result: TestResult
    reports: Sequence[str]
    reprcrash: Any

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: Any) -> None:
        """Write it. How new numbers are accepted is left out: the end of the run says it once for all tests."""
        left = remedies(self.result, reports=self.reports, with_update=False)
        for line in [*failure_lines(self.result), *(Line(f"  {text}") for text in left)]:
            for part in fold_line(line, tw.fullwidth):
                write_line(tw, part)


def colour_failure(report: pytest.TestReport, result: TestResult, reports: Sequence[str], width: int) -> None:
    """Give a report whose text is the budget's failure, and nothing else, its colours and a short line for the summary.

    Args:
        report: pytest's report of the test.
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
        width: Columns of the terminal.
    """
    encoding = terminal_encoding()
    text = for_terminal(failure_text(result, reports=reports), encoding)
    shown = str(report.longrepr).strip()
    if not shown.endswith(text.strip()):
        return
    place = getattr(report.longrepr, "reprcrash", None)
    if place is not None:
        # pytest cuts the line at the edge, but not in colour.
        short = short_headline(result, room=width - len(f"FAILED {report.nodeid} - "))
        place = replace(place, message=for_terminal(short, encoding))
    if shown == text.strip():
        report.longrepr = ColouredFailure(text, result, reports, place)  # type: ignore[assignment]  # pytest shows any
    elif place is not None:
        report.longrepr.reprcrash = place  # type: ignore[union-attr]  # the agent's own exception is shown beside it
