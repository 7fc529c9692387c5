"""The view of a run that every report format is made from, the format that a path asks for, and the writing of reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.verdict import TestResult, Verdict, worst_verdict
from pytest_tokenbudget.settings import Mode
from pytest_tokenbudget.wording import counted

REPORT_FORMAT: Literal[1] = 1
"""The number of the JSON report's format."""


@dataclass(frozen=True, slots=True)
class RunView:
    """One run.

    Attributes:
        version: Version of the plugin.
        mode: ``gate`` or ``report``.
        results: What the plugin says of each marked test, in the order of their node ids.
        messages: Notes on the whole run.
        suite: Verdicts on the suite's shift, one for each provider and model; the sentences stand in ``messages``, and in
            ``notes`` where all is well.
        problems: What could not be written, and why.
        notes: What a person at the terminal wants to know and a program does not: which files were written.
        advice: What could be saved, the largest first; empty where nobody asked for it.
        accepted: Node ids of the tests whose stored numbers this run replaced, each with what changed, in words.
        compare: The command that shows what changed in this run; ``""`` where there is none.
        ended_ok: Whether everything else in the session went well: other tests, fixtures, workers.
    """

    version: str
    mode: Mode
    results: tuple[TestResult, ...]
    messages: tuple[str, ...] = ()
    suite: tuple[Verdict, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    accepted: tuple[tuple[str, str], ...] = ()
    compare: str = ""
    ended_ok: bool = True

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all tests, and of the whole suite."""
        return worst_verdict([*(result.verdict for result in self.results), *self.suite])

    @property
    def exit_ok(self) -> bool:
        """Tell whether the session ends well: no test failed, all was written, and the suite did not get slower."""
        slower = self.mode == "gate" and "regression" in self.suite
        failed = any(result.failed or not result.passed for result in self.results)
        return self.ended_ok and not (slower or failed or self.problems)


def unattributed_text(seen: Unattributed) -> str:
    """``api.example.com/v9/brain (2 requests)``."""
    return f"{seen.host}{seen.path} ({counted(seen.count, 'request')}, {seen.reason})"


Writer = Callable[[RunView, Path], None]
"""Writes a run to a path."""


def _writer(module: str) -> Writer:
    def write(run: RunView, path: Path) -> None:
        import_module(f"pytest_tokenbudget.report.{module}").write(run, path)

    return write


BUILTIN_FORMATS: Mapping[str, Writer] = {
    ".bmf.json": _writer("bmf"),
    ".html": _writer("page.document"),
    ".json": _writer("json_report"),
    ".md": _writer("markdown"),
    ".speedscope.json": _writer("speedscope"),
    ".trace.json": _writer("chrome_trace"),
    ".txt": _writer("openmetrics"),
}
"""The formats that the plugin brings along, by suffix; the module of each is loaded when it writes."""


def writer_for(name: str, formats: Mapping[str, Writer], *, option: str) -> Writer:
    """The writer of the longest suffix that a path ends with.

    Args:
        name: The path as the user wrote it.
        formats: Writers by suffix.
        option: The option that it was given with, for the message.

    Raises:
        SettingsError: If there is none (it names the known suffixes), or if it needs a library that is not installed.
    """
    suffix = max((suffix for suffix in formats if Path(name).name.endswith(suffix)), key=len, default=None)
    if suffix is None:
        raise SettingsError(
            f"{option}={name}: no such format; known suffixes: {', '.join(sorted(formats))}",
            remedy=f"{option}=report.json",
        )
    writer = formats[suffix]
    if writer is BUILTIN_FORMATS[".html"] and find_spec("jinja2") is None:
        raise SettingsError(
            f"{option}={name}: the HTML page needs jinja2, which is not installed",
            remedy="pip install 'pytest-tokenbudget[html]'",
        )
    return writer


def is_json_report(name: str) -> bool:
    """Tell whether a report's path asks for the JSON report, and for none of the other formats that are JSON too."""
    return max((suffix for suffix in BUILTIN_FORMATS if name.endswith(suffix)), key=len, default="") == ".json"


def write_reports(
    run: RunView, names: Iterable[str], formats: Mapping[str, Writer], *, option: str, directory: Path, summary: str
) -> RunView:
    """Write the reports that were asked for; what one of them cannot take keeps no other from being written.

    Args:
        run: The run.
        names: The paths as the user wrote them.
        formats: Writers by suffix.
        option: The option that they were given with, for messages.
        directory: What relative paths start from.
        summary: Path of GitHub's step summary, ``""`` where there is none.

    Returns:
        The run, with what could not be written.
    """
    problems = []
    for name in names:
        try:
            problem = _problem_of(writer_for(name, formats, option=option), run, directory / name)
        except SettingsError as error:
            problems.append(error.message)
            continue
        if problem:
            problems.append(f"{option}={name}: cannot be written: {problem}")
    if summary and run.results:
        from pytest_tokenbudget.report.github import append_summary

        problem = _problem_of(append_summary, run, Path(summary))
        if problem:
            problems.append(f"GITHUB_STEP_SUMMARY={summary}: cannot be written: {problem}")
    return replace(run, problems=(*run.problems, *problems))


def _problem_of(write: Writer, run: RunView, path: Path) -> str:
    """Write; gives why it failed, ``""`` where it did not. A format of a project may raise anything."""
    try:
        write(run, path)
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
