"""Writes files in one step, keeps two sessions apart, keeps values between sessions, and shows paths."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class FileLocked(Exception):
    """Another session has been writing the file for longer than we wait; ``lock`` is the lock's file."""

    def __init__(self, lock: Path) -> None:
        super().__init__(str(lock))
        self.lock = lock


def write_atomically(path: Path, data: bytes, *, mode: int | None = None, follow_link: bool = True) -> None:
    """Replace a file in one step: a reader sees the old content or the new one, also where this process dies.

    Args:
        path: The file; missing directories are made.
        data: Its new content.
        mode: Permissions of the new file, ``0o600``; ``None``: those of the old file, or what the umask gives.
        follow_link: Whether a symbolic link is followed; else the link itself is replaced by the file.

    Raises:
        OSError: If the file cannot be written, or may not be: a file that is read-only is not replaced. The old file stays
            as it was and nothing is left beside it.
    """
    target = Path(os.path.realpath(path)) if follow_link else path
    # The name is short on purpose: a target's name may already be as long as the file system allows.
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(6).hex()}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not target.is_symlink() and target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    try:
        _write_new(temporary, data, mode=_mode_of(target) if mode is None else mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode_of(path: Path) -> int | None:
    """The permissions of a file that exists."""
    try:
        return path.lstat().st_mode & 0o777
    except OSError:
        return None


def _write_new(path: Path, data: bytes, *, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666 if mode is None else mode)
    with open(descriptor, "wb") as file:
        if mode is not None:
            path.chmod(mode)
        # No fsync: it takes up to 10 ms a file on a busy disk. After a power cut the file may be empty at worst, which
        # is refused when it is read and which git brings back.
        file.write(data)


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Keep other sessions of this machine from writing a file.

    The lock lies in the system's temporary directory, under a name made from the file's real path, so that it leaves
    nothing in the repository. It belongs to the process: one that dies gives it back.

    Args:
        path: The file; it need not exist.
        timeout_s: How long to wait for another session, s.

    Raises:
        FileLocked: If another session holds it too long.
        OSError: If no lock can be made; its ``filename`` is the lock's.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]
    file = Path(tempfile.gettempdir()) / f"pytest-tokenbudget-{name}.lock"
    # Mode 0o666: another user who works on the same checkout must be able to open it too.
    lock = FileLock(file, timeout=timeout_s, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        raise FileLocked(file) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(file)) from error
    try:
        yield
    finally:
        lock.release()


class DiskCache:
    """Keeps values between sessions in one file. Its keys name what was read by a digest, never by its text.

    It may be lost at any time. A file that is damaged, or that another version of a library made, counts as empty and is
    replaced. Where no file can be written, nothing is kept. Processes that save at the same time replace the whole file, so
    one of them may have to work its values out again.

    Args:
        path: The file; ``None`` keeps nothing.
        libraries: The distributions whose versions the values depend on.
        form: Number of the values' own form: another number when this package gives them another shape or meaning.
        most: Number of values that are kept; the oldest go first.
    """

    def __init__(self, path: Path | None, *, libraries: Sequence[str], form: int, most: int) -> None:
        self._path = path
        self._libraries = libraries
        self._form = form
        self._most = most
        self._values: dict[str, Any] | None = None
        self._added: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """The JSON value under a key, of any shape; ``None`` where there is none."""
        if self._values is None:
            self._values = {**self._stored(), **self._added}
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self._added[key] = value
        if self._values is not None:
            self._values[key] = value

    def save(self) -> None:
        """Write what was added, on top of what other sessions have written meanwhile."""
        if self._path is None or not self._added:
            return
        self._values = values = {**self._stored(), **self._added}
        self._added = {}
        kept = {"made_by": self._made_by(), "values": dict(list(values.items())[-self._most :])}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(kept).encode(), mode=0o600)

    def _stored(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_bytes()) if self._path is not None else None
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(kept, dict) or kept.get("made_by") != self._made_by():
            return {}
        values = kept.get("values")
        return values if isinstance(values, dict) else {}

    def _made_by(self) -> list[Any]:
        return [self._form, *map(_version, self._libraries)]


def _version(library: str) -> str:
    """Name a distribution with its installed version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return library


def shown_path(path: Path, root: Path) -> str:
    """A path as people read it: relative to ``root`` where it lies within, with forward slashes."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
