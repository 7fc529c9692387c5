"""The place of a test, and of its stored numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import BASELINE, baseline_path, find_production
from pytest_tokenbudget.files import shown_path


@dataclass(frozen=True, slots=True)
class TestLocation:
    """The place of a test, and of its stored numbers.

    Attributes:
        nodeid: pytest's node id, without what pytest-xdist adds to it.
        key: Key of the test in its baseline file.
        line: Line of its file in which it begins, from 1; ``None`` where that is not known.
        baseline: The baseline file, absolute.
        compared_with: The file that it is compared with: the baseline, or a reference.
        shown: That file relative to pytest's root directory.
    """

    __test__ = False

    nodeid: str
    key: str
    line: int | None
    baseline: Path
    compared_with: Path
    shown: str

    @classmethod
    def of(cls, item: pytest.Item, against: str) -> TestLocation:
        """The location of a test that is compared with a baseline or reference."""
        nodeid = plain_nodeid(item)
        compared_with = baseline_path(item.path, against)
        if against != BASELINE and not compared_with.exists():
            compared_with = find_production(compared_with, item.config.rootpath) or compared_with
        line = item.location[1]
        return cls(
            nodeid=nodeid,
            key=nodeid.partition("::")[2] or nodeid,
            line=None if line is None else line + 1,
            baseline=baseline_path(item.path),
            compared_with=compared_with,
            shown=shown_path(compared_with, item.config.rootpath),
        )


def plain_nodeid(item: pytest.Item) -> str:
    """The node id without the groups that pytest-xdist appends to it under ``--dist=loadgroup``."""
    plain = f"{item.parent.nodeid}::{item.name}" if item.parent is not None else item.nodeid
    return plain if item.nodeid.startswith(f"{plain}@") else item.nodeid
