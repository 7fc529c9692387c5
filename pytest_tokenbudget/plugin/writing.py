"""The controller writes baselines, references and reports at the end of a session, and says what it accepted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
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
from pytest_tokenbudget.records.baseline import BaselineEntry, Number
from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.records.verdict import FAILING, TestResult
from pytest_tokenbudget.report.figures import number, percent
from pytest_tokenbudget.report.formats import RunView, Writer, is_json_report, write_reports, writer_for
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


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The change of the stored numbers of one test.

    Attributes:
        nodeid: pytest's node id.
        before: What was stored.
        after: What is stored now.
    """

    nodeid: str
    before: BaselineEntry
    after: BaselineEntry


def accepted(acceptances: Sequence[Acceptance]) -> tuple[tuple[str, str], ...]:
    """Node ids of the tests whose numbers changed, and how: ``input 4,766 → 5,515 +15.7 %, search_orders``."""
    return tuple((one.nodeid, said) for one in acceptances if (said := _line(one)))


def _line(one: Acceptance) -> str:
    """Say what changed; ``""`` where nothing did but that sessions of the same were added."""
    parts: list[str] = []
    for name, (word, unit) in _SHOWN.items():
        then, now = _value(one.before, name), _value(one.after, name)
        if then is None or now is None or then == now or (name == "cost" and parts):
            continue  # money follows from tokens and calls
        change = f" {percent(now / then - 1)}" if then else ""
        parts.append(f"{word} {number(then, unit)} → {number(now, unit)}{change}{_cause(one, name, then, now)}")
    if parts:
        return "; ".join(parts)
    changed = [
        key
        for key, record in one.after.metrics.items()
        if key in one.before.metrics and set(record.sessions[:1]) != set(one.before.metrics[key].sessions[:1])
    ]
    return counted(len(changed), "figure") if changed else ""


def _value(entry: BaselineEntry, name: str) -> Number | None:
    record = entry.metrics.get(name)
    return None if record is None else mean(record.values)


def _cause(one: Acceptance, name: str, then: Number, now: Number) -> str:
    """Name the tool or the part that most of a change of the input comes from."""
    if name != "input_tokens":
        return ""
    causes = explain(name, "", one.before.composition, one.after.composition, before_value=then, after_value=now)
    return f", {causes[0].name or causes[0].part.replace('_', ' ')}" if causes else ""


same_code_key: pytest.StashKey[bool] = pytest.StashKey()
"""Set where this session runs the code of the one that was stored before it: ``tokenbudget calibrate`` knows."""

SHOWN_FILES = 5
_REPORT = "--tokenbudget-report"


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
        writer_for(name, report_formats(config), option=_REPORT)


def write_session_reports(config: pytest.Config, settings: Settings, run: RunView) -> RunView:
    """Write the reports and the step summary of a session; gives the run with what could not be written."""
    return write_reports(
        run,
        settings.reports,
        report_formats(config) if settings.reports else {},
        option=_REPORT,
        directory=config.invocation_params.dir,
        summary=os.environ.get("GITHUB_STEP_SUMMARY", ""),
    )


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
    acceptances: list[Acceptance] = []
    files: dict[Path, dict[str, TestResult]] = {}
    estimated: list[TestResult] = []
    for result in results:
        if not result.passed or not result.samples or result.verdict in ("no_calls", "diverged"):
            continue
        if result.has_estimates:
            estimated.append(result)
        elif asked or not _met_its_entry(result):
            files.setdefault(_target(result, settings), {})[result.key] = result
    for path, tests in sorted(files.items()):
        try:
            stored = store.read(path)
            changes = _changes(stored, tests, settings, same_code=config.stash.get(same_code_key, False))
            if changes and store.update(path, changes):
                written.append(path)
                now = store.read(path)
                acceptances += [
                    Acceptance(tests[key].nodeid, stored[key], now[key])
                    for key in changes
                    if key in stored and key in now
                ]
        except TokenBudgetError as error:
            problems.append(str(error))
    if asked:
        problems += map(_not_stored, estimated)
    if settings.mode == "report" and not asked:
        # What cannot be read has been said of each test, and a run that only reports is not failed by it.
        problems = []
    cassettes = {Path(result.recorded_cassette) for result in results if result.recorded_cassette}
    written += sorted(cassettes)
    notes = _notes(config, written, asked=asked and bool(files) and not problems)
    return Written(accepted(acceptances), tuple(problems), tuple(notes))


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


def _met_its_entry(result: TestResult) -> bool:
    """Tell whether a test was compared with what is stored of it, so that only an option can change that."""
    return result.compared and result.against == BASELINE


def _not_stored(result: TestResult) -> str:
    """Say why an update leaves a test out whose figures are estimated."""
    return (
        f"{result.nodeid}: not stored, some of its calls are beyond the recording and estimated;"
        f" record it: `pytest {shlex.quote(result.nodeid)} --tokenbudget-traffic=record --tokenbudget-update`"
    )


def _notes(config: pytest.Config, written: Sequence[Path], *, asked: bool) -> Iterator[str]:
    if written:
        names = ", ".join(shown_path(path, config.rootpath) for path in written[:SHOWN_FILES])
        more = f" and {len(written) - SHOWN_FILES} more" if len(written) > SHOWN_FILES else ""
        them = "it" if len(written) == 1 else "them"
        yield f"wrote {names}{more}; commit {them}: runs compare with {them}"
    elif asked:
        yield "wrote nothing: the stored numbers stand as they are"


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
        entry = stored.get(key)
        mode = _mode(result, entry, settings)
        if mode == "update" and same_code:
            mode = "append"
        if mode is not None:
            changes[key] = change(
                mode, result.stored, changed=_said(result, settings).__contains__, improved=_improved(result, settings)
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
    return "create" if wanted and result.against == "baseline" and not result.failed else None


def _improved(result: TestResult, settings: Settings) -> set[str]:
    return {gate.metric for gate in result.gates if gate.verdict == "improved"} if settings.ratchet else set()


def _said(result: TestResult, settings: Settings) -> frozenset[str]:
    """Name the metrics that a gate, which compared with the same file, found changed."""
    if result.against != (settings.reference or BASELINE):
        return frozenset()
    return frozenset(gate.metric for gate in result.gates if gate.verdict in ("regression", "improved"))
