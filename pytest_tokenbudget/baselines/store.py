"""A store of baselines: the shape behind a hook, and the store of files beside the tests that is used without one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from pytest_tokenbudget import files
from pytest_tokenbudget.baselines.format import Entries, dump, format_of, load
from pytest_tokenbudget.baselines.migrations import FORMAT
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.files import DiskCache
from pytest_tokenbudget.records.baseline import BaselineEntry

Change = Callable[[BaselineEntry | None], BaselineEntry | None]
"""From the entry that stands in the store now (``None``: there is none) to the one that shall stand there.

Returning the argument itself leaves the entry alone; returning ``None`` removes it. It is called under the store's
lock with what another session may have written a moment ago, so it must not rest on an entry that was read earlier.
"""


class BaselineStore(Protocol):
    """Reads and writes the baselines of one test file at a time.

    A path names a baseline (``tests/__budgets__/test_calendar.json``). A store that is not made of files may take it as
    a mere key.
    """

    def read(self, path: Path) -> Mapping[str, BaselineEntry]:
        """Read all entries of a test file.

        Args:
            path: The baseline's path.

        Returns:
            Entries by key (node id within the test file); empty where nothing is stored.

        Raises:
            BaselineError: If something is stored that cannot be read.
        """

    def update(self, path: Path, changes: Mapping[str, Change]) -> bool:
        """Change some entries, in one step that no other session can interrupt.

        Args:
            path: The baseline's path.
            changes: What becomes of an entry, by its key; entries without a change stay as they stand now.

        Returns:
            Whether anything was written. Nothing is where the changes leave all as it is.

        Raises:
            BaselineError: If it cannot be read or written; what was stored stays as it was.
        """

    def prune(self, path: Path, existing: Collection[str]) -> tuple[str, ...]:
        """Remove the entries of tests that exist no more.

        Args:
            path: The baseline's path.
            existing: Keys of the tests that exist.

        Returns:
            The keys that were removed, sorted.

        Raises:
            BaselineError: As for :meth:`update`.
        """


LOCK_TIMEOUT_S = 30.0


class JsonStore:
    """Keeps baselines as JSON files that are committed and reviewed.

    Args:
        lock_timeout_s: How long to wait for another session that writes the same file, s.
        checked: Files that were found to be valid, see :func:`~.format.checked_cache`.
    """

    def __init__(self, *, lock_timeout_s: float = LOCK_TIMEOUT_S, checked: DiskCache | None = None) -> None:
        self._checked = checked
        self._lock_timeout_s = lock_timeout_s
        self._parsed: dict[Path, tuple[bytes, Entries]] = {}

    def read(self, path: Path) -> Mapping[str, BaselineEntry]:
        """Read all entries of a file; none where there is no file. See :class:`BaselineStore`.

        The file is always read, but parsed only where its bytes are not those of the last time.
        """
        return self._entries(path)

    def _entries(self, path: Path) -> Entries:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Entries({})
        except OSError as error:
            raise _failed(path, "read", error) from error
        known = self._parsed.get(path)
        if known is None or known[0] != data:
            known = self._parsed[path] = (data, load(data, path, checked=self._checked))
        return known[1]

    def update(self, path: Path, changes: Mapping[str, Change]) -> bool:
        """Change some entries of a file. See :class:`BaselineStore`.

        The file is read again under the lock, so what another session wrote meanwhile is what the changes start from.
        It is replaced only where an entry differs afterwards: else not even its time stamp moves.
        """
        if not changes:
            return False
        with self._exclusive(path):
            standing = self._entries(path)
            changed: dict[str, BaselineEntry | None] = {}
            for key, change in changes.items():
                before = standing.get(key)
                after = change(before)
                # Once the file is to be written, whether one more entry differs is worth no comparison.
                if after is not before and (changed or after != before):
                    changed[key] = after
            self._replace(path, standing, changed)
        return bool(changed)

    def prune(self, path: Path, existing: Collection[str]) -> tuple[str, ...]:
        """Remove the entries of tests that exist no more; a file without entries goes too.

        See :class:`BaselineStore`.
        """
        with self._exclusive(path):
            standing = self._entries(path)
            gone = standing.keys() - set(existing)
            self._replace(path, standing, dict.fromkeys(gone))
        return tuple(sorted(gone))

    def migrate(self, path: Path) -> bool:
        """Write a file of an older format in the format of now; its entries stay what they are.

        Returns:
            Whether the file was of an older format.

        Raises:
            BaselineError: If it cannot be read or written; the file stays as it was.
        """
        with self._exclusive(path):
            entries = dict(self.read(path))
            data = path.read_bytes()
            if format_of(data) == FORMAT:
                return False
            written = dump(entries)
            if load(written, path) != entries:
                raise BaselineError(
                    f"{path}: its figures would not be the same in format {FORMAT}; it stays as it is",
                    remedy="pytest --tokenbudget-update measures them anew",
                )
            try:
                files.write_atomically(path, written)
            except OSError as error:
                raise _failed(path, "written", error) from error
        return True

    def _replace(self, path: Path, standing: Entries, changed: Mapping[str, BaselineEntry | None]) -> None:
        """Write the entries that changed, ``None`` for those that go, beside those that stand."""
        if not changed:
            return
        kept = {key: document for key, document in standing.documents.items() if key not in changed}
        entries = {key: entry for key, entry in changed.items() if entry is not None}
        if kept or entries:
            data = dump(entries, kept=kept)
            try:
                files.write_atomically(path, data)
            except OSError as error:
                raise _failed(path, "written", error) from error
        else:
            try:
                Path(os.path.realpath(path)).unlink(missing_ok=True)
            except OSError as error:
                raise _failed(path, "removed", error) from error

    @contextlib.contextmanager
    def _exclusive(self, path: Path) -> Iterator[None]:
        """Hold the file's lock."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.locked(path, timeout_s=self._lock_timeout_s))
            except files.FileLocked as busy:
                raise BaselineError(
                    f"{path}: another session has been writing it for {self._lock_timeout_s:g} s (lock: {busy.lock})",
                    remedy="wait for the other pytest session, or stop it, and run again",
                ) from None
            except OSError as error:
                raise BaselineError(
                    f"{path}: cannot be locked: {error.filename}: {error.strerror}",
                    remedy="set TMPDIR to a directory that can be written",
                ) from error
            yield


def _failed(path: Path, what: str, error: OSError) -> BaselineError:
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)) or path.is_dir():
        remedy = "a directory and a file have changed places: move what stands in the way"
    elif isinstance(error, PermissionError) and what == "read":
        remedy = f"make {path} readable"
    elif isinstance(error, PermissionError):
        place = path if path.exists() and not os.access(path, os.W_OK) else path.parent
        remedy = f"make {place} writable, or run without --tokenbudget-update and with --tokenbudget-missing=fail"
    else:
        remedy = "free the disk or repair the file system, and run again"
    reason = error.strerror or type(error).__name__
    return BaselineError(f"{path}: cannot be {what}: {reason}", remedy=remedy)
