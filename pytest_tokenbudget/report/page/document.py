"""Write the page: one file that loads nothing and needs no script."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.baselines.history import Revision, histories
from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.report.figures import spent
from pytest_tokenbudget.report.highlights import joined_causes, lead, title, worst_first
from pytest_tokenbudget.report.page import overview
from pytest_tokenbudget.report.page.details import Row, brief, detail, is_quiet, row
from pytest_tokenbudget.report.page.trend import moved_tests
from pytest_tokenbudget.wording import plain

if TYPE_CHECKING:
    from jinja2 import Environment, Template

COLOURS = 8
"""Colours of stages; the ninth stage has the first one's again."""

DETAIL_BYTES = 205_000
"""Bytes that the details of all tests may take together, so that the page of 200 tests stays under 300 kB."""

DETAIL_BYTES_PER_TEST = 950
"""Bytes by which that grows with each test beyond 200."""

WHOLE_BYTES = 14_000
"""Bytes that the whole details of a test take, more or less."""

_AFTER_MINUS = frozenset("0123456789$")

FOLDED_TESTS = 30
"""Tests that need no attention from which on they are folded by their files."""

OPEN_TESTS = 1
"""Tests whose details are unfolded at first: the worst ones that fail."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A test as the page shows it: its row, and the markup that unfolds (empty where there was no room)."""

    row: Row
    detail: str
    opened: bool
    anchor: str


@dataclass(frozen=True, slots=True)
class Group:
    """Tests that hold, folded together by their file where there are many."""

    name: str
    entries: tuple[Entry, ...]


def write(run: RunView, path: Path) -> None:
    """Write the page; folders are made as needed.

    Raises:
        ReportError: If jinja2 is not installed.
    """
    write_atomically(path, render(run).encode("utf-8", "replace"))


def render(run: RunView) -> str:
    """The page of a run."""
    results = worst_first(run.results)
    colours = stage_colours(results)
    past = _past(results)
    entries = _entries(results, colours, past)
    loud = [entry for entry, result in zip(entries, results, strict=True) if not is_quiet(result)]
    quiet = [(entry, result) for entry, result in zip(entries, results, strict=True) if is_quiet(result)]
    causes, changes = (
        joined_causes(result for result in results if result.failed is failed) for failed in (True, False)
    )
    schemas, parts = overview.prompt_parts(results)
    css = _css()
    return _template("page.html").render(
        css=css,
        csp=f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(css.encode()).digest()).decode()}'",
        run=run,
        title=title(run),
        lead=lead(run),
        verdict=run.verdict
        if run.exit_ok or run.verdict not in ("ok", "new", "improved", "inconclusive")
        else "failed",
        about=_about(run),
        tiles=overview.tiles(results),
        causes=overview.cause_rows(causes),
        more_causes=max(0, len(causes) - overview.SHOWN_CAUSES),
        changes=overview.cause_rows(changes),
        more_changes=max(0, len(changes) - overview.SHOWN_CAUSES),
        loud=loud,
        groups=_groups(quiet),
        quiet=_counted(result for _, result in quiet),
        many=len(quiet) > FOLDED_TESTS,
        left_out=sum(not entry.detail for entry in entries),
        stages=overview.usage(results, attrgetter("stage"), colours),
        models=overview.usage(results, lambda call: call.model or call.request_model or "(unknown)"),
        schemas=schemas,
        parts=parts,
        unsteady=overview.unsteady(results),
        advice=overview.advice_rows(run.advice, results),
        more_advice=max(0, len(run.advice) - overview.SHOWN_ROWS),
        moved=moved_tests(results, past),
        colours=colours,
        messages=[plain(message) for message in (*run.messages, *run.problems)],
        watched=sorted({client for result in results for client in result.watched}),
    )


def _past(results: Sequence[TestResult]) -> dict[str, tuple[Revision, ...]]:
    """The revisions of each baseline file, those of the worst tests first; a report that was read names no files."""
    files = dict.fromkeys(result.baseline_file for result in results if result.baseline_file)
    found = histories([Path(file) for file in files])
    return {str(path): revisions for path, revisions in found.items()}


