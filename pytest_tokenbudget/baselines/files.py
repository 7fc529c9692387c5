"""Files that two sessions may write at once: a lock, and a file that is either the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_tokenbudget.errors import BaselineError

LOCK_TIMEOUT_S = 30.0


def read_bytes(path: Path) -> bytes | None:
    """The content of a file, ``None`` where there is none.

    Raises:
        BaselineError: If something stands there that cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, "read", error) from error


@contextlib.contextmanager
def exclusive(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Keep other sessions of this machine from writing a file.

    The lock lies in the system's temporary directory, under a name made from the file's real path, so that it leaves
    nothing in the repository. It belongs to the process: one that dies gives it back.

    Args:
        path: The file; it need not exist.
        timeout_s: How long to wait for another session, s.

    Raises:
        BaselineError: If another session holds it too long, or no lock can be made.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]
    file = Path(tempfile.gettempdir()) / f"pytest-tokenbudget-{name}.lock"
    # Mode 0o666: another user who works on the same checkout must be able to open it too.
    lock = FileLock(file, timeout=timeout_s, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        raise BaselineError(
            f"{path}: another session has been writing it for {timeout_s:g} s (lock: {file})",
            remedy="wait for the other pytest session, or stop it, and run again",
        ) from None
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be locked: {file}: {error.strerror or error}",
            remedy="set TMPDIR to a directory that can be written",
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step: whoever reads it sees the old content or the new, also where this process dies.

    Args:
        path: The file; missing directories are made, a symbolic link is followed.
        data: Its new content.

    Raises:
        BaselineError: If it cannot be written, or may not be: a file that is read-only is not replaced either. The old
            file stays as it was and nothing is left beside it.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            _write_new(temporary, data, like=target)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _failed(path, "written", error) from error


def _write_new(path: Path, data: bytes, *, like: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "wb") as file:
        with contextlib.suppress(FileNotFoundError):
            path.chmod(like.stat().st_mode & 0o777)
        # No fsync: it takes up to 10 ms a file on a busy disk. After a power cut the file may be empty at worst, which
        # is refused when it is read and which git brings back.
        file.write(data)


def remove(path: Path) -> None:
    """Remove a file.

    Raises:
        BaselineError: If it cannot be removed.
    """
    try:
        Path(os.path.realpath(path)).unlink(missing_ok=True)
    except OSError as error:
        raise _failed(path, "removed", error) from error


def _failed(path: Path, what: str, error: OSError) -> BaselineError:
    if isinstance(error, (IsADirectoryError, NotADirectoryError)) or path.is_dir():
        remedy = "a directory and a file have changed places: move what stands in the way"
    elif isinstance(error, PermissionError) and what == "read":
        remedy = f"make {path} readable"
    elif isinstance(error, PermissionError):
        place = path if path.exists() and not os.access(path, os.W_OK) else path.parent
        remedy = f"make {place} writable, or run without --tokenbudget-update and with --tokenbudget-missing=fail"
    else:
        remedy = "free the disk or fix the file system, and run again"
    reason = error.strerror or type(error).__name__
    return BaselineError(f"{path}: cannot be {what}: {reason}", remedy=remedy)
