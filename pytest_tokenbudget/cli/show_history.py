"""``tokenbudget history``: how the figures of a test moved over git, and the commits that moved them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.errors import BaselineError, GitError, SettingsError

if TYPE_CHECKING:
    from pytest_tokenbudget.baselines.history import Revision

MAIN_METRICS = ("calls", "input_tokens", "output_tokens", "cost", "latency")
"""Metrics that are shown where none is named."""

_REVISIONS = 30


@dataclass(frozen=True, slots=True)
class Point:
    """A value and the commit that stored it.

    Attributes:
        commit: Full hash; ``""`` for the working tree.
        time: When it was committed, s since 1970; ``None`` for the working tree.
        subject: First line of the commit's message.
        value: The value, in the metric's unit.
        change: Relative change since the point before; ``None`` for the first one, and from 0.
        jump: Whether it is notably another value than before.
        accepted: Whether a jump was accepted: the origin, from which drift is measured, moved with it.
    """

    commit: str
    time: int | None
    subject: str
    value: float
    change: float | None
    jump: bool
    accepted: bool


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """The points of one metric of one test, oldest first."""

    test: str
    metric: str
    points: tuple[Point, ...]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget history tests/test_desk.py::test_refunds worker.input_tokens. "
        "A jump is `accepted` where pytest --tokenbudget-accept stored it, else `updated`. "
        "Exit codes: 0 shown, 2 git has nothing of this test, or it cannot be read."
    )
    parser.add_argument("target", metavar="NODEID", help="a node id, a test file, a baseline, or the name of a test")
    parser.add_argument(
        "metric", nargs="?", metavar="METRIC", help="show every revision of this metric: input_tokens, worker.cost"
    )
    parser.add_argument(
        "--against", default="baseline", metavar="NAME", help="the history of this reference (default: %(default)s)"
    )
    parser.add_argument(
        "--revisions", type=int, default=_REVISIONS, metavar="N", help="most commits to look at (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.paths import BASELINE, check_reference
    from pytest_tokenbudget.cli.targets import choose_keys, find_targets, node_id
    from pytest_tokenbudget.cli.terminal_text import write_lines

    if arguments.revisions < 1:
        raise SettingsError(f"--revisions: {arguments.revisions} is less than 1", remedy="--revisions 30")
    against = arguments.against if arguments.against == BASELINE else check_reference(arguments.against)
    found: list[MetricHistory] = []
    older = False
    for target in find_targets(arguments.target, against=against):
        revisions, cut = _past(target.path, arguments.revisions)
        older = older or cut
        known = {key for revision in revisions for key in revision.entries}
        keys = choose_keys(known, target.wanted)
        if not keys:
            raise BaselineError(
                f"{target.path}: no revision in git holds a test {target.wanted!r}",
                remedy="`tokenbudget show` lists the tests that are stored",
            )
        for key in keys:
            found += _histories(node_id(target.path, key), key, arguments.metric, revisions)
    if arguments.json:
        print(json.dumps({"histories": [asdict(one) for one in found], "older": older}, indent=2))
        return 0
    lines = _lines(found, every=arguments.metric is not None)
    if older:
        lines += ["", f"there are older revisions: --revisions {arguments.revisions * 2}, or `git fetch --unshallow`"]
    write_lines(lines)
    return 0


def _past(path: Path, most: int) -> tuple[list[Revision], bool]:
    """The revisions of a file, oldest first, the working tree last where it is another; and whether there are older ones."""
    from pytest_tokenbudget import git
    from pytest_tokenbudget.baselines.history import Revision, histories
    from pytest_tokenbudget.cli.targets import read_stored

    here = path.parent if path.parent.is_dir() else Path()
    if git.toplevel(here) is None:
        raise GitError(f"{path}: lies in no git repository, so it has no history", remedy="git init")
    past = list(histories([path.absolute()], revisions=most + 1).get(path.absolute(), ()))
    cut = len(past) > most or _is_shallow(here)
    past = past[-most:]
    if os.path.lexists(path):
        entries = read_stored(path)
        if not past or past[-1].entries != entries:
            past.append(Revision("", 0, "", entries))
    if not past:
        raise GitError(
            f"{path}: git has no revision of it", remedy="run the test, and commit the baseline that it writes"
        )
    return past, cut


def _is_shallow(place: Path) -> bool:
    from pytest_tokenbudget import git

    return git.run(place, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _histories(test: str, key: str, named: str | None, revisions: Sequence[Revision]) -> list[MetricHistory]:
    """The history of the metric that is named, or of the main ones that are known."""
    from difflib import get_close_matches

    metrics = MAIN_METRICS if named is None else (named,)
    found = [MetricHistory(test, metric, points) for metric in metrics if (points := _points(key, metric, revisions))]
    if named is not None and not found:
        entries = [revision.entries[key] for revision in revisions if key in revision.entries]
        known = sorted({metric for entry in entries for metric in (*entry.metrics, *entry.pooled)})
        near = get_close_matches(named, known, n=3, cutoff=0.4) or known[:3]
        raise SettingsError(f"{test}: no metric {named!r} is stored", remedy=f"name one that is: {', '.join(near)}")
    return found


def _points(key: str, metric: str, revisions: Sequence[Revision]) -> tuple[Point, ...]:
    from pytest_tokenbudget.baselines.history import is_jump, stored_values

    points = []
    before = None
    for stored in stored_values(key, metric, revisions):
        jump = before is not None and is_jump(metric, before.value, stored.value)
        revision = stored.revision
        points.append(
            Point(
                commit=revision.commit,
                time=revision.time if revision.commit else None,
                subject=revision.subject,
                value=stored.value,
                change=stored.value / before.value - 1 if before is not None and before.value else None,
                jump=jump,
                accepted=jump and before is not None and stored.origin != before.origin,
            )
        )
        before = stored
    return tuple(points)


def _lines(found: Sequence[MetricHistory], *, every: bool) -> list[str]:
    """Each test, its metrics as sparklines, and below them the commits: all of them, or those of jumps."""
    from tabulate import tabulate

    from pytest_tokenbudget.cli.terminal_text import paint, sparkline
    from pytest_tokenbudget.report.figures import number, percent, unit_of
    from pytest_tokenbudget.wording import counted, plain

    lines: list[str] = []
    for test in dict.fromkeys(one.test for one in found):
        lines += ([""] if lines else []) + [paint(plain(test), "bold")]
        for one in (one for one in found if one.test == test):
            first, last, unit = one.points[0].value, one.points[-1].value, unit_of(one.metric)
            moved = number(last, unit)
            if first != last:
                moved = f"{number(first, unit)} → {moved} {percent(last / first - 1 if first else None)}"
            line = sparkline([point.value for point in one.points])
            lines.append(f"{plain(one.metric)}  {line}  {moved}  ({counted(len(one.points), 'revision')})")
            shown = [point for point in one.points if every or point.jump]
            if shown:
                rows = [_row(point, number(point.value, unit)) for point in reversed(shown)]
                columns = ("left", "left", "right", "right", "left", "left")
                text = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=columns)
                lines += [f"    {row}".rstrip() for row in text.splitlines()]
    return lines


def _row(point: Point, value: str) -> tuple[str, ...]:
    from datetime import UTC, datetime

    from pytest_tokenbudget.cli.terminal_text import paint
    from pytest_tokenbudget.report.figures import percent
    from pytest_tokenbudget.wording import plain

    commit, date = "(not", "committed)"
    if point.time is not None:
        when = datetime.fromtimestamp(min(max(point.time, 0), 2**37), UTC)
        commit, date = point.commit[:8], when.date().isoformat()
    word = ("accepted" if point.accepted else "updated") if point.jump else ""
    change = "" if point.change is None else percent(point.change)
    if point.jump:
        change = paint(change or "new", "red" if point.change is None or point.change > 0 else "green")
    return commit, date, value, change if point.change or point.jump else "", word, plain(point.subject, limit=80)


HISTORY = Command(
    "history", "show how a test's figures moved over git, and the commits that moved them", _arguments, _run
)
