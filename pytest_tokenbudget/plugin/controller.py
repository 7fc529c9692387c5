"""The results of all tests come to the controller on pytest's reports. It alone writes baselines and reports.

Registered where a test is marked or a report is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pytest

    from pytest_tokenbudget.records.verdict import TestResult
    from pytest_tokenbudget.report.formats import RunView


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
            from pytest_tokenbudget.plugin.finish import colour_failure
            from pytest_tokenbudget.plugin.options import read_settings

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
        from pytest_tokenbudget.errors import SettingsError
        from pytest_tokenbudget.plugin.finish import finish

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
        if self._view is None:
            return
        from pytest_tokenbudget.plugin.finish import show

        show(self._view, terminalreporter)
