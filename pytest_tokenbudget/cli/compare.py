"""``tokenbudget compare``: what changed between two states of the baselines, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command

if TYPE_CHECKING:
    from pytest_tokenbudget.records.baseline import BaselineEntry

_METRICS = ("input_tokens", "output_tokens", "calls", "cost")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one test that is another one than before.

    Attributes:
        test: File and key of the test.
        metric: Full name of the metric.
        before: Its mean before.
        after: Its mean now.
        change: Relative change; ``None`` from 0.
        cause: The largest cause, in words; ``""`` where none is known.
    """

    test: str
    metric: str
    before: float
    after: float
    change: float | None
    cause: str


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget compare main: --max-increase 10%%. "
        "Exit codes: 0 held, 1 a figure grew by more than --max-increase, 2 a side that cannot be read."
    )
    parser.add_argument("before", help="a baseline, a folder, or a git revision with a colon: main:")
    parser.add_argument("after", nargs="?", default=".", help="the other side (default: the working tree)")
    parser.add_argument("--max-increase", metavar="RULE", help="how much a figure may grow: 10%%, +200")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.compare.rules import parse_rule
    from pytest_tokenbudget.errors import SettingsError
    from pytest_tokenbudget.stats.statistic import exceeds, rational

    rule = None
    if arguments.max_increase is not None:
        try:
            rule = parse_rule(arguments.max_increase, unit="count")
        except ValueError as error:
            raise SettingsError(f"--max-increase: {error}", remedy="--max-increase 10%") from None
    changes = list(_changes(_side(arguments.before), _side(arguments.after)))
    over = [
        one
        for one in changes
        if rule is not None
        and not rule.off
        and exceeds(rational(one.after), rational(one.before), rule.fraction, rule.slack)
    ]
    if arguments.json:
        print(json.dumps({"changes": [asdict(one) for one in changes], "held": not over}, indent=2))
    else:
        print("\n".join(_lines(changes, over)))
    return 1 if over else 0


def _lines(changes: list[Change], over: list[Change]) -> Iterator[str]:
    from pytest_tokenbudget.report.figures import number, percent, unit_of
    from pytest_tokenbudget.wording import plain

    if not changes:
        yield "nothing changed"
    for one in changes:
        unit = unit_of(one.metric)
        cause = f"  {plain(one.cause)}" if one.cause else ""
        mark = "  OVER" if one in over else ""
        yield (
            f"{plain(one.test)}  {plain(one.metric)} {number(one.before, unit)} -> {number(one.after, unit)} "
            f"{percent(one.change)}{mark}{cause}"
        )


def _changes(before: dict[str, BaselineEntry], after: dict[str, BaselineEntry]) -> Iterator[Change]:
    """Compare the tests that stand on both sides, the whole test's figures and each stage's."""
    from pytest_tokenbudget.explain import explain
    from pytest_tokenbudget.stats.statistic import mean

    for test in sorted(before.keys() & after.keys()):
        then, now = before[test], after[test]
        for stage in ("", *sorted({*then.stages, *now.stages} - {"main"})):
            for name in _METRICS:
                key = f"{stage}.{name}" if stage else name
                if key not in then.metrics or key not in now.metrics:
                    continue
                was, is_now = mean(then.metrics[key].values), mean(now.metrics[key].values)
                if was == is_now:
                    continue
                causes = explain(name, stage, then.composition, now.composition, before_value=was, after_value=is_now)
                text = causes[0].text if causes else ""
                yield Change(test, key, was, is_now, is_now / was - 1 if was else None, text)


def _side(source: str) -> dict[str, BaselineEntry]:
    """Read one side: entries by file name and test key."""
    from pytest_tokenbudget.baselines.format import load

    revision, colon, inside = source.rpartition(":")
    files = _of_git(revision, inside) if colon and not Path(source).exists() else _of_folder(Path(source))
    single = len(files) == 1 and Path(source).is_file()
    found = {}
    for name, data in sorted(files.items()):
        prefix = "" if single else f"{name}::"
        found.update({f"{prefix}{key}": entry for key, entry in load(data, Path(name)).items()})
    return found


def _of_folder(path: Path) -> dict[str, bytes]:
    from pytest_tokenbudget.errors import BaselineError

    try:
        if path.is_dir():
            return {
                file.relative_to(path).as_posix(): file.read_bytes()
                for file in path.rglob("*.json")
                if file.parent.name == "__budgets__" and file.name != "production.json"
            }
        return {path.name: path.read_bytes()}
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be read: {error.strerror or error}",
            remedy="give a baseline, a folder, or a git revision with a colon: main:",
        ) from None


def _of_git(revision: str, inside: str) -> dict[str, bytes]:
    from pytest_tokenbudget import git
    from pytest_tokenbudget.errors import GitError

    here = Path()
    commit = git.commit(here, revision)
    if commit is None:
        raise GitError(f"git knows no revision {revision!r}", remedy="name a branch, a tag or a commit: main:")
    listed = git.run(here, "ls-tree", "-r", "-z", "--name-only", commit, *(["--", inside] if inside else []))
    names = [
        name
        for name in listed.stdout.split("\0")
        if name.endswith(".json") and Path(name).parent.name == "__budgets__" and Path(name).name != "production.json"
    ]
    return {name: git.run_bytes(here, "cat-file", "blob", f"{commit}:./{name}").stdout for name in names}


COMPARE = Command("compare", "show what changed between two states of the baselines, and why", _arguments, _run)
