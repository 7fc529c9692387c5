"""The end of a session, in the controller: the suite's shift is judged, everything is written, and shown."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_tokenbudget import __version__
from pytest_tokenbudget.baselines.store import BaselineStore
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.plugin.coloured_failure import write_line
from pytest_tokenbudget.plugin.context import register_builtins, session_prices
from pytest_tokenbudget.plugin.options import read_settings
from pytest_tokenbudget.plugin.writing import Written, keep_last_run, store_of, write_baselines, write_session_reports
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.verdict import GateResult, TestResult, Verdict
from pytest_tokenbudget.report.formats import RunView
from pytest_tokenbudget.report.terminal import section_lines
from pytest_tokenbudget.report.test_result import pace_lines, pooled_paces
from pytest_tokenbudget.settings import Settings
from pytest_tokenbudget.stats.log_ratio import ENOUGH_GATES

Model = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """One latency gate: new over base, what is allowed of that, and the sessions that the base comes from."""

    ratio: float
    allowed: float
    sessions: int


def suite_verdicts(
    config: pytest.Config, settings: Settings, results: Sequence[TestResult]
) -> list[tuple[Verdict, str]]:
    """A verdict for each provider and model with enough latency gates, from the stored baselines.

    Returns:
        As :func:`shifts`; empty where this run becomes what others are compared with.
    """
    if settings.replaces or sum(len(result.gates) for result in results) < ENOUGH_GATES:
        return []
    return shifts(results, store_of(config))


def shifts(results: Sequence[TestResult], store: BaselineStore) -> list[tuple[Verdict, str]]:
    """Judge how the live latency gates of each provider and model moved together.

    The allowed increase is the median of what the gates allow; so is the number of sessions that they compare with.

    Args:
        results: What was said of each test.
        store: Where the baselines are.

    Returns:
        Verdict and sentence, sorted by provider and model; none below 20 gates.
    """
    from pytest_tokenbudget.compare.shared_shift import suite_shift

    groups: dict[Model, list[_Moved]] = defaultdict(list)
    for result in results:
        for gate in result.gates:
            model = _model(result, gate)
            if model is not None and gate.baseline and gate.value and gate.allowed is not None:
                allowed = gate.allowed / gate.baseline - 1
                groups[model].append(_Moved(gate.value / gate.baseline, allowed, _sessions(result, gate, store)))
    said: list[tuple[Verdict, str]] = []
    for (provider, name), gates in sorted(groups.items()):
        shift = suite_shift(
            [gate.ratio for gate in gates],
            max_increase=_middle([gate.allowed for gate in gates]),
            sessions=int(_middle([gate.sessions for gate in gates])),
        )
        if shift is not None:
            said.append((shift.verdict, f"{provider} {name}: {shift.reason}"))
    return said


def _model(result: TestResult, gate: GateResult) -> Model | None:
    """Find the model that answered in a live latency gate's stage, where that was one model of one provider."""
    stage, _, name = gate.metric.rpartition(".")
    if name != "measured_latency" or gate.exact or gate.kind != "max_increase" or gate.statistic != "mean":
        return None
    models = {
        (call.provider, call.model or call.request_model)
        for sample in result.samples
        for call in sample.calls
        if call.succeeded and inside(call.stage, stage)
    }
    return models.pop() if len(models) == 1 else None


def _sessions(result: TestResult, gate: GateResult, store: BaselineStore) -> int:
    if result.against != "baseline" or not result.baseline_file:
        return 1
    try:
        entry = store.read(Path(result.baseline_file)).get(result.key)
    except TokenBudgetError:
        return 1
    record = entry.metrics.get(gate.metric) if entry is not None else None
    return len(record.sessions) if record is not None else 1


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


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
    suite = suite_verdicts(config, settings, results)
    if interrupted:
        written = Written(notes=("interrupted: the stored numbers stand as they were",))
    else:
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
        advice=_advice(results, session_prices(config, settings))
        if settings.reports or config.get_verbosity() > 1
        else (),
        accepted=written.accepted,
        ended_ok=ended_ok,
    )
    register_builtins(config).caches.save()
    run = write_session_reports(config, settings, run)
    return replace(run, compare=keep_last_run(config, settings, run))


def _advice(results: tuple[TestResult, ...], prices: PriceBook) -> tuple[Advice, ...]:
    """Find what could be saved, for the reports and for a verbose run."""
    from pytest_tokenbudget.report.evidence import advice_of

    return advice_of(results, prices)


def show(run: RunView, terminal: pytest.TerminalReporter) -> None:
    """Show the section at the end of the terminal's output, and in GitHub Actions the annotations."""
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