def stage_colours(results: Sequence[TestResult]) -> dict[str, str]:
    """Class of the colour of each stage, by its path: the same on the whole page."""
    paths = {call.stage for result in results for sample in result.samples[-1:] for call in sample.calls}
    return {path: f"s{index % COLOURS}" for index, path in enumerate(sorted(paths))}


def _entries(
    results: Sequence[TestResult], colours: dict[str, str], past: dict[str, tuple[Revision, ...]]
) -> list[Entry]:
    """The tests, worst first, with their details."""
    shown = _details(results, colours, past)
    return [
        Entry(row(result), text, index < OPEN_TESTS and (result.failed or not result.passed), f"t{index + 1}")
        for index, (result, text) in enumerate(zip(results, shown, strict=True))
    ]


def _details(
    results: Sequence[TestResult], colours: dict[str, str], past: dict[str, tuple[Revision, ...]]
) -> list[str]:
    """Details of each test: brief ones for all, whole ones for the worst as far as there is room for them.

    Tests that hold get whole ones only where there is room for those of all tests. Where not even the brief ones have room, the
    last tests have none.
    """
    small, whole = _template("brief.html"), _template("test.html")
    room = DETAIL_BYTES + DETAIL_BYTES_PER_TEST * max(0, len(results) - 200)
    everything = len(results) * WHOLE_BYTES < room
    shown = []
    for result in results:
        text = small.render(brief=brief(result, colours))
        room -= len(text)
        shown.append(text if room >= 0 else "")
    for index, result in enumerate(results):
        if room < 0:
            break
        if is_quiet(result) and not everything:
            continue
        text = whole.render(detail=detail(result, colours, past.get(result.baseline_file, ())))
        room += len(shown[index]) - len(text)
        if room >= 0:
            shown[index] = text
    return shown


def _groups(quiet: Sequence[tuple[Entry, TestResult]]) -> list[Group]:
    """Tests that hold, by file."""
    files: dict[str, list[Entry]] = {}
    for entry, _ in sorted(quiet, key=lambda pair: pair[1].nodeid):
        files.setdefault(entry.row.file, []).append(entry)
    return [Group(name, tuple(entries)) for name, entries in files.items()]


def _counted(quiet: Iterable[TestResult]) -> str:
    """Count the tests that need no attention: ``12 within budget, 1 new``."""
    counts = Counter("new" if result.verdict == "new" else "within budget" for result in quiet)
    return ", ".join(f"{counts[word]:,} {word}" for word in ("within budget", "new") if counts[word])


def _about(run: RunView) -> list[str]:
    traffic = sorted({sample.traffic for result in run.results for sample in result.samples})
    said = [f"pytest-tokenbudget {plain(run.version, limit=40)}", *traffic]
    if run.mode == "report":
        said.append("report only: nothing fails")
    samples = [sample for result in run.results for sample in result.samples]
    said.append(f"this run made {', '.join(spent(samples))}")
    return said


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise ReportError(
            "the HTML page needs jinja2, which is not installed", remedy="pip install 'pytest-tokenbudget[html]'"
        ) from None
    environment = Environment(
        loader=PackageLoader("pytest_tokenbudget.report.page"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["explain"] = _EXPLAINED
    return environment


def _finalize(value: object) -> object:
    """Text without control characters, and with a real minus before a number; markup that was made here stays as it is."""
    if type(value) is not str:
        return value
    text = plain(value, limit=2000)
    return f"\N{MINUS SIGN}{text[1:]}" if text[:1] == "-" and text[1:2] in _AFTER_MINUS else text


def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _css() -> str:
    source: Any = _environment().loader
    text: str = source.get_source(_environment(), "page.css")[0]
    return text


_EXPLAINED = {
    "regression": "grew more than it may",
    "over_limit": "above its ceiling",
    "target_missed": "not as much less as was asked for",
    "no_baseline": "nothing stored to compare with",
    "no_calls": "no model call was seen",
    "diverged": "does not fit its recorded answers",
    "inconclusive": "chance leaves it open",
    "improved": "uses less than before",
    "new": "measured for the first time",
    "ok": "within its budget",
    "failed": "failed by its own assertions: not gated, not stored",
}
