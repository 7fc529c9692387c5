"""Reads a test's ``token_budget`` markers, and checks them at collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast, get_args, overload

import pytest

from pytest_tokenbudget.baselines.paths import BASELINE, check_reference
from pytest_tokenbudget.compare.rules import parse_quantity, parse_reduction, parse_rule
from pytest_tokenbudget.errors import BaselineError, MarkerError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.measure.metrics import PROVIDER_PACE, MetricSpec, parse_metric
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.settings import ARGUMENTS, MARKER, FixtureCallsMode, marker_signature

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any] | type)


class TokenBudgetMark(Protocol):
    """The type of :data:`token_budget`: the marker with its arguments, or bare."""

    @overload
    def __call__(self, function: _F, /) -> _F: ...
    @overload
    def __call__(
        self,
        max_increase: float | str | Mapping[str, float | str] = ...,
        *,
        limit: Mapping[str, float | str] = ...,
        reduce: Mapping[str, float | str] = ...,
        against: str = ...,
        samples: int | Literal["auto"] = ...,
        samples_in: Literal["auto", "process"] = ...,
        max_samples: int = ...,
        stop_at: Mapping[str, float | str] = ...,
        replay: bool | str | None = ...,
        fixture_calls: Literal["apart", "each", "shared"] | None = ...,
    ) -> pytest.MarkDecorator: ...


token_budget: TokenBudgetMark = cast(TokenBudgetMark, pytest.mark.token_budget)
"""The marker: the very object that ``pytest.mark.token_budget`` gives, typed."""

_KEYS = tuple(argument.name for argument in ARGUMENTS)


def has_budget(item: pytest.Item) -> bool:
    """Tell whether a test carries the marker."""
    return item.get_closest_marker(MARKER) is not None


def budget_of(item: pytest.Item, *, table: Mapping[str, MetricSpec], default_rule: str) -> Budget:
    """Merge and check the markers of a test, the nearest first, key by key.

    Args:
        item: The test.
        table: The known metrics.
        default_rule: The project's rule where no marker gives one.

    Returns:
        What the test allows.

    Raises:
        MarkerError: If an argument, metric or rule cannot be understood; it names the test, the key and what is allowed.
    """
    merged: dict[str, object] = {}
    for mark in item.iter_markers(MARKER):
        arguments = dict(mark.kwargs)
        if len(mark.args) > 1:
            raise _error(item, f"takes one positional argument, not {len(mark.args)}", marker_signature())
        if mark.args:
            if "max_increase" in arguments:
                raise _error(item, "max_increase is given twice", "give it once")
            arguments["max_increase"] = mark.args[0]
        for key, value in arguments.items():
            if key not in _KEYS:
                near = get_close_matches(key, _KEYS, n=2, cutoff=0.4) or _KEYS
                raise _error(item, f"unknown argument {key!r}", f"nearest: {', '.join(near)}")
            merged.setdefault(key, value)
    return _Reader(item, table).read(merged, default_rule)


def _error(item: pytest.Item, problem: str, remedy: str) -> MarkerError:
    return MarkerError(f"{_place(item)}: token_budget: {problem}", remedy=remedy)


def _place(item: pytest.Item) -> str:
    """File, line and test: as far as they can be told."""
    path, line, _ = item.reportinfo()
    shown = shown_path(Path(path).resolve(), item.config.rootpath.resolve())
    return f"{shown}:{line + 1}: {item.name}" if line is not None else f"{shown}: {item.name}"


class _Reader:
    """Reads the arguments of one test's marker."""

    def __init__(self, item: pytest.Item, table: Mapping[str, MetricSpec]) -> None:
        self._item = item
        self._table = table

    def read(self, merged: Mapping[str, Any], default_rule: str) -> Budget:
        default, rules = self._max_increase(merged.get("max_increase", default_rule))
        return Budget(
            default_rule=default,
            rules=rules,
            limit=self._quantities("limit", merged.get("limit", {})),
            reduce=self._mapping("reduce", merged.get("reduce", {}), lambda value, _: parse_reduction(value)),
            against=self._against(merged.get("against", BASELINE)),
            samples=self._samples(merged.get("samples", "auto")),
            samples_in=self._samples_in(merged.get("samples_in")),
            max_samples=self._positive("max_samples", merged.get("max_samples", 10)),
            stop_at=self._quantities("stop_at", merged.get("stop_at", {})),
            replay=self._replay(merged.get("replay")),
            fixture_calls=self._fixture_calls(merged.get("fixture_calls")),
        )

    def _bad(self, key: str, problem: object, remedy: str) -> MarkerError:
        return _error(self._item, f"{key}: {problem}", remedy)

    def _max_increase(self, value: object) -> tuple[Rule | None, tuple[tuple[Metric, Rule], ...]]:
        if not isinstance(value, Mapping):
            return self._default_rule(value), ()
        named = dict(value)
        default = self._default_rule(named.pop("default")) if "default" in named else None
        return default, self._mapping("max_increase", named, lambda rule, unit: parse_rule(rule, unit=unit))

    def _default_rule(self, value: object) -> Rule:
        try:
            return parse_rule(value, unit="count")
        except ValueError as error:
            raise self._bad("max_increase", error, 'for example max_increase="10%"') from None

    def _quantities(self, key: str, value: object) -> tuple[tuple[Metric, Fraction], ...]:
        return self._mapping(key, value, lambda quantity, unit: parse_quantity(quantity, unit=unit))

    def _mapping(self, key: str, value: object, parse: Callable[[object, str], _T]) -> tuple[tuple[Metric, _T], ...]:
        if not isinstance(value, Mapping):
            raise self._bad(
                key, f"{value!r} is no mapping of metrics", f'for example {key}={{"worker.input_tokens": ...}}'
            )
        pairs = []
        for name, rule in value.items():
            try:
                metric = parse_metric(str(name), self._table)
                if metric.name == PROVIDER_PACE and (key == "stop_at" or metric.statistic != "mean"):
                    raise ValueError(f"{PROVIDER_PACE} is one ratio of a run that is over, without statistics")
                pairs.append((metric, parse(rule, self._table[metric.name].unit)))
            except ValueError as error:
                raise self._bad(key, f"{name!r}: {error}", "see docs/metrics.md") from None
        return tuple(pairs)

    def _name(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not value or value.strip() != value or "/" in value or "\\" in value:
            raise self._bad(key, f"{value!r} is no name", 'a plain name such as "baseline" or "before"')
        return value

    def _against(self, value: object) -> str:
        name = self._name("against", value)
        try:
            return name if name == BASELINE else check_reference(name)
        except BaselineError as error:
            raise self._bad("against", error.message, error.remedy) from None

    def _samples(self, value: object) -> int | None:
        return None if value == "auto" else self._positive("samples", value)

    def _samples_in(self, value: object) -> Literal["auto", "process"] | None:
        if value is not None and value not in ("auto", "process"):
            raise self._bad("samples_in", f"{value!r} is no place for samples", '"auto" or "process"')
        return value

    def _fixture_calls(self, value: object) -> FixtureCallsMode | None:
        if value not in (None, *get_args(FixtureCallsMode)):
            allowed = ", ".join(f'"{mode}"' for mode in get_args(FixtureCallsMode))
            raise self._bad("fixture_calls", f"{value!r} is no way to charge them", allowed)
        return cast("FixtureCallsMode | None", value)

    def _positive(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            allowed = '"auto" or a whole number from 1' if key == "samples" else "a whole number from 1"
            raise self._bad(key, f"{value!r} is no number of samples", allowed)
        return value

    def _replay(self, value: object) -> str | None:
        if value is None or value is False:
            return None
        if value is True:
            return ""
        name = self._name("replay", value)
        if not name.isprintable():
            raise self._bad("replay", f"{value!r} holds a control character", 'a plain name such as "calendar"')
        return name
