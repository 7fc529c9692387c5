"""What a store of baselines can do: the shape behind the hook ``pytest_tokenbudget_baseline_store``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

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

    def read(self, path: Path) -> dict[str, BaselineEntry]:
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
