"""Where the results of all tests meet: baselines and reports are written here, and here alone.

Imported in every session: what it needs is imported when the first measurement arrives.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_tokenbudget.records.verdict import TestResult, Verdict
    from pytest_tokenbudget.report.view import RunView


class Controller:
    """Collects results, then writes baselines and reports and shows the section at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, TestResult] = {}
        self._messages: list[str] = []
        self._suite: list[tuple[Verdict, str]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the last result of each test; one that is run again by another plugin counts when it is done."""
        result: TestResult | None = getattr(report, "tokenbudget", None)
        if result is None:
            return
        if report.outcome not in ("passed", "failed"):
            return
        self._results[result.nodeid] = result
        self._config.hook.pytest_tokenbudget_verdict(result=result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is to be written; what cannot be written, and a suite that got slower, fail the session."""
        if not self._results:
            return
        from pytest_tokenbudget.plugin.options import read_settings
        from pytest_tokenbudget.plugin.suite import suite_verdicts
        from pytest_tokenbudget.plugin.writing import write_baselines, write_reports

        results = [self._results[nodeid] for nodeid in sorted(self._results)]
        settings = read_settings(self._config)
        self._suite = suite_verdicts(self._config, settings, results)
        slower = settings.mode == "gate" and any(verdict == "regression" for verdict, _ in self._suite)
        self._messages += write_baselines(self._config, settings, results)
        self._messages += write_reports(self._config, settings, self._view())
        if (self._messages or slower) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the section; nothing at all where nothing was marked."""
        if not self._results:
            return
        from pytest_tokenbudget.report.terminal import section_lines

        if os.environ.get("GITHUB_ACTIONS"):
            from pytest_tokenbudget.report.github import error_lines

            for line in error_lines(self._view()):
                terminalreporter.write_line(line)
        terminalreporter.write_sep("=", "token budget")
        for line in section_lines(self._view(), verbosity=self._config.get_verbosity()):
            terminalreporter.write_line(line)

    def _view(self) -> RunView:
        from pytest_tokenbudget import __version__
        from pytest_tokenbudget.plugin.options import read_settings
        from pytest_tokenbudget.report.view import RunView

        results = tuple(self._results[nodeid] for nodeid in sorted(self._results))
        messages = (*(text for _, text in self._suite), *self._messages)
        suite = tuple(verdict for verdict, _ in self._suite)
        return RunView(__version__, read_settings(self._config).mode, results, messages, suite)
