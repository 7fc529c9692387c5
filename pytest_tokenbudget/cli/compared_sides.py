"""Reads the two sides of a comparison: baselines, references, reports, git revisions, folders, the last run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_tokenbudget import git
from pytest_tokenbudget.baselines.format import load
from pytest_tokenbudget.baselines.paths import BASELINE, DIRECTORY, LAST_RUN, PRODUCTION, baseline_path, is_production
from pytest_tokenbudget.baselines.production_file import read_production
from pytest_tokenbudget.cli.shown_tests import ShownTest, of_entry, read_tests
from pytest_tokenbudget.cli.targets import Target, choose_keys, find_targets, node_id
from pytest_tokenbudget.errors import BaselineError, GitError, ReportError
from pytest_tokenbudget.records.production import Production

LAST = "last"
"""Stands for the last run that failed, which the plugin keeps in pytest's cache."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: What the user calls it.
        tests: Its tests, by node id.
        production: What production recorded; it stands for every test of the other side.
    """

    name: str
    tests: Mapping[str, ShownTest] = field(default_factory=dict)
    production: Production | None = None


def read_side(named: str) -> Side:
    """Read what a user names.

    Args:
        named: A folder, a baseline, a report, a test file, a node id, the name of a reference, ``baseline``, ``last``, or a git
            revision with a colon, which a path may follow: ``main:``, ``v1.2:tests``.

    Raises:
        TokenBudgetError: If nothing has this name, or it cannot be read.
    """
    revision, colon, inside = named.partition(":")
    if colon and not os.path.lexists(named) and not _is_node_id(named):
        return Side(named, _of_revision(revision, inside))
    if named == LAST:
        return Side("the last run", _by_id(_last_run()))
    targets = find_targets("." if named == BASELINE else named)
    if is_production(targets[0].path):
        return Side(named, production=read_production(targets[0].path))
    found: dict[str, ShownTest] = {}
    for target in targets:
        found.update(_by_id(target))
    if os.path.isdir(named):
        # The same tests in two folders have the same names.
        found = {_below(nodeid, Path(named)): test for nodeid, test in found.items()}
    return Side("the working tree" if named in (".", BASELINE) else named, found)


def pairs(before: Side, after: Side) -> list[tuple[str, ShownTest, ShownTest]]:
    """The tests that both sides have, by node id: else by file and test, and of two single files by test alone."""
    if before.production is not None and after.production is not None:
        name = f"{before.name} against {after.name}"
        return [(name, _as_test(before.production, name), _as_test(after.production, name))]
    if before.production is not None:
        return [(nodeid, _as_test(before.production, nodeid), test) for nodeid, test in sorted(after.tests.items())]
    if after.production is not None:
        return [(nodeid, test, _as_test(after.production, nodeid)) for nodeid, test in sorted(before.tests.items())]
    for short in (str, _file_and_test, _test):
        then, now = ({short(nodeid): nodeid for nodeid in side.tests} for side in (before, after))
        unique = len(then) == len(before.tests) and len(now) == len(after.tests)
        if unique and (common := then.keys() & now.keys()):
            return [(now[key], before.tests[then[key]], after.tests[now[key]]) for key in sorted(common)]
    return []


def _is_node_id(named: str) -> bool:
    """Tell whether a name with colons is that of a test, and none of a test in a revision."""
    file = named.partition("::")[0]
    return file.endswith(".py") and ":" not in file


def _file_and_test(nodeid: str) -> str:
    file, colons, rest = nodeid.partition("::")
    return f"{file.rpartition('/')[2]}{colons}{rest}"


def _test(nodeid: str) -> str:
    return nodeid.partition("::")[2] or nodeid


def _by_id(target: Target) -> dict[str, ShownTest]:
    return {test.test: test for test in read_tests(target)}


def _below(nodeid: str, folder: Path) -> str:
    prefix = f"{folder.as_posix().rstrip('/')}/"
    return nodeid.removeprefix(prefix)


def _last_run() -> Target:
    here = Path.cwd()
    found = next((folder / LAST_RUN for folder in (here, *here.parents) if (folder / LAST_RUN).is_file()), None)
    if found is None:
        raise ReportError(
            "the last run of pytest failed no budget, so nothing of it is kept",
            remedy="name two sides (`tokenbudget compare main:` is main against the working tree), or run the tests",
        )
    return Target(found)


def _of_revision(revision: str, inside: str) -> dict[str, ShownTest]:
    """The baselines of a commit, those of the current folder and below; or what a path in it names."""
    here = Path()
    commit = git.commit(here, revision)
    if commit is None:
        raise GitError(
            f"git knows no revision {revision!r}, and there is no file {revision}:{inside}",
            remedy="name a branch, a tag or a commit, with a colon: main:",
        )
    path, wanted = _path_inside(inside)
    listed = git.run(here, "ls-tree", "-r", "-z", "--name-only", commit, *(["--", path] if path else []))
    names = [name for name in listed.stdout.split("\0") if _is_baseline(name, whole=name == path)]
    found: dict[str, ShownTest] = {}
    for name in names:
        data = git.run_bytes(here, "cat-file", "blob", f"{commit}:./{name}").stdout
        entries = load(data, Path(f"{revision}:{name}"))
        for key in choose_keys(entries, wanted):
            if key in entries:
                test = of_entry(node_id(Path(name), key), Path(name), entries[key])
                found[test.test] = replace(test, file=f"{revision}:{name}")
    if inside and not found:
        raise BaselineError(
            f"{revision}:{inside}: no baseline is stored there",
            remedy="name a folder, a baseline or a test of that commit",
        )
    return found


def _path_inside(inside: str) -> tuple[str, str]:
    """The path in a commit that is meant, and the test: ``tests/test_desk.py::test_a`` is in the baseline of that file."""
    file, _, wanted = inside.partition("::")
    return (baseline_path(Path(file)).as_posix(), wanted) if file.endswith(".py") else (inside, "")


def _is_baseline(name: str, *, whole: bool) -> bool:
    """Tell whether a file of a commit is a baseline; a reference only where its own path is named (``whole``)."""
    path = Path(name)
    if path.suffix != ".json" or path.stem == PRODUCTION:
        return False
    return path.parent.name == DIRECTORY or (whole and path.parent.parent.name == DIRECTORY)


def _as_test(production: Production, nodeid: str) -> ShownTest:
    """The runs of production as if they were the samples of a test."""
    stages = {
        stage: {name: (found.mean,) for name, found in metrics.items()} for stage, metrics in production.stages.items()
    }
    return ShownTest(
        test=nodeid,
        file="production",
        traffic="live",
        models=production.models,
        stages={"": {}, **stages},
        composition={},
        origins={},
        outcomes={},
        samples=max((found.n for metrics in production.stages.values() for found in metrics.values()), default=0),
    )
