"""Finds the cassettes of the tests that a user names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_tokenbudget.baselines.paths import cassette_directory, cassette_file_name
from pytest_tokenbudget.cli.targets import choose_keys
from pytest_tokenbudget.errors import WhatIfError
from pytest_tokenbudget.processes.collected import CollectedTest, collect


def own_cassette(test_file: Path, key: str) -> Path:
    """Give the path of a test's cassette where its marker gives it no name."""
    return cassette_directory(test_file) / cassette_file_name(f"{test_file.stem}.{key}")


def find_cassette(recording: str) -> Path:
    """Find the cassette that a user names: by its file, or by the node id of its test.

    Raises:
        WhatIfError: If there is none.
        CollectionFailed: If pytest cannot say which cassette the test's marker names.
    """
    file, _, key = recording.partition("::")
    if not key:
        return Path(recording)
    test_file = Path(file)
    own = own_cassette(test_file, key)
    if own.is_file():
        return own
    named = _named_cassettes(test_file, key) if test_file.is_file() else []
    there = [path for path in named if path.is_file()]
    if len(there) == 1:
        return there[0]
    if there:
        listed = ", ".join(map(str, there[:5]))
        raise WhatIfError(f"{recording}: these are {len(there)} tests with a cassette", remedy=f"name one: {listed}")
    others = sorted(own.parent.glob("*.jsonl")) if own.parent.is_dir() else []
    raise WhatIfError(
        f"{recording}: there is no cassette {named[0] if named else own}",
        remedy="record it, with token_budget(..., replay=True): "
        f"pytest {shlex.quote(recording)} --tokenbudget-traffic=record"
        + (f"; or name one of the files: {', '.join(map(str, others[:5]))}" if others else ""),
    )


def _named_cassettes(test_file: Path, key: str) -> list[Path]:
    """The cassettes that the markers of a test, or of the tests of a class or function, name."""
    tests = {test.key: test.cassette for test in _collected([test_file])}
    return list(dict.fromkeys(_relative(tests[found]) for found in choose_keys(tests, key) if found in tests))


def cassettes_of(nodeids: Iterable[str], *, replayed: Iterable[str]) -> dict[str, Path]:
    """The cassettes of tests, as far as they are there.

    Args:
        nodeids: The tests.
        replayed: Those of them whose markers are asked for another name where they have none under their own.
    """
    tests = {nodeid: nodeid.partition("::") for nodeid in nodeids}
    own = {nodeid: own_cassette(Path(file), key) for nodeid, (file, _, key) in tests.items() if key}
    found = {nodeid: path for nodeid, path in own.items() if path.is_file()}
    missing = {nodeid: Path(tests[nodeid][0]) for nodeid in replayed if nodeid not in found}
    marked = marked_cassettes(missing.values())
    named = {nodeid: marked.get((file.resolve(), tests[nodeid][2])) for nodeid, file in missing.items()}
    return found | {nodeid: path for nodeid, path in named.items() if path is not None and path.is_file()}


def marked_cassettes(test_files: Iterable[Path]) -> dict[tuple[Path, str], Path]:
    """The cassettes that the markers of some test files name, by file and key; pytest is asked once."""
    files = sorted({path.resolve() for path in test_files if path.is_file()})
    found = _collected(files) if files else ()
    by_baseline = {file.parent / "__budgets__" / f"{file.stem}.json": file for file in files}
    return {(by_baseline[test.baseline], test.key): test.cassette for test in found if test.baseline in by_baseline}


def _collected(test_files: Sequence[Path]) -> Sequence[CollectedTest]:
    return collect([str(path) for path in test_files], place=Path.cwd()).tests


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def tests_folder(cassette: Path) -> Path:
    """The folder of the tests that a cassette belongs to; the working directory where it lies somewhere else."""
    tests = cassette.parent.parent.parent
    return tests if cassette.parent == cassette_directory(tests / "test.py") else Path()
