"""Works out the figures that follow from others, so that a file need not hold them.

Of a test's figures most follow from a few: the whole test's are the sums of its stages', total tokens are input plus
output, tokens by part follow from the composition. The same rules (:func:`rules_of`) say, on reading, which figures are
added and, on writing, which ones are left out: a figure is left out only where its rule gives exactly what is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import chain, repeat
from typing import Any, Literal

from pytest_tokenbudget.measure.metrics import OPEN_TIMES
from pytest_tokenbudget.records.baseline import MetricRecord, Number
from pytest_tokenbudget.records.composition import Compositions, within
from pytest_tokenbudget.records.gate import key_of
from pytest_tokenbudget.stats.statistic import mean

Records = Mapping[str, MetricRecord]
"""Records by full metric name."""

Origins = Mapping[str, Number | None]

ONLY_STAGE = "main"
"""The stage of calls that nothing gives to a stage. Where it is the only one, its figures are the whole test's."""

SUMMED = (
    "cache_write_tokens",
    "cached_input_tokens",
    "calls",
    "cost",
    "failed_attempts",
    "input_tokens",
    "latency",
    "measured_latency",
    "model_time",
    "output_tokens",
    "reasoning_tokens",
    "tool_calls",
)
"""Metrics of which the whole test's value is, as a rule, the sum over the stages. (Stages that run at the same time are
the exception for times; then the figure is stored.)"""

_METRIC_OF_PART = {
    "assistant": "history_tokens",
    "tool_results": "history_tokens",
    "system": "system_tokens",
    "tools": "tool_schema_tokens",
}
_FROM_COMPOSITION = ("fresh_input_tokens", "history_tokens", "system_tokens", "tool_schema_tokens")

ZERO = MetricRecord(((0,),), 0)


@dataclass(frozen=True, slots=True)
class Scope:
    """The figures that the rules look at.

    Attributes:
        stages: The stages of a test.
        compositions: What their input consisted of.
        at_speed: Whether ``latency`` is that at a stored speed, so that the measured one is another.
    """

    stages: tuple[str, ...]
    compositions: Compositions
    at_speed: bool = False

    @property
    def single(self) -> bool:
        """Tell whether all calls were made in the one stage that nobody named."""
        return self.stages == (ONLY_STAGE,)


