"""Finds the stored files below some folders, and tells which of them belong to no test any more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.errors import SettingsError

if TYPE_CHECKING:
    from pytest_tokenbudget.processes.collected import Collection

_NO_PROJECT = ("node_modules", "site-packages", "__pycache__", "build", "dist")
"""Folders that hold other people's code, or copies of it."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The stored files of some folders.

    Attributes:
        baselines: Baselines and references.
        production: What production recorded.
        cassettes: Recorded traffic.
    """

    baselines: tuple[Path, ...]
    production: tuple[Path, ...]
    cassettes: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Stale:
    """Files and entries of tests that no longer exist.

    Attributes:
        entries: Keys by baseline or reference.
        cassettes: Cassettes that no test plays.
        kept: Files about which pytest's collection says too little, and why.
    """

    entries: Mapping[Path, tuple[str, ...]]
    cassettes: tuple[Path, ...]
    kept: tuple[tuple[Path, str], ...]


def find_stored(folders: Sequence[Path]) -> StoredFiles:
    """Find the stored files in folders and below.

    Args:
        folders: The folders; none: the current one.

    Raises:
        SettingsError: If one is no folder.
    """
    from pytest_tokenbudget.baselines.paths import CASSETTES, is_production

    baselines: dict[Path, None] = {}
    cassettes: dict[Path, None] = {}
    for folder in folders or (Path(),):
        if not folder.is_dir():
            raise SettingsError(f"{folder} is no folder", remedy="name a folder that holds tests, or none for this one")
        for budgets in _budget_folders(folder):
            cassettes.update(dict.fromkeys(sorted((budgets / CASSETTES).glob("*.jsonl"))))
            found = [*budgets.glob("*.json"), *budgets.glob("*/*.json")]
            baselines.update(dict.fromkeys(sorted(path for path in found if path.parent.name != CASSETTES)))
    production = tuple(path for path in baselines if is_production(path))
    return StoredFiles(tuple(path for path in baselines if path not in production), production, tuple(cassettes))


def _budget_folders(folder: Path) -> Iterator[Path]:
    from pytest_tokenbudget.baselines.paths import DIRECTORY

    start = Path(os.path.abspath(folder))  # resolve() would follow links: what pytest shows does not
    if start.name == DIRECTORY:
        yield start
        return
    for place, names, files in os.walk(start):
        if "pyvenv.cfg" in files:
            names.clear()
            continue
        if DIRECTORY in names:
            yield Path(place, DIRECTORY)
        names[:] = sorted(
            name for name in names if name != DIRECTORY and name not in _NO_PROJECT and not name.startswith(".")
        )


def find_stale(stored: StoredFiles, entries: Mapping[Path, Sequence[str]], collection: Collection) -> Stale:
    """Tell what belongs to no test any more.

    A file whose tests pytest did not all see, because it is skipped or not collected, is kept.

    Args:
        stored: The stored files.
        entries: Keys by baseline or reference.
        collection: The tests that exist.
    """
    seen = _Seen(collection)
    stale: dict[Path, tuple[str, ...]] = {}
    kept: list[tuple[Path, str]] = []
    for path, keys in entries.items():
        gone = tuple(key for key in keys if key not in seen.keys_of(path))
        if gone and (hidden := seen.hidden(_tests_folder(path), path.stem)):
            kept.append((path, _reason(hidden)))
        elif gone:
            stale[path] = gone
    cassettes = []
    for path in stored.cassettes:
        if _real(path) in seen.cassettes:
            continue
        if hidden := seen.hidden(_tests_folder(path)):
            kept.append((path, _reason(hidden)))
        else:
            cassettes.append(path)
    return Stale(stale, tuple(cassettes), tuple(kept))


def _reason(hidden: Path) -> str:
    return f"pytest did not see all tests of {hidden.name}: it is skipped, or not among what is collected"


class _Seen:
    """The tests that pytest collected, by place."""

    def __init__(self, collection: Collection) -> None:
        self._patterns = collection.patterns
        self._files = {_real(path): complete for path, complete in collection.files.items()}
        self._keys: dict[Path, set[str]] = {}
        for test in collection.tests:
            self._keys.setdefault(_real(test.baseline), set()).add(test.key)
        self.cassettes = {_real(test.cassette) for test in collection.tests}

    def keys_of(self, path: Path) -> set[str]:
        """The keys of the tests that a baseline or reference is for."""
        from pytest_tokenbudget.baselines.paths import baseline_path

        return self._keys.get(_real(baseline_path(_tests_folder(path) / f"{path.stem}.py")), set())

    def hidden(self, folder: Path, stem: str = "") -> Path | None:
        """A test file of a folder that may hold tests which pytest did not see.

        Args:
            folder: The folder of the tests.
            stem: The file's name without suffix; ``""``: any file.
        """
        files = sorted(path for path in folder.iterdir() if path.is_file() and stem in ("", path.stem))
        complete = [path for path in files if self._files.get(_real(path)) is True]
        for path in files:
            known = self._files.get(_real(path))
            # A file of data beside a test file that was collected (`test_desk.csv`) holds no tests.
            may_hold_tests = self._is_test_file(path) if complete or not stem else True
            if known is False or (known is None and may_hold_tests):
                return path
        return None

    def _is_test_file(self, path: Path) -> bool:
        return path.suffix == ".py" and any(
            fnmatchcase(path.name, pattern) or fnmatchcase(path.as_posix(), f"*/{pattern}")
            for pattern in self._patterns
        )


def _tests_folder(path: Path) -> Path:
    """The folder of the tests whose stored file this is."""
    from pytest_tokenbudget.baselines.paths import DIRECTORY

    return (path.parent if path.parent.name == DIRECTORY else path.parent.parent).parent


def _real(path: Path) -> Path:
    """A path whose folder is without links. A test file that is one keeps its numbers beside the link."""
    return Path(os.path.realpath(path.parent)) / path.name


def shown(path: Path) -> str:
    """A path as it is printed: relative to the current folder where it lies within."""
    from pytest_tokenbudget.files import shown_path
    from pytest_tokenbudget.wording import plain

    return plain(shown_path(path, Path.cwd()))
