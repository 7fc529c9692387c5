"""The context that all marked tests of a session share: settings, the reader of exchanges, the metrics, the stored baselines.

The built-in formats, metrics, reports and store are registered here through the hooks that a user's conftest.py uses. They
come last, so that whatever a project adds is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_tokenbudget.baselines.store import BaselineStore, JsonStore
from pytest_tokenbudget.capture.children.child_processes import ChildProcesses
from pytest_tokenbudget.capture.stage_rules import StageRule, parse_stage_rules
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, MetricSpec, metric_table
from pytest_tokenbudget.measure.reading import Reader, StageFinder
from pytest_tokenbudget.plugin.fixture_calls import FixtureCalls
from pytest_tokenbudget.plugin.stored_baselines import StoredBaselines
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, Writer
from pytest_tokenbudget.settings import Settings, pairs
from pytest_tokenbudget.tokens.counter import Counter

NAME = "tokenbudget-builtins"


class Builtins:
    """The built-in formats, metrics, store and reports."""

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_wire_formats(self) -> list[WireFormat]:
        """Every API in ``providers/``."""
        return list(builtin_formats())

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_metrics(self) -> list[MetricSpec]:
        """The table of metrics."""
        return list(BUILTIN_METRICS)

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_baseline_store(self) -> BaselineStore:
        """JSON files beside the tests."""
        return JsonStore()

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_report_formats(self) -> Mapping[str, Writer]:
        """The reports in ``report/``."""
        return BUILTIN_FORMATS


def register_builtins(config: pytest.Config) -> None:
    """Register them, once a session."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(Builtins(), NAME)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The objects that all marked tests of a session share.

    Attributes:
        config: pytest's configuration.
        settings: The options.
        table: The known metrics, by name.
        reader: Reads exchanges as calls.
        stage_rules: Stages by configuration.
        counts: Local counts of earlier sessions.
        baselines: What the tests are compared with.
        fixture_calls: What fixtures of a wider scope sent.
        children: The session's child processes, ``None`` where they are not watched.
    """

    config: pytest.Config
    settings: Settings
    table: Mapping[str, MetricSpec]
    reader: Reader
    stage_rules: tuple[StageRule, ...]
    counts: CountCache
    baselines: StoredBaselines
    fixture_calls: FixtureCalls
    children: ChildProcesses | None = None

    @classmethod
    def build(cls, config: pytest.Config, settings: Settings) -> SessionContext:
        """Make the tools of a session from its settings and hooks; the tests to come are not known yet.

        Raises:
            TokenBudgetError: If a setting cannot be understood.
        """
        register_builtins(config)
        hook = config.hook
        rules = parse_stage_rules(settings.stages)
        counts = CountCache(config)
        encodings = pairs(
            settings.encodings, option="tokenbudget_encodings", example="deepseek-* = path/to/tokenizer.json"
        )
        reader = Reader(
            formats=tuple(wire for given in hook.pytest_tokenbudget_wire_formats() for wire in given),
            counter=Counter(encodings=encodings, tokenizers=(hook.pytest_tokenbudget_tokenizer,), cache=counts),
            prices=PriceBook(own=settings.prices, hooks=(hook.pytest_tokenbudget_price,), root=config.rootpath),
            stage_of=StageFinder(rules, hook.pytest_tokenbudget_stage),
        )
        # Those of the project come last here, and so win over built-in ones of the same name.
        table = metric_table(spec for specs in reversed(hook.pytest_tokenbudget_metrics()) for spec in specs)
        baselines = StoredBaselines(hook.pytest_tokenbudget_baseline_store(config=config), table)
        fixture_calls = FixtureCalls(settings.fixture_calls, reader)
        return cls(config, settings, table, reader, rules, counts, baselines, fixture_calls)


class CountCache:
    """Local counts by digest, kept in pytest's cache: a second run of an unchanged test loads no vocabulary at all.

    They are read when the first is asked for, and written at the end of a session that added some.
    """

    KEY = "tokenbudget/counts"
    MOST = 50_000
    """Counts that are kept; the oldest go first."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache: Any = getattr(config, "cache", None)
        self._counts: dict[str, int] | None = None
        self._added: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        """The count of a text, ``None`` where it is not known."""
        if self._counts is None:
            self._counts = self._stored()
        return self._counts.get(key)

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""
        self._added[key] = tokens
        if self._counts is not None:
            self._counts[key] = tokens

    def save(self) -> None:
        """Write what was added, on top of what other sessions have written meanwhile."""
        if self._cache is None or not self._added:
            return
        merged = {**self._stored(), **self._added}
        self._added = {}
        self._cache.set(self.KEY, dict(list(merged.items())[-self.MOST :]))

    def _stored(self) -> dict[str, int]:
        stored = self._cache.get(self.KEY, {}) if self._cache is not None else {}
        if not isinstance(stored, dict):
            return {}
        return {key: tokens for key, tokens in stored.items() if isinstance(tokens, int)}