Operation = Literal["copy", "sum", "difference", "ratio", "composition", "rest"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a figure follows from others.

    Attributes:
        operation: ``copy``, ``sum``, ``difference`` or ``ratio`` of other figures; ``composition``: the tokens of a stage's
            parts; ``rest``: what one of two times leaves of the time that a stage was open. The smaller one of the two,
            the model's time and the agent's own, is stored.
        of: Full names of the other figures.
    """

    operation: Operation
    of: tuple[str, ...] = ()


_Row = tuple[str, Operation, tuple[str, ...]]
_RATIOS: tuple[_Row, ...] = (
    ("total_tokens", "sum", ("input_tokens", "output_tokens")),
    ("latency_per_output_token", "ratio", ("model_time", "output_tokens")),
)
_OF_A_STAGE: tuple[_Row, ...] = (
    ("model_time", "rest", ("measured_latency", "own_time")),
    ("own_time", "rest", ("measured_latency", "model_time")),
    *_RATIOS,
)
_OF_THE_WHOLE: tuple[_Row, ...] = (("own_time", "difference", ("measured_latency", "model_time")), *_RATIOS)
_NOT_AT_SPEED: tuple[_Row, ...] = (("measured_latency", "copy", ("latency",)),)


@lru_cache(maxsize=256)
def rules_of(stages: tuple[str, ...], at_speed: bool) -> dict[str, Rule]:
    """Give the rule of each figure that has one, by its full name.

    A rule uses only what is stored and what the rules before it gave. They are those of the stages and then, by their
    figures, of the whole test; where there is :data:`ONLY_STAGE` alone, those of the whole test and then of this stage.

    Args:
        stages: The stages of a test.
        at_speed: Whether ``latency`` is that at a stored speed; else it is the measured one too.
    """
    single = stages == (ONLY_STAGE,)
    scopes, last = (("",), ONLY_STAGE) if single else (stages, "")
    outer = [stage for stage in stages if "/" not in stage]
    summed = [name for name in SUMMED if at_speed or name != "measured_latency"]
    rules: dict[str, Rule] = {}
    for stage in (*scopes, last):
        if stage == last and single:
            # Nobody opens this stage: it is open while its calls run.
            sources = {name: "model_time" if name in OPEN_TIMES else name for name in (*summed, *_FROM_COMPOSITION)}
            rules |= {key_of(stage, name): Rule("copy", (source,)) for name, source in sources.items()}
        else:
            rules |= {key_of(stage, name): Rule("composition") for name in _FROM_COMPOSITION}
        if stage == last and not single:
            rules |= {name: Rule("sum", tuple(key_of(each, name) for each in outer)) for name in summed}
        table = (*(() if at_speed else _NOT_AT_SPEED), *(_OF_THE_WHOLE if stage == last else _OF_A_STAGE))
        for name, operation, of in table:
            rules[key_of(stage, name)] = Rule(operation, tuple(key_of(stage, one) for one in of))
    return rules


class Completed(Mapping[str, MetricRecord]):
    """The records of a test: those that are stored, and those that follow from them, worked out when they are asked for.

    A comparison asks for a few of them.

    Args:
        stored: The stored records.
        scope: The test's stages.
        origins: Origins, by full metric name, that are others than the rules give.
    """

    def __init__(self, stored: Records, scope: Scope, origins: Origins) -> None:
        self._stored = stored
        self._known: dict[str, MetricRecord | None] = dict(stored)
        self._scope = scope
        self._rules = rules_of(scope.stages, scope.at_speed)
        self._origins = origins

    @cached_property
    def _tokens(self) -> Records:
        return tokens_of(self._scope)

    def _find(self, key: str) -> MetricRecord | None:
        if key not in self._known:
            rule = self._rules.get(key)
            tokens = self._tokens if rule is not None and rule.operation == "composition" else {}
            found = None if rule is None else _given(key, rule, self._find, self._stored, tokens)
            if found is not None and key in self._origins:
                found = MetricRecord(found.sessions, self._origins[key])
            self._known[key] = found
        return self._known[key]

    def _all(self) -> dict[str, MetricRecord]:
        return {key: found for key in (*self._stored, *self._rules) if (found := self._find(key)) is not None}

    def __getitem__(self, key: str) -> MetricRecord:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[str, MetricRecord]:
        """Names and records."""
        return self._all().items()


def tokens_of(scope: Scope) -> dict[str, MetricRecord]:
    """Give the metrics that the compositions tell, of the whole test and of each stage that has parts."""
    found: dict[str, MetricRecord] = {}
    for stage in ("", *(() if scope.single else scope.stages)):
        composition = within(scope.compositions, stage)
        if composition is None or not (parts := composition.parts):
            continue
        tokens = dict.fromkeys(_FROM_COMPOSITION, 0)
        for part in parts:
            tokens["fresh_input_tokens"] += part.fresh_tokens
            if part.part in _METRIC_OF_PART:
                tokens[_METRIC_OF_PART[part.part]] += part.tokens
        found |= {key_of(stage, name): MetricRecord(((number,),), number) for name, number in tokens.items()}
    return found


Find = Callable[[str], MetricRecord | None]


def _given(key: str, rule: Rule, find: Find, stored: Records, tokens: Records) -> MetricRecord | None:
    """Give what a rule makes of other figures.

    Args:
        key: Full name of the figure.
        rule: Its rule.
        find: Gives the other figures.
        stored: Those that are stored, or measured.
        tokens: Those that the compositions tell.
    """
    match rule.operation:
        case "copy":
            return find(rule.of[0])
        case "composition":
            return tokens.get(key)
        case "rest":
            whole, other = find(rule.of[0]), stored.get(rule.of[1])
            if whole is not None and other is None:
                # Neither of the two is stored: the agent's own time is nothing.
                return whole if rule.of[1].endswith("own_time") else ZERO
            return _difference(whole, other)
        case "difference":
            return _difference(*map(find, rule.of))
        case "sum":
            return combine([*map(find, rule.of)], add)
        case "ratio":
            return combine([*map(find, rule.of)], quotient)


def essential(records: Records, scope: Scope) -> tuple[dict[str, MetricRecord], dict[str, Number | None]]:
    """Leave out the records that :class:`Completed` gives back.

    What follows from the records is added on the way. A rule may need a figure that is not among them, but that follows
    from them, and it sees each figure as it will be read: else the file would hold more than the same file holds after
    it was read and written again.

    Returns:
        The records that must be stored, and the origins of left out records that their rule does not give.
    """
    tokens = tokens_of(scope)
    known = dict(records.items())
    left_out: dict[str, MetricRecord] = {}
    for key, rule in rules_of(scope.stages, scope.at_speed).items():
        if rule.operation != "rest":
            left_out |= _if_given(known, key, _given(key, rule, known.get, records, tokens))
            continue
        if key not in known and (found := _given(key, rule, known.get, records, tokens)) is not None:
            known[key] = found
        if key.endswith("own_time"):
            left_out |= _larger_time(known, measured=rule.of[0], model=rule.of[1], own=key)
    kept = {key: record for key, record in known.items() if key not in left_out}
    return kept, _other_origins(known, left_out)


def _if_given(known: dict[str, MetricRecord], key: str, derived: MetricRecord | None) -> dict[str, MetricRecord]:
    """Give the record that a rule derives if it is what is there. The rules after it see what will be read.

    A value that never varied may have been seen in several samples; where a rule gives it, it is read once.
    """
    if derived is None:
        return {}
    actual = known.setdefault(key, derived)
    if actual.sessions != derived.sessions:
        if len(derived.values) > 1 or set(actual.values) != set(derived.values):
            return {}
        known[key] = MetricRecord(derived.sessions, actual.origin)
    return {key: derived}


def _larger_time(known: dict[str, MetricRecord], *, measured: str, model: str, own: str) -> dict[str, MetricRecord]:
    """Give those of the model's time and the agent's own that follow from what is left."""
    if not {measured, model, own} <= known.keys():
        return {}
    whole = known[measured]
    nothing = not any(known[own].values)
    by_own = _if_given(known, model, _difference(whole, ZERO if nothing else known[own]))
    if not by_own or _total(known[own]) > _total(known[model]):
        by_model = _if_given(known, own, _difference(whole, known[model]))
        if by_model:
            # As it will be read, the agent's own time may tell what it did not tell with more values.
            by_own = _if_given(known, model, _difference(whole, known[own]))
            if not by_own or _total(known[own]) > _total(known[model]):
                return by_model
    return by_own | {own: ZERO} if by_own and nothing else by_own


def _total(record: MetricRecord) -> Number:
    return sum(record.values)


def _other_origins(known: Records, derived: Records) -> dict[str, Number | None]:
    """Give the known origins that are others than derived ones, apart from the dust of adding floats."""
    return {
        key: origin
        for key, record in derived.items()
        if (origin := known[key].origin) != record.origin
        and (origin is None or record.origin is None or not math.isclose(origin, record.origin, rel_tol=1e-9))
    }


def complete_pooled(pooled: Records, scope: Scope, origins: Origins) -> dict[str, MetricRecord]:
    """Add the single calls' values that follow from the others; arguments are as for :class:`Completed`."""
    found = dict(pooled)
    for key, derived in _pooled(pooled, scope):
        if key not in found:
            found[key] = MetricRecord(derived.sessions, origins.get(key, derived.origin))
    return found


def essential_pooled(pooled: Records, scope: Scope) -> tuple[dict[str, MetricRecord], dict[str, Number | None]]:
    """Leave out what :func:`complete_pooled` gives back. Returns are as for :func:`essential`."""
    left_out = {
        key: derived
        for key, derived in _pooled(pooled, scope)
        if key in pooled and pooled[key].sessions == derived.sessions
    }
    kept = {key: record for key, record in pooled.items() if key not in left_out}
    return kept, _other_origins(pooled, left_out)


def _pooled(pooled: Records, scope: Scope) -> Iterator[tuple[str, MetricRecord]]:
    """Give what follows: all single calls of the stages together, ascending."""
    for name in sorted({key.rpartition(".")[2] for key in pooled}):
        if scope.single:
            if name in pooled:
                yield key_of(ONLY_STAGE, name), pooled[name]
            continue
        outer = (key_of(stage, name) for stage in scope.stages if "/" not in stage)
        found = [pooled[key] for key in outer if key in pooled]
        if found and len({len(record.sessions) for record in found}) == 1:
            sessions = tuple(
                tuple(sorted(value for session in column for value in session))
                for column in zip(*(record.sessions for record in found), strict=True)
            )
            yield name, MetricRecord(sessions, mean(sessions[0]))


def combine(records: Sequence[MetricRecord | None], function: Callable[..., Number | None]) -> MetricRecord | None:
    """Apply a function to the values of several records, value by value.

    Args:
        records: The records. One of equal values stands for as many as the others have.
        function: What to do with the values of one sample; ``None`` where it has no answer.

    Returns:
        The record of the results; ``None`` where a record is missing, the shapes differ or a result is missing.
    """
    found = [record for record in records if record is not None]
    if not found or len(found) < len(records):
        return None
    columns: list[Any] = [record.sessions for record in found]
    shapes = [tuple(map(len, sessions)) for sessions in columns]
    if shapes.count(shapes[0]) < len(shapes):
        varying = {
            shape
            for shape, sessions in zip(shapes, columns, strict=True)
            if shape != (1,) and len(set(chain.from_iterable(sessions))) > 1
        }
        if len(varying) > 1:
            return None
        whole = varying.pop() if varying else max(shapes, key=sum)
        columns = [
            sessions if shape == whole else [repeat(sessions[0][0], size) for size in whole]
            for shape, sessions in zip(shapes, columns, strict=True)
        ]
    results: Any = tuple(tuple(map(function, *sessions)) for sessions in zip(*columns, strict=True))
    if None in chain.from_iterable(results):
        return None
    origins = [record.origin for record in found]
    return MetricRecord(results, None if None in origins else function(*origins))


def _difference(whole: MetricRecord | None, part: MetricRecord | None) -> MetricRecord | None:
    left = combine((whole, part), subtract)
    return left if left is None or any(map(any, left.sessions)) else MetricRecord(ZERO.sessions, left.origin)


def add(*values: Number) -> Number:
    """Add numbers as the decimals that they are written as: 0.1 and 0.2 are 0.3."""
    total = sum(values)
    return total if type(total) is int else float(sum(map(_exact, values)))


@lru_cache(maxsize=1024)
def subtract(whole: Number, part: Number) -> Number:
    """Subtract numbers as the decimals that they are written as; never below 0."""
    return 0.0 if part >= whole else float(_exact(whole) - _exact(part))


@lru_cache(maxsize=1024)
def quotient(over: Number, under: Number) -> Number | None:
    """Divide, to twelve digits; ``None`` where there is nothing to divide by."""
    return float(f"{over / under:.12g}") if under else None


def _exact(value: Number) -> Decimal:
    return Decimal(repr(value))
