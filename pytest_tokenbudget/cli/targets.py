"""Finds the stored tests that a user names: by a path, a node id, a reference or a test's name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget import git
from pytest_tokenbudget.baselines.paths import (
    BASELINE,
    DIRECTORY,
    PRODUCTION,
    baseline_path,
    find_production,
    is_production,
)
from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.errors import BaselineError, GitError
from pytest_tokenbudget.records.baseline import BaselineEntry

_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__"})
"""Folders that hold no tests of this project; hidden folders and virtual environments are left out too."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file of stored tests, and which of them are meant.

    Attributes:
        path: The file: a baseline, a reference, a file of production, or a report.
        wanted: The tests that are meant, as :func:`choose_keys` takes it; ``""``: all.
    """

    path: Path
    wanted: str = ""


def find_targets(named: str, *, against: str = "baseline") -> list[Target]:
    """Find what a user names.

    Args:
        named: A folder, a file, a node id, the name of a reference, or the name of a test.
        against: Name of the reference that is meant where a test is named.

    Raises:
        BaselineError: If nothing stored has this name.
    """
    file, _, key = named.partition("::")
    if key or file.endswith(".py"):
        return [Target(stored_file(Path(file), against), key)]
    if os.path.isdir(named):  # unlike Path.is_dir, this is False for names that no system takes
        found = [Target(path) for path in sorted(_stored_files(Path(named), against))]
        if found:
            return found
        raise BaselineError(
            f"{named}: no baseline is stored in this folder",
            remedy="run pytest once, with a test that has a token_budget marker",
        )
    if os.path.isfile(named):
        return [Target(Path(named))]
    by_name = [Target(path) for path in sorted(_stored_files(Path(), named))] or _tests_named(named, against)
    if not by_name:
        raise BaselineError(
            f"{named!r} is no file, no test and no reference that is stored here",
            remedy="`tokenbudget import` makes it of what production recorded"
            if named == PRODUCTION
            else "`tokenbudget show` lists the tests that are",
        )
    return by_name


def stored_file(test_file: Path, against: str = "baseline") -> Path:
    """Give the path of a test file's measurements, also where the given path starts at the root of the repository.

    The file of production stands in for a reference that does not exist, as it does when the test runs.
    """
    if not test_file.name:
        raise BaselineError("a node id without a file", remedy="tests/test_desk.py::test_refunds")
    root = repository_root()
    for start in (Path(), root):
        path = baseline_path(start / test_file, against)
        if os.path.lexists(path):
            return Path(os.path.relpath(path))
        if against != BASELINE and (production := find_production(Path.cwd() / path, root)) is not None:
            return production
    return baseline_path(test_file, against)


def repository_root() -> Path:
    """The root of the repository that this folder lies in; this folder where there is no repository."""
    try:
        return git.toplevel(Path()) or Path.cwd()
    except GitError:
        return Path.cwd()


def read_stored(path: Path) -> Mapping[str, BaselineEntry]:
    """The entries of a file.

    Raises:
        BaselineError: If it is missing or cannot be read.
    """
    if not os.path.lexists(path):
        raise BaselineError(
            f"{path}: there is no such file, so nothing is stored of the test", remedy="pytest writes it: run the test"
        )
    return JsonStore().read(path)


def choose_keys(keys: Iterable[str], wanted: str) -> list[str]:
    """The tests that are meant, sorted: the one of this key, or else those of this class or function, or of this name.

    Args:
        keys: Keys of tests, ``TestDesk::test_refunds[lamp]``.
        wanted: A key, the beginning of some (``TestDesk``, ``TestDesk::test_refunds``), or a function's name; ``""``: all.
    """
    ordered = sorted(keys)
    if not wanted or wanted in ordered:
        return [wanted] if wanted else ordered
    below = [key for key in ordered if key.startswith((f"{wanted}::", f"{wanted}["))]
    return below or [key for key in ordered if key.partition("[")[0].rpartition("::")[2] == wanted]


def node_id(path: Path, key: str) -> str:
    """The node id of a stored test, from its file and its key."""
    folder = path.parent if path.parent.name == DIRECTORY else path.parent.parent
    if folder.name != DIRECTORY:
        return f"{path}::{key}"
    return f"{(folder.parent / path.stem).as_posix()}.py::{key}"


def _tests_named(name: str, against: str) -> list[Target]:
    found = []
    for path in sorted(_stored_files(Path(), against)):
        try:
            keys = read_stored(path)
        except BaselineError:  # of a file that was not asked for
            continue
        found += [Target(path, name)] if choose_keys(keys, name) else []
    return found


def _stored_files(folder: Path, against: str) -> Iterator[Path]:
    """The files of baselines, or of a reference, below a folder or in it."""
    if folder.absolute().parent.name == DIRECTORY:
        yield from folder.glob("*.json")
        return
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not _is_skipped(here / name)]
        if here.absolute().name != DIRECTORY:
            continue
        if against == BASELINE:
            yield from (here / name for name in files if name.endswith(".json") and not is_production(here / name))
        else:
            yield from (here / name for name in files if name == f"{against}.json" and is_production(here / name))
            if against in folders:
                yield from (here / against).glob("*.json")
        folders.clear()


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
