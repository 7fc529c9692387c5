"""The places of stored files: a test file's baseline, references and cassettes, and the reference of production."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path

from pytest_tokenbudget.errors import BaselineError

DIRECTORY = "__budgets__"
CASSETTES = "cassettes"
BASELINE = "baseline"
"""The name that stands for the baseline itself wherever a reference can be named (``against="baseline"``)."""

LAST_RUN = Path(".pytest_cache", "d", "tokenbudget", "last-run.json")
"""The JSON report of the last run that failed against stored numbers, in pytest's cache below its root directory."""
PRODUCTION = "production"
_BEGINNING = 200
"""Bytes at the beginning of a file that tell its kind."""

"""The kind of a file that holds measurements of production, and the name that it has where none is given."""

_CASSETTE_NAME_CHARACTERS, _CASSETTE_NAME_BYTES = 100, 180
"""The length that is kept of a name. Common file systems allow 255 bytes; a temporary file beside it has a short name."""

_NAME = re.compile(r"\w(?:[\w.+-]{0,98}[\w+-])?")
_RESERVED = frozenset({CASSETTES, BASELINE})


def baseline_path(test_file: Path, against: str = BASELINE) -> Path:
    """Path of the stored measurements of a test file.

    Args:
        test_file: The test file, ``tests/test_calendar.py``.
        against: ``"baseline"``, or the name of a reference.

    Returns:
        ``tests/__budgets__/test_calendar.json``, or ``tests/__budgets__/NAME/test_calendar.json`` for a reference.

    Raises:
        BaselineError: If the name of the reference is none that a directory can have.
    """
    directory = test_file.parent / DIRECTORY
    if against != BASELINE:
        directory /= check_reference(against)
    return directory / f"{test_file.stem}.json"


def cassette_directory(test_file: Path) -> Path:
    """Directory of the cassettes of the test files that lie beside ``test_file``."""
    return test_file.parent / DIRECTORY / CASSETTES


def cassette_file_name(name: str) -> str:
    """Make the name of a cassette's file: readable, and one that every file system takes.

    Args:
        name: The marker's own name, or that of the test file and the test.

    Returns:
        ``calendar.jsonl``; where something of the name cannot stand in a file's name, or it is too long, a fingerprint of
        the whole name follows what is left.
    """
    readable = re.sub(r"[^\w.+-]+", "-", name).strip("-.")
    # File systems count bytes; what is cut is cut between characters.
    readable = readable[:_CASSETTE_NAME_CHARACTERS].encode()[:_CASSETTE_NAME_BYTES].decode("utf-8", "ignore")
    if readable != name:
        readable = f"{readable}-{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"
    return f"{readable}.jsonl"


def check_reference(name: str) -> str:
    """Check the name of a reference and give it back.

    Args:
        name: What the user wrote, ``before``.

    Returns:
        The name.

    Raises:
        BaselineError: If it is empty, longer than 100 characters, holds a separator or another character that does not
            belong in a file's name, begins or ends with a dot, or is ``baseline`` or ``cassettes``.
    """
    if name.casefold() in _RESERVED:
        what = "the baseline itself" if name.casefold() == BASELINE else "the directory of the cassettes"
        raise BaselineError(
            f"{name!r} cannot be the name of a reference: it stands for {what}",
            remedy="choose another name, such as before",
        )
    if not _NAME.fullmatch(name):
        raise BaselineError(
            f"{name!r} cannot be the name of a reference: it becomes a directory in {DIRECTORY}",
            remedy="use letters, digits, '_', '-', '+' and '.' (not first, not last), 100 characters at most",
        )
    return name


def references(test_file: Path) -> tuple[str, ...]:
    """Names of the references that hold measurements of a test file, sorted."""
    name = f"{test_file.stem}.json"
    found = (path.parent.name for path in (test_file.parent / DIRECTORY).glob(f"*/{name}"))
    return tuple(sorted(name for name in found if name.casefold() not in _RESERVED))


def production_path(folder: Path, name: str = PRODUCTION) -> Path:
    """Give the path of a folder's reference: ``FOLDER/__budgets__/NAME.json``.

    Raises:
        BaselineError: If the name is none that a reference can have.
    """
    return folder / DIRECTORY / f"{check_reference(name)}.json"


def find_production(reference: Path, root: Path) -> Path | None:
    """The file of production that stands in for a reference of a test file.

    Args:
        reference: The reference's path, ``tests/agents/__budgets__/production/test_calendar.json``.
        root: The root directory; folders above it are not looked into.

    Returns:
        The nearest ``__budgets__/production.json`` on the way from the test to the root; ``None`` where there is none.
    """
    name = reference.parent.name
    folder = reference.parent.parent.parent
    while True:
        candidate = folder / DIRECTORY / f"{name}.json"
        if candidate.is_file():
            return candidate
        if folder in (root, folder.parent) or not folder.is_relative_to(root):
            return None
        folder = folder.parent


def is_production(path: Path) -> bool:
    """Tell from its place and its beginning whether a file holds measurements of production."""
    if path.parent.name != DIRECTORY:
        return False
    try:
        with path.open("rb") as file:
            return begins_as_production(file.read(_BEGINNING))
    except OSError:
        return False


def begins_as_production(data: bytes) -> bool:
    """Tell from its beginning whether a file holds measurements of production."""
    return f'"kind": "{PRODUCTION}"'.encode() in data[:_BEGINNING]
