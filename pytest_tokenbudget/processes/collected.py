"""Asks pytest which tests there are, and where the files of each are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget.errors import CollectionFailed
from pytest_tokenbudget.processes.fresh_pytest import OPTIONS, Wanted, own_environment, run_pytest
from pytest_tokenbudget.wording import plain

_NO_TESTS = 5
"""pytest's exit code where it collected nothing."""


@dataclass(frozen=True, slots=True)
class CollectedTest:
    """One test that exists.

    Attributes:
        baseline: Path of its baseline file.
        key: Its key in that file.
        cassette: Path of the cassette that it has where it is replayed.
    """

    baseline: Path
    key: str
    cassette: Path


@dataclass(frozen=True, slots=True)
class Collection:
    """All tests that pytest knows, deselected ones included.

    Attributes:
        tests: The tests.
        files: The files that pytest looked into, and whether it saw all that is in them.
        patterns: Names of test files (pytest's option ``python_files``).
        redact: The project's ``tokenbudget_redact``.
        allow_secret: The project's ``tokenbudget_allow_secret``.
        encodings: The project's ``tokenbudget_encodings``.
        cassette_limit: The project's ``tokenbudget_cassette_limit``, bytes.
    """

    tests: tuple[CollectedTest, ...]
    files: Mapping[Path, bool]
    patterns: tuple[str, ...]
    redact: tuple[str, ...]
    allow_secret: tuple[str, ...]
    encodings: tuple[str, ...]
    cassette_limit: int


def collect(arguments: Sequence[str], *, place: Path) -> Collection:
    """Collect the tests in a process of its own, and run none.

    Args:
        arguments: Arguments for pytest.
        place: The directory in which it runs.

    Raises:
        CollectionFailed: If pytest cannot say which tests there are.
    """
    told = run_pytest(arguments, Wanted(None, stored=True), place=place, environment=own_environment())
    shown = "\n".join(map(plain, told.output.splitlines()))
    unknown = "unrecognized arguments" in told.output and OPTIONS[0] in told.output
    if unknown or (told.stored is None and told.exit_code in (0, _NO_TESTS)):
        raise CollectionFailed(
            f"pytest ran without the plugin:\n{shown}",
            remedy="remove `-p no:tokenbudget`, and where plugins are not loaded by themselves add `-p tokenbudget`",
        )
    if told.stored is None or told.exit_code not in (0, _NO_TESTS):
        raise CollectionFailed(
            f"pytest cannot collect the tests (exit code {told.exit_code}):\n{shown}",
            remedy="make `python -m pytest --collect-only` succeed, in this folder and with this Python",
        )
    if told.stored["narrowed"]:
        raise CollectionFailed(
            f"pytest looked at some of the tests only: {told.stored['narrowed']}",
            remedy="remove it from addopts and PYTEST_ADDOPTS",
        )
    stored = told.stored
    return Collection(
        tests=tuple(CollectedTest(Path(file), key, Path(cassette)) for file, key, cassette in stored["tests"]),
        files={Path(file): complete for file, complete in stored["files"]},
        patterns=tuple(stored["patterns"]),
        redact=tuple(stored["redact"]),
        allow_secret=tuple(stored["allow_secret"]),
        encodings=tuple(stored["encodings"]),
        cassette_limit=int(stored["cassette_limit"]),
    )
