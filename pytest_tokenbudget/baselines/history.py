"""Reads the newest revisions of baseline files in git, as files are read today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget import git
from pytest_tokenbudget.baselines.format import load
from pytest_tokenbudget.errors import GitError, TokenBudgetError
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.baseline import BaselineEntry

REVISIONS = 30
"""Revisions of a file that are read, the newest ones."""

MOST_BYTES = 24 * 2**20
"""Bytes of old files that are read together: about half a second."""

LARGEST_FILE = 8 * 2**20
"""Bytes of one old file that are read."""

NOTABLE = 0.005
"""Relative change of a stored value from which on it is a jump."""

NOTABLE_TIME = 0.1
"""The relative change from which on a time has jumped."""

_TIMES = frozenset(spec.name for spec in BUILTIN_METRICS if spec.timed)


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that changed a baseline file.

    Attributes:
        commit: Its full hash.
        time: When it was committed, s since 1970.
        subject: First line of its message, as it was written: hostile text.
        entries: What the file held, by test key; empty where the commit removed it.
    """

    commit: str
    time: int
    subject: str
    entries: Mapping[str, BaselineEntry]


@dataclass(frozen=True, slots=True)
class StoredValue:
    """The value of a metric that a revision stored.

    Attributes:
        value: Mean of its newest session, in the metric's unit.
        origin: The value that was first stored or last accepted; ``None`` where it is not known.
        revision: The revision.
    """

    value: float
    origin: float | None
    revision: Revision


def stored_values(key: str, metric: str, revisions: Sequence[Revision]) -> list[StoredValue]:
    """The values of a metric of a test, oldest first; revisions that hold none are left out.

    Args:
        key: Key of the test in its file.
        metric: Full name of the metric.
        revisions: The revisions of its file, oldest first.
    """
    found: list[StoredValue] = []
    for revision in revisions:
        entry = revision.entries.get(key)
        record = entry.metrics.get(metric) or entry.pooled.get(metric) if entry is not None else None
        if record is not None and record.sessions and record.sessions[-1]:
            session = record.sessions[-1]
            found.append(StoredValue(sum(session) / len(session), record.origin, revision))
    return found


def is_jump(metric: str, before: float, now: float) -> bool:
    """Tell whether a stored value is notably another than before; times vary by themselves, so more is asked of them."""
    notable = NOTABLE_TIME if metric.rpartition(".")[2] in _TIMES else NOTABLE
    return abs(now - before) > notable * abs(before)


def histories(
    paths: Iterable[Path], *, revisions: int = REVISIONS, most_bytes: int = MOST_BYTES
) -> dict[Path, tuple[Revision, ...]]:
    """Read the past of baseline files: two runs of git for all files of a repository.

    Revisions that cannot be read (damaged, or of a newer format) are left out.

    Args:
        paths: The files, absolute; they need not exist any more.
        revisions: Most revisions of a file.
        most_bytes: Most bytes of all files together; the oldest revisions give way.

    Returns:
        The revisions of each file, oldest first; files without a past are left out. Empty where there is no git.
    """
    found: dict[Path, tuple[Revision, ...]] = {}
    for root, files in _by_repository(paths).items():
        try:
            found |= _read(root, files, revisions, most_bytes)
        except GitError:
            continue
    return found


def _by_repository(paths: Iterable[Path]) -> dict[Path, dict[str, Path]]:
    """The files of each repository, by their path in it."""
    roots: dict[Path, Path | None] = {}
    grouped: dict[Path, dict[str, Path]] = {}
    for path in sorted(set(paths)):
        folder = path.parent
        if folder not in roots:
            roots[folder] = _root_of(folder)
        root = roots[folder]
        place = folder.resolve() / path.name
        if root is not None and place.is_relative_to(root) and "\n" not in str(place):
            grouped.setdefault(root, {})[place.relative_to(root).as_posix()] = path
    return grouped


def _root_of(folder: Path) -> Path | None:
    try:
        return git.toplevel(folder) if folder.is_dir() else None
    except GitError:
        return None


@dataclass(frozen=True, slots=True)
class _Commit:
    """A commit as git lists it."""

    commit: str
    time: int
    subject: str


def _read(root: Path, files: Mapping[str, Path], revisions: int, most_bytes: int) -> dict[Path, tuple[Revision, ...]]:
    wanted: dict[str, list[_Commit]] = {}
    for commit, name in _changes(root, files):
        kept = wanted.setdefault(name, [])
        if name in files and len(kept) < revisions:
            kept.append(commit)
    # The newest of each file first, so that what does not fit is old.
    asked = [(commits[age], name) for age in range(revisions) for name, commits in wanted.items() if age < len(commits)]
    past: dict[Path, list[Revision]] = {}
    for (commit, name), data in zip(asked, _contents(root, asked, most_bytes), strict=False):
        try:
            entries = load(data, files[name]) if data else {}
        except TokenBudgetError:
            continue
        past.setdefault(files[name], []).append(Revision(commit.commit, commit.time, commit.subject, entries))
    return {path: tuple(reversed(found)) for path, found in past.items()}


def _changes(root: Path, files: Iterable[str]) -> Iterator[tuple[_Commit, str]]:
    """The commits that changed one of the files, newest first, once for each file."""
    listed = git.run_bytes(
        root,
        *(
            "-c",
            "log.showSignature=false",
            "log",
            "-z",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            "--name-only",
        ),
        *("--format=%x01%H%x02%ct%x02%s", "--", *files),
        timeout_s=git.TIMEOUT_S,
    )
    commit: _Commit | None = None
    for piece in listed.stdout.decode("utf-8", "replace").split("\0"):
        if piece.startswith("\x01"):
            name, when, subject = piece[1:].split("\x02", 2)
            commit = _Commit(name, int(when), subject)
        elif piece.strip("\n") and commit is not None:
            yield commit, piece.removeprefix("\n")


def _contents(root: Path, asked: Sequence[tuple[_Commit, str]], most_bytes: int) -> Iterator[bytes]:
    """The content of each file at each commit, empty where it was absent or too large, until the bytes are used up."""
    lines = "".join(f"{commit.commit}:{name}\n" for commit, name in asked).encode()
    sizes = git.run_bytes(root, "cat-file", "--batch-check=%(objectsize)", data=lines, timeout_s=git.TIMEOUT_S)
    kept = 0
    fits: list[bool] = []
    for said in sizes.stdout.splitlines():
        size = int(said) if said.isdigit() else 0
        kept += size if size <= LARGEST_FILE else 0
        if kept > most_bytes:
            break
        fits.append(0 < size <= LARGEST_FILE)
    lines = "".join(
        f"{commit.commit}:{name}\n" for (commit, name), fit in zip(asked, fits, strict=False) if fit
    ).encode()
    data = git.run_bytes(root, "cat-file", "--batch", data=lines, timeout_s=git.TIMEOUT_S).stdout
    place = 0
    for fit in fits:
        if not fit:
            yield b""
            continue
        head, _, _ = data[place : place + 200].partition(b"\n")
        size = int(head.rsplit(b" ", 1)[1])
        start = place + len(head) + 1
        yield data[start : start + size]
        place = start + size + 1
