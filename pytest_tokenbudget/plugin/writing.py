"""The controller writes baselines, references and reports at the end of a session, and says what it accepted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tokenbudget.baselines.paths import BASELINE, LAST_RUN, check_reference
from pytest_tokenbudget.baselines.store import BaselineStore, Change
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.plugin.context import register_builtins
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.records.verdict import FAILING, RunView, TestResult
from pytest_tokenbudget.report.figures import number, percent
from pytest_tokenbudget.report.formats import Writer, is_json_report, writer_for
from pytest_tokenbudget.settings import Settings
from pytest_tokenbudget.stats.statistic import mean
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    from pytest_tokenbudget.baselines.evolve import Mode

_SHOWN: dict[str, tuple[str, Unit]] = {
    "input_tokens": ("input", "tokens"),
    "output_tokens": ("output", "tokens"),
    "calls": ("calls", "count"),
    "cost": ("cost", "USD"),
}
"""Metrics of the whole test that are told, with their word and unit."""

same_code_key: pytest.StashKey[bool] = pytest.StashKey()
"""Set where this session runs the code of the one that was stored before it: ``tokenbudget calibrate`` knows."""

SHOWN_FILES = 5
REPORT = "--tokenbudget-report"


def store_of(config: pytest.Config) -> BaselineStore:
    """The store of baselines: what a project's hook gives, else the JSON files beside the tests."""
    register_builtins(config)
    store: BaselineStore = config.hook.pytest_tokenbudget_baseline_store(config=config)
    return store


def report_formats(config: pytest.Config) -> dict[str, Writer]:
    """Writers of reports by suffix; what a project's conftest.py gives comes before what is built in."""
    register_builtins(config)
    formats: dict[str, Writer] = {}
    for given in config.hook.pytest_tokenbudget_report_formats():
        formats = {**given, **formats}
    return formats


def check_outputs(config: pytest.Config, settings: Settings) -> None:
    """Check, before any test runs, that what was asked for can be written at its end.

    Raises:
        TokenBudgetError: If a report has no known suffix, or a reference no name that a directory can have.
    """
    if settings.reference is not None:
        check_reference(settings.reference)
    for name in settings.reports:
        writer_for(name, report_formats(config), option=REPORT)


@dataclass(frozen=True, slots=True)
class Written:
    """The changes of the stored numbers.

    Attributes:
        accepted: Node ids of the tests whose stored numbers were replaced, and how they changed.
        problems: What could not be written, and why.
        notes: Which files were written, in words.
    """

    accepted: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def write_baselines(config: pytest.Config, settings: Settings, results: Sequence[TestResult]) -> Written:
    """Write what this run changes in the stored numbers; what one file cannot take keeps no other from being written."""
    store = store_of(config)
    asked = settings.replaces or settings.ratchet
    problems: list[str] = []
    written: list[Path] = []
    accepted: list[tuple[str, str]] = []
    files: dict[Path, dict[str, TestResult]] = {}
    estimated: list[TestResult] = []
    for result in results:
        if not result.passed or not result.samples or result.verdict in ("no_calls", "diverged"):
            continue
        if result.has_estimates:
            estimated.append(result)
        # Where a test was compared with what is stored of it, only an option can change that.
        elif asked or not (result.compared and result.against == BASELINE):
            files.setdefault(_target(result, settings), {})[result.key] = result
    for path, tests in sorted(files.items()):
        try:
            stored = store.read(path)
            changes = _changes(stored, tests, settings, same_code=config.stash.get(same_code_key, False))
            if changes and store.update(path, changes):
                written.append(path)
                now = store.read(path)
                kept = [key for key in changes if key in stored and key in now]
                told = [(tests[key].nodeid, _how_changed(stored[key], now[key])) for key in kept]
                accepted += [(nodeid, said) for nodeid, said in told if said]
        except TokenBudgetError as error:
            problems.append(str(error))
    if asked:
        problems += (
            f"{result.nodeid}: not stored, some of its calls are beyond the recording and estimated;"
            f" record it: `pytest {shlex.quote(result.nodeid)} --tokenbudget-traffic=record --tokenbudget-update`"
            for result in estimated
        )
    if settings.mode == "report" and not asked:
        # What cannot be read has been said of each test, and a run that only reports is not failed by it.
        problems = []
    written += sorted({Path(result.recorded_cassette) for result in results if result.recorded_cassette})
    notes: tuple[str, ...] = ()
    if written:
        notes = (_told(written, config.rootpath),)
    elif asked and files and not problems:
        notes = ("wrote nothing: the stored numbers stand as they are",)
    return Written(tuple(accepted), tuple(problems), notes)


