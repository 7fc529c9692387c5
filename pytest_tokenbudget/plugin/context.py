"""What all marked tests of a session share: settings, readers, the metric table, the baselines on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.protocol import BaselineStore
from pytest_tokenbudget.capture.stage import checked_path, name_of
from pytest_tokenbudget.capture.stage_rules import StageRule, parse_stage_rules, resolve_stage
from pytest_tokenbudget.compare.gates import expand
from pytest_tokenbudget.compare.spread import learned_spread
from pytest_tokenbudget.errors import SettingsError, TokenBudgetError
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, MetricSpec, metric_table
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.plugin.builtins import register_builtins
from pytest_tokenbudget.plugin.count_cache import PytestCountCache
from pytest_tokenbudget.plugin.progress import Progress
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.prompt import Message, Prompt, Text
from pytest_tokenbudget.settings import Settings, pairs
from pytest_tokenbudget.stats.moderation import Prior
from pytest_tokenbudget.tokens.counter import Counter


@dataclass(slots=True)
class SessionContext:
    """The tools of a session.

    Attributes:
        settings: The options.
        table: The known metrics.
        reader: Reads exchanges.
        stage_rules: Stages by configuration.
        store: Where baselines are.
        progress: Says why a test is sampled again.
        counts: Local counts of earlier sessions.
    """

    settings: Settings
    table: Mapping[str, MetricSpec]
    reader: Reader
    stage_rules: tuple[StageRule, ...]
    store: BaselineStore
    progress: Progress
    counts: PytestCountCache
    _expected: tuple[tuple[Budget, Path, str], ...] = ()
    _family: int | None = None
    _spread: tuple[Prior | None] | None = None
    _entries: dict[Path, Mapping[str, BaselineEntry]] = field(default_factory=dict)
    _problems: dict[Path, TokenBudgetError] = field(default_factory=dict)

    @classmethod
    def build(cls, config: pytest.Config, settings: Settings) -> SessionContext:
        """Make the tools of a session from its settings and hooks.

        Raises:
            TokenBudgetError: If a setting cannot be understood.
        """
        register_builtins(config)
        hook = config.hook
        rules = parse_stage_rules(settings.stages)
        counts = PytestCountCache(config)
        reader = Reader(
            formats=tuple(wire for given in hook.pytest_tokenbudget_wire_formats() for wire in given),
            counter=Counter(
                encodings=pairs(
                    settings.encodings, option="tokenbudget_encodings", example="deepseek-* = path/to/tokenizer.json"
                ),
                tokenizers=(hook.pytest_tokenbudget_tokenizer,),
                cache=counts,
            ),
            prices=PriceBook(own=settings.prices, hooks=(hook.pytest_tokenbudget_price,), root=config.rootpath),
            stage_of=_stage_of(rules, hook.pytest_tokenbudget_stage),
        )
        # Those of the project come last here, and so win over built-in ones of the same name.
        metrics = [spec for specs in reversed(hook.pytest_tokenbudget_metrics()) for spec in specs]
        store = hook.pytest_tokenbudget_baseline_store(config=config)
        return cls(settings, metric_table(metrics), reader, rules, store, Progress(config), counts)

    def expect(self, tests: Iterable[tuple[Budget, Path, str]]) -> None:
        """Take note of the session's tests: what they allow, their baseline file and their key in it."""
        self._expected = tuple(tests)

    def spread(self) -> Prior | None:
        """The spread of live times that the session's baselines teach, learned when it is first asked for."""
        if self._spread is None:
            self._spread = (learned_spread(entry for _, entry in self._stored()),)
        return self._spread[0]

    def family(self) -> int:
        """Number of gates of the session that compare live times, among which the level is shared out."""
        if self._family is None:
            self._family = max(1, sum(timed_gates(budget, entry, self.table) for budget, entry in self._stored()))
        return self._family

    def _stored(self) -> Iterator[tuple[Budget, BaselineEntry]]:
        for budget, path, key in self._expected:
            entry = self.entry(path, key)
            if entry is not None:
                yield budget, entry

    def entry(self, path: Path, key: str) -> BaselineEntry | None:
        """The stored entry of a test; ``None`` where there is none, or where :meth:`problem` says why it is not known."""
        return self._read(path).get(key)

    def problem(self, path: Path) -> TokenBudgetError | None:
        """Why a baseline cannot be read; ``None`` where it can, or where there is none."""
        self._read(path)
        return self._problems.get(path)

    def _read(self, path: Path) -> Mapping[str, BaselineEntry]:
        """All entries of a file, which is read once a session."""
        if path not in self._entries:
            try:
                self._entries[path] = self.store.read(path)
            except TokenBudgetError as error:
                self._entries[path], self._problems[path] = {}, error
        return self._entries[path]


def timed_gates(budget: Budget, entry: BaselineEntry, table: Mapping[str, MetricSpec]) -> int:
    """Number of gates of a test that compare live times, by the stages that its baseline knows."""
    if budget.replay is not None or entry.traffic != "live":
        return 0
    gates = expand(budget, stages=entry.stages, default_metrics=DEFAULT_GATES)
    return sum(gate.kind == "max_increase" and table[gate.metric.name].timed for gate in gates)


def _stage_of(
    rules: tuple[StageRule, ...], hook: Callable[..., str | None]
) -> Callable[[Exchange, Call, Callable[[], Prompt | None]], str]:
    """The ways to find a call's stage, in their order: code, rules, hook, OpenTelemetry; ``main`` where none does."""

    def stage_of(exchange: Exchange, call: Call, prompt: Callable[[], Prompt | None]) -> str:
        if exchange.stage:
            return exchange.stage
        if rules:
            asked = prompt() if any(rule.kind == "system" for rule in rules) else None
            found = resolve_stage(
                rules,
                code_stage="",
                url=exchange.url,
                model=call.model or call.request_model,
                system_text=system_text(asked),
            )
            if found:
                return found
        named = hook(call=call)
        return _checked(named) if named else (name_of(exchange.agent) if exchange.agent else "main")

    return stage_of


def _checked(named: object) -> str:
    try:
        return checked_path(named)
    except TokenBudgetError as error:
        raise SettingsError(f"pytest_tokenbudget_stage: {error.message}", remedy=error.remedy) from None


def system_text(prompt: Prompt | None) -> str:
    """All system text of a prompt."""
    if prompt is None:
        return ""
    return "\n".join(_text(message) for message in prompt.messages if message.role == "system")


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text))
