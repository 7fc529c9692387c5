"""The end of a session, in the controller: everything is written, and shown."""

from __future__ import annotations

import os

import pytest

from pytest_tokenbudget import __version__
from pytest_tokenbudget.plugin.options import read_settings
from pytest_tokenbudget.plugin.suite_shift import suite_verdicts
from pytest_tokenbudget.plugin.writing import write_baselines, write_session_reports
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import for_terminal, terminal_encoding
from pytest_tokenbudget.report.github import error_lines, workspace_root
from pytest_tokenbudget.report.provider_pace import pace_lines, pooled_paces
from pytest_tokenbudget.report.terminal import Tone, section_lines
from pytest_tokenbudget.report.view import RunView

_MARKUP: dict[Tone, dict[str, bool]] = {
    "bad": {"red": True},
    "good": {"green": True},
    "doubtful": {"yellow": True},
    "faint": {"light": True},
    "plain": {},
}


def finish(config: pytest.Config, results: tuple[TestResult, ...], *, ended_ok: bool) -> RunView:
    """Write baselines and reports.

    Args:
        config: The session's.
        results: What is said of each test, sorted by node id.
        ended_ok: Whether the session ends well as far as pytest knows.

    Returns:
        The run as it is reported, with what could not be written.
    """
    settings = read_settings(config)
    suite = suite_verdicts(config, settings, results)
    written = write_baselines(config, settings, results)
    run = RunView(
        __version__,
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
        advice=_advice(results) if settings.reports else (),
        ended_ok=ended_ok,
    )
    return write_session_reports(config, settings, run)


def _advice(results: tuple[TestResult, ...]) -> tuple[Advice, ...]:
    """What could be saved, for the reports."""
    from pytest_tokenbudget.report.evidence import advice_of

    return advice_of(results)


def show(run: RunView, terminal: pytest.TerminalReporter) -> None:
    """Show the section at the end of the terminal's output, and in GitHub Actions the annotations."""
    verbosity = terminal.config.get_verbosity()
    if os.environ.get("GITHUB_ACTIONS"):
        for line in error_lines(run, root=workspace_root(terminal.config.rootpath)):
            terminal.write_line(line)
    lines = section_lines(run, verbosity=verbosity)
    if lines:
        terminal.write_sep("=", "token budget")
    encoding = getattr(terminal._tw._file, "encoding", None) or terminal_encoding()
    for shown in lines:
        terminal.write_line(for_terminal(shown.text, encoding), **_MARKUP[shown.tone])
