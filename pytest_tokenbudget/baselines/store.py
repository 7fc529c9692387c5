"""Baselines in files beside the tests: what is used where no hook brings another store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from pytest_tokenbudget.baselines import files
from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.baselines.protocol import Change
from pytest_tokenbudget.records.baseline import BaselineEntry


class JsonStore:
    """Baselines as JSON files that are committed and reviewed.

    Args:
        lock_timeout_s: How long to wait for another session that writes the same file, s.
    """

    def __init__(self, *, lock_timeout_s: float = files.LOCK_TIMEOUT_S) -> None:
        self._lock_timeout_s = lock_timeout_s
        self._parsed: dict[Path, tuple[bytes, dict[str, BaselineEntry]]] = {}

    def read(self, path: Path) -> dict[str, BaselineEntry]:
        """All entries of a file; none where there is no file. See :class:`~.protocol.BaselineStore`.

        The file is always read, but parsed only where its bytes are not those of the last time.
        """
        data = files.read_bytes(path)
        if data is None:
            return {}
        known = self._parsed.get(path)
        if known is None or known[0] != data:
            known = self._parsed[path] = (data, load(data, path))
        return dict(known[1])

    def update(self, path: Path, changes: Mapping[str, Change]) -> bool:
        """Change some entries of a file. See :class:`~.protocol.BaselineStore`.

        The file is read again under the lock, so what another session wrote meanwhile is what the changes start from.
        It is replaced only where an entry differs afterwards: else not even its time stamp moves.
        """
        if not changes:
            return False
        with files.exclusive(path, timeout_s=self._lock_timeout_s):
            standing = self.read(path)
            entries = dict(standing)
            for key, change in changes.items():
                if (entry := change(standing.get(key))) is None:
                    entries.pop(key, None)
                else:
                    entries[key] = entry
            return self._replace(path, standing, entries)

    def prune(self, path: Path, existing: Collection[str]) -> tuple[str, ...]:
        """Remove the entries of tests that exist no more; a file without entries goes too.

        See :class:`~.protocol.BaselineStore`.
        """
        with files.exclusive(path, timeout_s=self._lock_timeout_s):
            standing = self.read(path)
            entries = {key: entry for key, entry in standing.items() if key in existing}
            self._replace(path, standing, entries)
        return tuple(sorted(standing.keys() - entries.keys()))

    def _replace(self, path: Path, standing: Mapping[str, BaselineEntry], entries: Mapping[str, BaselineEntry]) -> bool:
        if entries == standing:
            return False
        if entries:
            files.write_bytes(path, dump(entries))
        else:
            files.remove(path)
        return True
