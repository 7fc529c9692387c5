"""The context that all marked tests of a session share: settings, the reader of exchanges, the metrics, the stored baselines.

The built-in formats, metrics, reports and store are registered here through the hooks that a user's conftest.py uses. They
come last, so that whatever a project adds is asked first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_tokenbudget.baselines.format import checked_cache
from pytest_tokenbudget.baselines.store import BaselineStore, JsonStore
from pytest_tokenbudget.capture.children.child_processes import ChildProcesses
from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, MetricSpec, metric_table
from pytest_tokenbudget.measure.reading import Reader, StageFinder
from pytest_tokenbudget.option_table import OPTIONS, Option
from pytest_tokenbudget.plugin.fixture_calls import FixtureCalls
from pytest_tokenbudget.plugin.stored_baselines import StoredBaselines
from pytest_tokenbudget.prices import PriceBook, price_cache
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, Writer
from pytest_tokenbudget.settings import Settings, is_ci, pairs, runs_per_month, server_slots
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.counts import count_cache

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.stage_rules import StageRule

NAME = "tokenbudget-builtins"


def read_settings(config: pytest.Config) -> Settings:
    """Settings of a session: the command line first, then the ini file, then the defaults.

    Raises:
        SettingsError: If an ini value is not allowed; it names the key and the allowed words.
    """
    defaults = Settings._field_defaults | {"missing": "fail" if is_ci(os.environ) else "create"}
    settings = Settings(*[_value(config, option, defaults[option.field]) for option in OPTIONS])
    asked = [name for name in ("update", "ratchet", "accept") if getattr(settings, name)]
    if len(asked) > 1:
        flags = " and ".join(f"--tokenbudget-{name}" for name in asked)
        raise SettingsError(f"{flags} exclude each other", remedy="give one of them")
    if settings.samples is not None and settings.samples < 1:
        raise SettingsError(
            f"--tokenbudget-samples={settings.samples}: at least 1 is needed", remedy="--tokenbudget-samples=3"
        )
    for line in settings.runs_per_month:
        runs_per_month((line,), "")
    for line in settings.server_slots:
        server_slots((line,), "")
    return settings


def _value(config: pytest.Config, option: Option, default: Any) -> Any:
    given = config.getoption(f"tokenbudget_{option.field}", None) if option.flag else None
    if given is not None:
        return tuple(given) if option.kind == "repeat" else given
    stored = config.getini(option.ini) if option.ini else None
    if stored is None or stored in ("", []):
        return default
    if option.kind == "lines":
        return tuple(line.strip() for line in stored if line.strip())
    if option.kind == "choice" and stored not in option.choices:
        raise SettingsError(
            f"ini option {option.ini} = {stored!r} is not one of {', '.join(option.choices)}",
            remedy=f"{option.ini} = {option.choices[0]}",
        )
    if option.kind == "number":
        try:
            number = float(stored)
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise SettingsError(
                f"ini option {option.ini} = {stored!r} is no positive number", remedy=f"{option.ini} = {default:.10g}"
            )
        return number
    return stored


class Builtins:
    """The built-in formats, metrics, store and reports, and what earlier sessions worked out.

    That is kept in pytest's cache: with it an unchanged test loads no vocabulary and no price table.

    Attributes:
        counts: Tokens of texts.
        prices: Prices of models.
    """

    def __init__(self, config: pytest.Config) -> None:
        folder = None
        if config.pluginmanager.has_plugin("cacheprovider"):
            with suppress(OSError):
                folder = Path(config.cache.mkdir("tokenbudget"))
        self.counts, self.prices, self._checked_files = count_cache(folder), price_cache(folder), checked_cache(folder)
        self._store = JsonStore(checked=self._checked_files)

    def save_caches(self) -> None:
        """Keep for the next session what was worked out in this one."""
        for cache in filter(None, (self.counts, self.prices, self._checked_files)):
            cache.save()

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
        return self._store

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_report_formats(self) -> Mapping[str, Writer]:
        """The reports in ``report/``."""
        return BUILTIN_FORMATS


def register_builtins(config: pytest.Config) -> Builtins:
    """Register them, once a session."""
    builtins: Builtins | None = config.pluginmanager.get_plugin(NAME)
    if builtins is None:
        builtins = Builtins(config)
        config.pluginmanager.register(builtins, NAME)
    return builtins


def session_prices(config: pytest.Config, settings: Settings) -> PriceBook:
    """The prices that hold in a session: the hook's, the project's own, and the table's."""
    return PriceBook(
        own=settings.prices,
        hooks=(config.hook.pytest_tokenbudget_price,),
        root=config.rootpath,
        cache=register_builtins(config).prices,
    )


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The objects that all marked tests of a session share.

    Attributes:
        config: pytest's configuration.
        settings: The options.
        table: The known metrics, by name.
        reader: Reads exchanges as calls.
        stage_rules: Stages by configuration.
        baselines: What the tests are compared with.
        fixture_calls: What fixtures of a wider scope sent.
        details: Whether somebody wants to know all of tests that are ``ok`` too: a report, an update, a hook, or ``-v``.
        children: The session's child processes, ``None`` where they are not watched.
    """

    config: pytest.Config
    settings: Settings
    table: Mapping[str, MetricSpec]
    reader: Reader
    stage_rules: tuple[StageRule, ...]
    baselines: StoredBaselines
    fixture_calls: FixtureCalls
    details: bool = True
    children: ChildProcesses | None = None

    @classmethod
    def build(cls, config: pytest.Config, settings: Settings) -> SessionContext:
        """Make the tools of a session from its settings and hooks; the tests to come are not known yet.

        Raises:
            TokenBudgetError: If a setting cannot be understood.
        """
        builtins = register_builtins(config)
        hook = config.hook
        named = hook.pytest_tokenbudget_stage
        rules: tuple[StageRule, ...] = ()
        if settings.stages:
            from pytest_tokenbudget.capture.stage_rules import parse_stage_rules

            rules = parse_stage_rules(settings.stages)
        encodings = pairs(
            settings.encodings, option="tokenbudget_encodings", example="deepseek-* = path/to/tokenizer.json"
        )
        reader = Reader(
            formats=tuple(wire for given in hook.pytest_tokenbudget_wire_formats() for wire in given),
            counter=Counter(
                encodings=encodings, tokenizers=(hook.pytest_tokenbudget_tokenizer,), cache=builtins.counts
            ),
            prices=session_prices(config, settings),
            stage_of=StageFinder(rules, lambda call: named(call=call()) if named.get_hookimpls() else None),
        )
        # Those of the project come last here, and so win over built-in ones of the same name.
        table = metric_table(spec for specs in reversed(hook.pytest_tokenbudget_metrics()) for spec in specs)
        baselines = StoredBaselines(hook.pytest_tokenbudget_baseline_store(config=config), table)
        fixture_calls = FixtureCalls(settings.fixture_calls, reader)
        details = bool(
            settings.reports
            or settings.replaces
            or settings.ratchet
            or os.environ.get("GITHUB_STEP_SUMMARY")
            or "TOKENBUDGET_ARM" in os.environ
            or getattr(config.option, "xmlpath", None)
            or config.get_verbosity() > 0
            or hook.pytest_tokenbudget_verdict.get_hookimpls()
        )
        return cls(config, settings, table, reader, rules, baselines, fixture_calls, details)


class _StopAtSettings:
    """Takes pytest's configuration when ini file and conftest.py have been read, and ends pytest there."""

    config: pytest.Config | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Keep the configuration; nothing is collected."""
        self.config = config
        return 0


def project_context(place: Path) -> SessionContext:
    """Read the ini file and the conftest.py that hold for a test file or folder, as pytest does.

    Raises:
        TokenBudgetError: If they cannot be read or a setting is not understood.
    """
    stop = _StopAtSettings()
    pytest.main([str(place), "-p", "no:cacheprovider"], plugins=[stop])
    if stop.config is None or not stop.config.pluginmanager.has_plugin("tokenbudget"):
        raise SettingsError(
            f"{place}: pytest cannot read the project's settings, or does not load this plugin",
            remedy=f"see what it says: pytest --collect-only {place}",
        )
    return SessionContext.build(stop.config, read_settings(stop.config))
