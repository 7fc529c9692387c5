"""The baselines of a session's tests, read once each and only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import is_production
from pytest_tokenbudget.baselines.store import BaselineStore
from pytest_tokenbudget.compare.rules import expand
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, MetricSpec
from pytest_tokenbudget.plugin.location import TestLocation
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.stats.log_ratio import ScalePrior

EVERY_TEST = "*"
"""Key of an entry that all tests share."""


class StoredBaselines:
    """Reads the baselines and references that the tests of a session are compared with.

    Args:
        store: Where they are.
        table: The known metrics.
    """

    def __init__(self, store: BaselineStore, table: Mapping[str, MetricSpec]) -> None:
        self._store = store
        self._table = table
        self._expected: Mapping[pytest.Item, Budget] = {}
        self._entries: dict[Path, Mapping[str, BaselineEntry]] = {}
        self._problems: dict[Path, TokenBudgetError] = {}

    def expect(self, tests: Mapping[pytest.Item, Budget]) -> None:
        """Note what each test allows that will run."""
        self._expected = tests

    def entry(self, location: TestLocation) -> BaselineEntry | None:
        """The stored entry of a test; ``None`` where there is none, or where :meth:`problem` says why it is not known."""
        entries = self._read(location.compared_with)
        return next((entries[key] for key in (location.key, EVERY_TEST) if key in entries), None)

    def problem(self, location: TestLocation) -> TokenBudgetError | None:
        """The error of a file that cannot be read; ``None`` where it can, or where there is none."""
        self._read(location.compared_with)
        return self._problems.get(location.compared_with)

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
            entry = self.entry(TestLocation.of(item, budget.against))
            if entry is not None:
                yield budget, entry

    def _read(self, path: Path) -> Mapping[str, BaselineEntry]:
        if path not in self._entries:
            try:
                self._entries[path] = _production(path) if is_production(path) else self._store.read(path)
            except TokenBudgetError as error:
                self._entries[path], self._problems[path] = {}, error
        return self._entries[path]


def _production(path: Path) -> Mapping[str, BaselineEntry]:
    from pytest_tokenbudget.baselines.production_file import read_entry

    return {EVERY_TEST: read_entry(path)}


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
