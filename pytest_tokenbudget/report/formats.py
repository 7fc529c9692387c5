"""The format that a report's path asks for, and the writing of reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.wording import counted

REPORT_FORMAT: Literal[1] = 1
"""The number of the JSON report's format."""


def unattributed_text(seen: Unattributed) -> str:
    """``api.example.com/v9/brain (2 requests)``."""
    return f"{seen.host}{seen.path} ({counted(seen.count, 'request')}, {seen.reason})"


Writer = Callable[[RunView, Path], None]
"""Writes a run to a path."""


def _write(module: str, run: RunView, path: Path) -> None:
    import_module(f"pytest_tokenbudget.report.{module}").write(run, path)


BUILTIN_FORMATS: Mapping[str, Writer] = {
    ".bmf.json": partial(_write, "bmf"),
    ".html": partial(_write, "page.document"),
    ".json": partial(_write, "json_report"),
    ".md": partial(_write, "markdown"),
    ".speedscope.json": partial(_write, "speedscope"),
    ".trace.json": partial(_write, "chrome_trace"),
    ".txt": partial(_write, "openmetrics"),
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
