"""The few questions that are asked of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pytest_tokenbudget.errors import GitError

TIMEOUT_S = 60.0
"""A repository on a network that answers nothing ends a command with an error instead of holding the session."""

_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
"""Set where git runs a hook; they would point every git command at the wrong work tree."""


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a directory.

    Returns:
        What became of it; the caller looks at the return code.

    Raises:
        GitError: If there is no git.
    """
    done = run_bytes(place, *arguments)
    texts = (done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)


def run_bytes(
    place: Path, *arguments: str, data: bytes | None = None, timeout_s: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a directory, bytes in and bytes out.

    Paths among the arguments are taken as they are: no pattern and no sign in them means anything.

    Args:
        place: The directory.
        arguments: Those of git.
        data: What it reads.
        timeout_s: When it is given up, s; ``None`` waits as long as it takes.

    Raises:
        GitError: If there is no git, or it is given up.
    """
    clean = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    try:
        return subprocess.run(
            ["git", "-C", str(place), *arguments],
            capture_output=True,
            check=False,
            env=clean | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"},
            input=data or b"",
            start_new_session=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(
            f"git {arguments[0]} takes longer than {error.timeout:g} s", remedy="run it once by hand"
        ) from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror or error}", remedy="install git") from error


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


def last_commit(file: Path) -> str | None:
    """The last commit that changed a file, ``None`` where git knows none."""
    found = run(file.parent, "log", "-1", "--format=%H", "--", file.name)
    return found.stdout.strip() or None if found.returncode == 0 else None


def blob(file: Path, revision: str) -> bytes | None:
    """The content of a file at a commit, ``None`` where it was not there."""
    found = run_bytes(file.parent, "cat-file", "blob", f"{revision}:./{file.name}")
    return found.stdout if found.returncode == 0 else None


def worktrees(place: Path) -> list[Path]:
    """Paths of all work trees that the repository knows, also of those whose directory is gone."""
    listed = run(place, "worktree", "list", "--porcelain").stdout.splitlines()
    return [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