def _told(written: Sequence[Path], root: Path) -> str:
    names = ", ".join(shown_path(path, root) for path in written[:SHOWN_FILES])
    more = f" and {len(written) - SHOWN_FILES} more" if len(written) > SHOWN_FILES else ""
    them = "it" if len(written) == 1 else "them"
    return f"wrote {names}{more}; commit {them}: runs compare with {them}"


def _target(result: TestResult, settings: Settings) -> Path:
    baseline = Path(result.baseline_file)
    if settings.reference is None:
        return baseline
    return baseline.parent / check_reference(settings.reference) / baseline.name


def _changes(
    stored: Mapping[str, BaselineEntry], tests: Mapping[str, TestResult], settings: Settings, *, same_code: bool
) -> dict[str, Change]:
    from pytest_tokenbudget.baselines.evolve import change

    changes: dict[str, Change] = {}
    for key, result in tests.items():
        mode = _mode(result, stored.get(key), settings)
        if mode is None:
            continue
        improved = {gate.metric for gate in result.gates if gate.verdict == "improved"}
        changed = improved | {gate.metric for gate in result.gates if gate.verdict == "regression"}
        met_the_same_file = result.against == (settings.reference or BASELINE)
        changes[key] = change(
            "append" if mode == "update" and same_code else mode,
            result.stored,
            changed=(changed if met_the_same_file else set()).__contains__,
            improved=improved if settings.ratchet else set(),
        )
    return changes


def _mode(result: TestResult, entry: BaselineEntry | None, settings: Settings) -> Mode | None:
    """Choose how the entry of one test changes; ``None`` leaves it as it stands."""
    if settings.reference is not None or settings.update:
        return "update"
    if settings.accept:
        return "accept"
    if entry is not None:
        return "ratchet" if settings.ratchet else None
    wanted = settings.missing == "create" or settings.ratchet
    return "create" if wanted and result.against == BASELINE and not result.failed else None


def _how_changed(before: BaselineEntry, after: BaselineEntry) -> str:
    """Say how the numbers of a test changed: ``input 4,766 → 5,515 +15.7 %, search_orders``.

    Returns:
        The words; ``""`` where nothing changed but that sessions of the same were added.
    """
    parts: list[str] = []
    for name, (word, unit) in _SHOWN.items():
        if name not in before.metrics or name not in after.metrics or (name == "cost" and parts):
            continue  # money follows from tokens and calls
        then, now = mean(before.metrics[name].values), mean(after.metrics[name].values)
        if then == now:
            continue
        change = f" {percent(now / then - 1)}" if then else ""
        causes = (
            explain(name, "", before.composition, after.composition, before_value=then, after_value=now)
            if name == "input_tokens"
            else ()
        )
        cause = f", {causes[0].name or causes[0].part.replace('_', ' ')}" if causes else ""
        parts.append(f"{word} {number(then, unit)} → {number(now, unit)}{change}{cause}")
    if parts:
        return "; ".join(parts)
    changed = [
        key
        for key, record in after.metrics.items()
        if key in before.metrics and set(record.sessions[:1]) != set(before.metrics[key].sessions[:1])
    ]
    return counted(len(changed), "figure") if changed else ""


def keep_last_run(config: pytest.Config, settings: Settings, run: RunView) -> str:
    """Keep a run that fails against stored numbers in pytest's cache, for ``tokenbudget compare``.

    Returns:
        The command that shows what changed; ``""`` where nothing is kept.
    """
    if not any(
        result.failed and gate.verdict in FAILING and gate.baseline is not None
        for result in run.results
        for gate in result.gates
    ):
        with suppress(OSError):  # what an earlier run left is none of this one
            (config.rootpath / LAST_RUN).unlink(missing_ok=True)
        return ""
    cache = getattr(config, "cache", None)
    if cache is None:  # with `-p no:cacheprovider`
        written = next(filter(is_json_report, settings.reports), None)
        return f"tokenbudget compare baseline {shlex.quote(written)}" if written else ""
    from pytest_tokenbudget.report import json_report

    try:
        path = Path(cache.mkdir(LAST_RUN.parent.name)) / LAST_RUN.name
        json_report.write(run, path)
    except OSError:
        return ""
    if path == config.rootpath / LAST_RUN and Path.cwd().is_relative_to(config.rootpath):
        return "tokenbudget compare"
    return f"tokenbudget compare baseline {shlex.quote(shown_path(path, Path.cwd()))}"
