"""Reads a test's ``token_budget`` markers, and checks them at collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast, get_args, overload

import pytest

from pytest_tokenbudget.baselines.paths import BASELINE, check_reference
from pytest_tokenbudget.compare.rules import parse_quantity, parse_reduction, parse_rule
from pytest_tokenbudget.errors import BaselineError, MarkerError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.measure.metrics import PROVIDER_PACE, MetricSpec, parse_metric
from pytest_tokenbudget.option_table import ARGUMENTS, MARKER, marker_signature
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.settings import FixtureCallsMode, Place

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
_CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "samples_in": (get_args(Place), "is no place for samples"),
    "fixture_calls": (get_args(FixtureCallsMode), "is no way to charge them"),
}


class _Unreadable(ValueError):
    """An argument cannot be understood: the problem, and what would be right."""


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
    given: dict[str, Any] = {}
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
            given.setdefault(key, value)
    fields: dict[str, Any] = {}
    for key, value in {"max_increase": default_rule, **given}.items():
        try:
            fields |= _read(key, value, table)
        except _Unreadable as error:
            problem, remedy = error.args
            raise _error(item, f"{key}: {problem}", remedy) from None
    return Budget(**fields)


def _error(item: pytest.Item, problem: str, remedy: str) -> MarkerError:
    path, line, _ = item.reportinfo()
    shown = shown_path(Path(path).resolve(), item.config.rootpath.resolve())
    place = f"{shown}:{line + 1}" if line is not None else shown
    return MarkerError(f"{place}: {item.name}: token_budget: {problem}", remedy=remedy)


def _read(key: str, value: Any, table: Mapping[str, MetricSpec]) -> dict[str, Any]:
    """The fields of a budget that an argument gives."""
    match key:
        case "max_increase" if isinstance(value, Mapping):
            named = dict(value)
            default = _default_rule(named.pop("default")) if "default" in named else None
            return {"default_rule": default, "rules": _by_metric(key, named, parse_rule, table)}
        case "max_increase":
            return {"default_rule": _default_rule(value)}
        case "limit" | "stop_at":
            return {key: _by_metric(key, value, parse_quantity, table)}
        case "reduce":
            return {key: _by_metric(key, value, lambda wanted, unit: parse_reduction(wanted), table)}
        case "against":
            return {key: _reference(value)}
        case "samples" | "max_samples":
            return {key: None if (key, value) == ("samples", "auto") else _number(key, value)}
        case "replay":
            return {key: None if value is None or value is False else "" if value is True else _cassette(value)}
        case _:
            allowed, problem = _CHOICES[key]
            if value is not None and value not in allowed:
                raise _Unreadable(f"{value!r} {problem}", ", ".join(f'"{word}"' for word in allowed))
            return {key: value}


def _default_rule(value: object) -> Rule:
    try:
        return parse_rule(value, unit="count")
    except ValueError as error:
        raise _Unreadable(error, 'for example max_increase="10%"') from None


def _by_metric(
    key: str, value: object, parse: Callable[..., _T], table: Mapping[str, MetricSpec]
) -> tuple[tuple[Metric, _T], ...]:
    if not isinstance(value, Mapping):
        raise _Unreadable(f"{value!r} is no mapping of metrics", f'for example {key}={{"worker.input_tokens": ...}}')
    pairs = []
    for name, rule in value.items():
        try:
            metric = parse_metric(str(name), table)
            if metric.name == PROVIDER_PACE and (key == "stop_at" or metric.statistic != "mean"):
                raise ValueError(f"{PROVIDER_PACE} is one ratio of a run that is over, without statistics")
            pairs.append((metric, parse(rule, unit=table[metric.name].unit)))
        except ValueError as error:
            raise _Unreadable(f"{name!r}: {error}", "see docs/metrics.md") from None
    return tuple(pairs)


def _reference(value: object) -> str:
    name = _name(value)
    try:
        return name if name == BASELINE else check_reference(name)
    except BaselineError as error:
        raise _Unreadable(error.message, error.remedy) from None


def _cassette(value: object) -> str:
    name = _name(value)
    if not name.isprintable():
        raise _Unreadable(f"{value!r} holds a control character", 'a plain name such as "calendar"')
    return name


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or value.strip() != value or "/" in value or "\\" in value:
        raise _Unreadable(f"{value!r} is no name", 'a plain name such as "baseline" or "before"')
    return value


def _number(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        allowed = '"auto" or a whole number from 1' if key == "samples" else "a whole number from 1"
        raise _Unreadable(f"{value!r} is no number of samples", allowed)
    return value
