"""The few questions that are asked of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pytest_tokenbudget.errors import ABError

_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
"""Set where git runs a hook; they would point every git command at the wrong work tree."""


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a directory.

    Returns:
        What became of it; the caller looks at the return code.

    Raises:
        ABError: If there is no git.
    """
    clean = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    try:
        return subprocess.run(
            ["git", "-C", str(place), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=clean | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ABError(
            f"git cannot be run: {error.strerror or error}",
            remedy="install git, or give a directory instead of a revision",
        ) from error


def toplevel(place: Path) -> Path | None:
    """The root of the work tree that a directory lies in, ``None`` outside of one."""
    found = run(place, "rev-parse", "--show-toplevel")
    return Path(found.stdout.rstrip("\n")).resolve() if found.returncode == 0 and found.stdout.strip() else None


def commit(place: Path, revision: str) -> str | None:
    """The full name of the commit that a revision names, ``None`` where it names none."""
    if revision.startswith("-"):
        return None
    found = run(place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.stdout.strip() or None if found.returncode == 0 else None


def tree(place: Path, revision: str = "HEAD") -> str | None:
    """The hash of all files of a revision; of ``HEAD`` with what is not committed ``None``, where that is anything."""
    if revision == "HEAD" and run(place, "status", "--porcelain").stdout.strip():
        return None
    found = run(place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{tree}}")
    return found.stdout.strip() or None if found.returncode == 0 else None


def worktrees(place: Path) -> list[Path]:
    """Paths of all work trees that the repository knows, also of those whose directory is gone."""
    listed = run(place, "worktree", "list", "--porcelain").stdout.splitlines()
    return [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
