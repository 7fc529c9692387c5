"""The base as a directory: a revision is checked out for as long as it is needed, and nothing of it stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget import git
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.processes.interrupts import deferred

PREFIX = "tokenbudget-ab-"
"""Beginning of the name of the temporary directory that a base is checked out in."""

_LOCK = "in-use.lock"
_OTHER_BASE = "give the code before the change: `main`, `HEAD~1` or a directory"


@dataclass(frozen=True, slots=True)
class Sides:
    """The two trees.

    Attributes:
        base: Root of the base's tree.
        head: Root of the tree as it is.
        inside: The current directory, relative to the head's root: where both sides run.
        name: What the base is called: ``main (1a2b3c4)``.
    """

    base: Path
    head: Path
    inside: Path
    name: str


@contextmanager
def sides(base: str, here: Path, *, same_code: bool = False) -> Iterator[Sides]:
    """Open the trees that are compared.

    Args:
        base: A git revision, or a directory. What is both is taken for a revision (``./name`` is a directory).
        here: The current directory.
        same_code: Whether the base may be the code of the head itself.

    Raises:
        ABError: If the base is neither, is the head's own code, or cannot be checked out.
    """
    here = here.resolve()
    root = git.toplevel(here) if shutil.which("git") else None
    if not base.strip():
        raise ABError(f"BASE is empty ({base!r}): a variable that is not set?", remedy=_OTHER_BASE)
    found = git.commit(root, base) if root is not None else None
    if root is None or found is None:
        trees = _directory(base, here, root)
        if not same_code and _is_same_code(trees):
            raise _same_code(base)
        yield trees
        return
    if not same_code and git.tree(root) is not None and git.tree(root) == git.tree(root, found):
        raise _same_code(base)
    prune(root)
    with _checked_out(root, found) as tree:
        inside = here.relative_to(root)
        if not (tree / inside).is_dir():
            raise ABError(
                f"{base} has no directory {inside.as_posix()}", remedy="run it where both sides have the tests"
            )
        yield Sides(tree, root, inside, base if found.startswith(base) else f"{base} ({found[:7]})")


def _is_same_code(trees: Sides) -> bool:
    """Tell whether two directories are one, or are checkouts of the same files."""
    if trees.base == trees.head:
        return True
    own = git.tree(trees.head) if (trees.head / ".git").exists() and (trees.base / ".git").exists() else None
    return own is not None and own == git.tree(trees.base)


def _same_code(base: str) -> ABError:
    return ABError(
        f"BASE {base!r} is the code of the working tree itself, so that nothing can differ",
        remedy=f"{_OTHER_BASE}; `--same-code` compares it all the same, to see the noise",
    )


def _directory(base: str, here: Path, root: Path | None) -> Sides:
    other = (here / base).resolve()
    if not other.is_dir():
        where = "no git repository was found here" if root is None else "it is no revision of this repository"
        raise ABError(
            f"BASE {base!r}: {where}, and there is no such directory",
            remedy="give a revision (`main`, `HEAD~1`, fetched first where it is a remote one) or a directory",
        )
    # A second checkout is the counterpart of this one; any other directory is that of the current directory.
    if root is not None and (other / ".git").exists() and other != root:
        return Sides(other, root, here.relative_to(root), base)
    return Sides(other, here, Path(), base)


@contextmanager
def _checked_out(root: Path, commit: str) -> Iterator[Path]:
    from filelock import FileLock

    place: Path | None = None
    lock: FileLock | None = None
    try:
        with deferred():
            place = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
            lock = FileLock(place / _LOCK)
            lock.acquire()
            tree = place / "tree"
            done = git.run(root, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        if done.returncode:
            raise ABError(
                f"git cannot check {commit[:12]} out: {done.stderr.strip() or done.stdout.strip()}",
                remedy="fix what git says, or check it out yourself and give the directory as BASE",
            )
        yield tree
    finally:
        with deferred():
            if lock is not None:
                lock.release()
            if place is not None:
                _remove(root, place)


def _remove(root: Path, place: Path) -> None:
    """Remove a checked-out tree and what git knows of it."""
    tree = place / "tree"
    # Twice --force: also where git was killed while it checked the tree out, which leaves a lock.
    git.run(root, "worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(place, ignore_errors=True)
    git.run(root, "worktree", "unlock", str(tree))
    git.run(root, "worktree", "prune")


def prune(root: Path) -> None:
    """Remove trees that an earlier run left behind because it was killed; those that are in use stay."""
    for tree in git.worktrees(root):
        place = tree.parent
        if tree.name == "tree" and place.name.startswith(PREFIX) and not _in_use(place):
            with deferred():
                _remove(root, place)


def _in_use(place: Path) -> bool:
    """Tell whether the process that checked a tree out is alive: it holds a lock that the system takes back from the dead."""
    from filelock import FileLock, Timeout

    path = place / _LOCK
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        # Another user's: theirs to put away.
        return not os.access(path, os.W_OK)
    lock.release()
    return False
