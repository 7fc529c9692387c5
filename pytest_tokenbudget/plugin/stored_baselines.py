"""Where the numbers of a session's tests are stored, and the baselines themselves: read once each, and only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import BASELINE, baseline_path, find_production, is_production
from pytest_tokenbudget.baselines.store import BaselineStore
from pytest_tokenbudget.compare.rules import expand
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, MetricSpec
from pytest_tokenbudget.plugin.pytest_internals import plain_nodeid
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.stats.log_ratio import ScalePrior

EVERY_TEST = "*"
"""Key of an entry that all tests share."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The files of a test's stored numbers.

    Attributes:
        baseline: The baseline file, absolute.
        compared_with: The file that the test is compared with: the baseline, or a reference.
        shown: That file relative to pytest's root directory.
    """

    baseline: Path
    compared_with: Path
    shown: str


@dataclass(frozen=True, slots=True)
class TestLocation:
    """The place of a test, and of its stored numbers.

    Attributes:
        nodeid: pytest's node id, without what pytest-xdist adds to it.
        key: Key of the test in its baseline file.
        line: Line of its file in which it begins, from 1; ``None`` where that is not known.
        files: Where its numbers are stored.
    """

    __test__ = False

    nodeid: str
    key: str
    line: int | None
    files: StoredFiles


class StoredBaselines:
    """Finds and reads the baselines and references that the tests of a session are compared with.

    Args:
        store: Where they are.
        table: The known metrics.
    """

    def __init__(self, store: BaselineStore, table: Mapping[str, MetricSpec]) -> None:
        self._store = store
        self._table = table
        self._expected: Mapping[pytest.Item, Budget] = {}
        self._files: dict[tuple[Path, str], StoredFiles] = {}
        self._entries: dict[Path, Mapping[str, BaselineEntry]] = {}
        self._problems: dict[Path, TokenBudgetError] = {}

    def expect(self, tests: Mapping[pytest.Item, Budget]) -> None:
        """Note what each test allows that will run."""
        self._expected = tests

    def locate(self, item: pytest.Item, against: str) -> TestLocation:
        """The location of a test that is compared with a baseline or reference."""
        files = self._files.get((item.path, against))
        if files is None:
            compared_with = baseline_path(item.path, against)
            if against != BASELINE and not compared_with.exists():
                compared_with = find_production(compared_with, item.config.rootpath) or compared_with
            shown = shown_path(compared_with, item.config.rootpath)
            files = StoredFiles(baseline_path(item.path), compared_with, shown)
            self._files[item.path, against] = files
        nodeid, line = plain_nodeid(item), item.location[1]
        return TestLocation(nodeid, nodeid.partition("::")[2] or nodeid, None if line is None else line + 1, files)

    def read(self, location: TestLocation) -> tuple[BaselineEntry | None, TokenBudgetError | None]:
        """The stored entry of a test, where there is one, or the error of a file that cannot be read."""
        path = location.files.compared_with
        if path not in self._entries:
            try:
                if is_production(path):
                    from pytest_tokenbudget.baselines.production_file import read_entry

                    self._entries[path] = {EVERY_TEST: read_entry(path)}
                else:
                    self._entries[path] = self._store.read(path)
            except TokenBudgetError as error:
                self._entries[path], self._problems[path] = {}, error
        entries = self._entries[path]
        return entries.get(location.key) or entries.get(EVERY_TEST), self._problems.get(path)

    @cached_property
    def family(self) -> int:
        """Number of gates of the session that compare live times: the level of the tests is shared out among them."""
        return max(1, sum(count_timed_gates(budget, entry, self._table) for budget, entry in self._known()))

    @cached_property
    def noise(self) -> ScalePrior | None:
        """The noise of live times that the suite's baselines teach; ``None`` where they say too little."""
        from pytest_tokenbudget.compare.shared_shift import learned_noise

        return learned_noise(entry for _, entry in self._known())

    def _known(self) -> Iterator[tuple[Budget, BaselineEntry]]:
        for item, budget in self._expected.items():
            entry, _ = self.read(self.locate(item, budget.against))
            if entry is not None:
                yield budget, entry


def count_timed_gates(budget: Budget, entry: BaselineEntry, table: Mapping[str, MetricSpec]) -> int:
    """Count the gates of a test that compare live times, by the stages that its baseline knows."""
    if budget.replay is not None or entry.traffic != "live":
        return 0
    gates = expand(budget, stages=entry.stages, default_metrics=DEFAULT_GATES)
    at_speed = bool(entry.speeds)
    return sum(
        gate.kind == "max_increase"
        and table[gate.metric.name].timed
        and not (at_speed and gate.metric.name == "latency")
        for gate in gates
    )
