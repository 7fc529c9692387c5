"""Works out the figures that follow from others, so that a file need not hold them.

Of a test's figures most follow from a few: the whole test's are the sums of its stages', total tokens are input plus
output, tokens by part follow from the composition. The same rules say, on reading, which figures are added and, on
writing, which ones are left out: a figure is left out only where the rule gives exactly what is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from pytest_tokenbudget.measure.metrics import OPEN_TIMES
from pytest_tokenbudget.records.baseline import MetricRecord, Number, Session
from pytest_tokenbudget.records.composition import Compositions, StageComposition, within
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.stats.statistic import mean

Records = Mapping[str, MetricRecord]
"""Records by full metric name."""

Origins = Mapping[str, Number | None]
Combine = Callable[[Sequence[Number]], Number | None]

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

_FROM_COMPOSITION: Mapping[str, Callable[[StageComposition], int]] = {
    "fresh_input_tokens": lambda composition: composition.fresh_input_tokens,
    "history_tokens": lambda composition: _tokens(composition, "assistant", "tool_results"),
    "system_tokens": lambda composition: _tokens(composition, "system"),
    "tool_schema_tokens": lambda composition: _tokens(composition, "tools"),
}

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

    @property
    def top(self) -> tuple[str, ...]:
        """The stages that lie in no other."""
        return tuple(stage for stage in self.stages if "/" not in stage)


class Completed(Mapping[str, MetricRecord]):
    """The records of a test: those that are stored, and those that follow from them, worked out when they are asked for.

    A comparison asks for a few of them.

    Args:
        stored: The stored records.
        scope: The test's stages.
        origins: Origins, by full metric name, that are others than the rules give.
    """

    __slots__ = ("_compositions", "_known", "_origins", "_steps", "stored")

    def __init__(self, stored: Records, scope: Scope, origins: Origins) -> None:
        self.stored = stored
        self._known: dict[str, MetricRecord | None] = dict(stored)
        self._steps = _steps_by_key(scope.stages, scope.at_speed)
        self._compositions = scope.compositions
        self._origins = origins

    def _find(self, key: str) -> MetricRecord | None:
        if key not in self._known:
            step = self._steps.get(key)
            derived = None if step is None else step.give(key, self, self._compositions)
            self._known[key] = None if derived is None else _moved(derived, key, self._origins)
        return self._known[key]

    def __getitem__(self, key: str) -> MetricRecord:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __iter__(self) -> Iterator[str]:
        return (key for key in dict.fromkeys((*self.stored, *self._steps)) if self._find(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def essential(records: Records, scope: Scope) -> tuple[dict[str, MetricRecord], dict[str, Number | None]]:
    """Leave out the records that :class:`Completed` gives back.

    What follows from the records is added first. A rule may need a figure that is not among them, but that follows
    from them: without it the file would hold more than the same file holds after it was read and written again.

    Returns:
        The records that must be stored, and the origins of left out records that their rule does not give.
    """
    known = dict(Completed(records, scope, {}))
    kept = dict(known)
    origins: dict[str, Number | None] = {}
    for step in _steps(scope.stages, scope.at_speed):
        for key, derived in step.redundant(known, scope.compositions):
            del kept[key]
            if not _same_origin(derived.origin, known[key].origin):
                origins[key] = known[key].origin
    return kept, origins


Rule = Callable[[Records, Compositions], MetricRecord | None]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure that follows from others."""

    key: str
    rule: Rule

    @property
    def keys(self) -> tuple[str, ...]:
        """The name of the figure."""
        return (self.key,)

    def give(self, key: str, found: Completed, compositions: Compositions) -> MetricRecord | None:
        """Give the figure."""
        del key
        return self.rule(found, compositions)

    def redundant(self, records: Records, compositions: Compositions) -> Iterator[tuple[str, MetricRecord]]:
        """Give the figure where it is there and equals what the rule gives."""
        actual = records.get(self.key)
        if actual is not None and (derived := self.rule(records, compositions)) is not None and _same(actual, derived):
            yield self.key, derived


@dataclass(frozen=True, slots=True)
class _Times:
    """The model's time and the agent's own: together the time that a stage was open. The smaller of the two is stored."""

    measured: str
    model: str
    own: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of both."""
        return self.model, self.own

    def give(self, key: str, found: Completed, compositions: Compositions) -> MetricRecord | None:
        """Give the one that is not stored; where neither is, the agent's own time is nothing."""
        del compositions
        measured = found.get(self.measured)
        if measured is None:
            return None
        other = found.stored.get(self.own if key == self.model else self.model)
        if other is not None:
            return _difference(measured, other)
        return measured if key == self.model else ZERO

    def redundant(self, records: Records, compositions: Compositions) -> Iterator[tuple[str, MetricRecord]]:
        """Give those of the two that follow from what is left."""
        del compositions
        measured, model, own = self.measured, self.model, self.own
        if not {measured, model, own} <= records.keys():
            return
        whole, model_time, own_time = records[measured], records[model], records[own]
        by_own, by_model = _difference(whole, own_time), _difference(whole, model_time)
        own_tells = by_own is not None and _same(model_time, by_own)
        model_tells = by_model is not None and _same(own_time, by_model)
        smaller_own = sum(own_time.values) <= sum(model_time.values)
        if by_own is not None and own_tells and (smaller_own or not model_tells):
            yield model, by_own
            if not any(own_time.values):
                yield own, ZERO
        elif by_model is not None and model_tells:
            yield own, by_model


_Step = _Figure | _Times


@lru_cache(maxsize=256)
def _steps(stages: tuple[str, ...], at_speed: bool) -> tuple[_Step, ...]:
    """The steps of a test in their order: a step uses only what is stored and what earlier steps gave."""
    return tuple(_steps_of(Scope(stages, {}, at_speed)))


@lru_cache(maxsize=256)
def _steps_by_key(stages: tuple[str, ...], at_speed: bool) -> dict[str, _Step]:
    """The step that gives a figure, by its full name."""
    return {key: step for step in _steps(stages, at_speed) for key in step.keys}


def _steps_of(scope: Scope) -> Iterator[_Step]:
    if scope.single:
        yield from _steps_within("", scope)
        for name in (*_summed(scope), *_FROM_COMPOSITION):
            # Nobody opens this stage: it is open while its calls run.
            source = "model_time" if name in OPEN_TIMES else name
            yield _Figure(Metric(ONLY_STAGE, name).key, _copy(source))
        yield from _measured(ONLY_STAGE, scope)
        yield _own_time(ONLY_STAGE)
        yield from _ratios(ONLY_STAGE)
        return
    for stage in scope.stages:
        yield from _steps_within(stage, scope)
    yield from _composition_steps("")
    for name in _summed(scope):
        yield _Figure(name, _total(name, scope.top))
    yield from _measured("", scope)
    yield _own_time("")
    yield from _ratios("")


def _steps_within(stage: str, scope: Scope) -> Iterator[_Step]:
    yield from _composition_steps(stage)
    yield from _measured(stage, scope)
    yield _Times(*_keys_of_times(stage))
    yield from _ratios(stage)


def _keys_of_times(stage: str) -> tuple[str, str, str]:
    measured, model, own = (Metric(stage, name).key for name in ("measured_latency", "model_time", "own_time"))
    return measured, model, own


def _composition_steps(stage: str) -> Iterator[_Figure]:
    return (_Figure(Metric(stage, name).key, _tokens_by(stage, value)) for name, value in _FROM_COMPOSITION.items())


def _tokens_by(stage: str, value: Callable[[StageComposition], int]) -> Rule:
    def rule(_: Records, compositions: Compositions) -> MetricRecord | None:
        composition = within(compositions, stage)
        if composition is None or not composition.parts:
            return None
        tokens = value(composition)
        return MetricRecord(((tokens,),), tokens)

    return rule


def _measured(stage: str, scope: Scope) -> Iterator[_Step]:
    """Give the measured time where it is that of the virtual clock, or there is no other."""
    if not scope.at_speed:
        yield _Figure(Metric(stage, "measured_latency").key, _copy(Metric(stage, "latency").key))


def _summed(scope: Scope) -> Iterator[str]:
    return (name for name in SUMMED if scope.at_speed or name != "measured_latency")


def _same(actual: MetricRecord, derived: MetricRecord) -> bool:
    """Tell whether a rule gives what is there. A value that never varied may have been seen in several samples."""
    if actual.sessions == derived.sessions:
        return True
    return len(derived.values) == 1 and set(actual.values) == set(derived.values)


def _same_origin(one: Number | None, other: Number | None) -> bool:
    """Tell whether two means are the same, apart from the dust of adding floats."""
    return one == other if one is None or other is None else math.isclose(one, other, rel_tol=1e-9)


def _own_time(stage: str) -> _Figure:
    measured, model, own = _keys_of_times(stage)
    return _Figure(own, lambda found, _: _difference(found.get(measured), found.get(model)))


def _ratios(stage: str) -> Iterator[_Figure]:
    read, written, model = (Metric(stage, name).key for name in ("input_tokens", "output_tokens", "model_time"))
    total, ratio = (Metric(stage, name).key for name in ("total_tokens", "latency_per_output_token"))
    yield _Figure(total, lambda found, _: combine((found.get(read), found.get(written)), add))
    yield _Figure(ratio, lambda found, _: combine((found.get(model), found.get(written)), _quotient))


def _copy(key: str) -> Rule:
    return lambda found, _: found.get(key)


def _total(name: str, stages: Sequence[str]) -> Rule:
    keys = [Metric(stage, name).key for stage in stages]
    return lambda found, _: combine([found.get(key) for key in keys], add)


def _difference(whole: MetricRecord | None, part: MetricRecord | None) -> MetricRecord | None:
    left = combine((whole, part), lambda values: subtract(*values))
    return left if left is None or any(map(any, left.sessions)) else MetricRecord(ZERO.sessions, left.origin)


def subtract(whole: Number, part: Number) -> Number:
    """Subtract numbers as the decimals that they are written as; never below 0."""
    return max(float(_exact(whole) - _exact(part)), 0.0)


def _moved(record: MetricRecord, key: str, origins: Origins) -> MetricRecord:
    return MetricRecord(record.sessions, origins[key]) if key in origins else record


def complete_pooled(pooled: Records, scope: Scope, origins: Origins) -> dict[str, MetricRecord]:
    """Add the single calls' values that follow from the others; arguments are as for :class:`Completed`."""
    found = dict(pooled)
    for key, derived in _pooled(pooled, scope):
        found.setdefault(key, _moved(derived, key, origins))
    return found


def essential_pooled(pooled: Records, scope: Scope) -> tuple[dict[str, MetricRecord], dict[str, Number | None]]:
    """Leave out what :func:`complete_pooled` gives back. Returns are as for :func:`essential`."""
    kept = dict(pooled)
    origins: dict[str, Number | None] = {}
    for key, derived in _pooled(pooled, scope):
        if key in kept and kept[key].sessions == derived.sessions:
            if not _same_origin(kept[key].origin, derived.origin):
                origins[key] = kept[key].origin
            del kept[key]
    return kept, origins


def _pooled(pooled: Records, scope: Scope) -> Iterator[tuple[str, MetricRecord]]:
    """Give what follows: all single calls of the stages together, ascending."""
    for name in sorted({key.rpartition(".")[2] for key in pooled}):
        if scope.single:
            if name in pooled:
                yield Metric(ONLY_STAGE, name).key, pooled[name]
            continue
        found = [pooled[key] for stage in scope.top if (key := Metric(stage, name).key) in pooled]
        if found and len({len(record.sessions) for record in found}) == 1:
            sessions = tuple(
                tuple(sorted(value for session in column for value in session))
                for column in zip(*(record.sessions for record in found), strict=True)
            )
            yield name, MetricRecord(sessions, mean(sessions[0]))


def combine(records: Iterable[MetricRecord | None], function: Combine) -> MetricRecord | None:
    """Apply a function to the values of several records, value by value.

    Args:
        records: The records. One of equal values stands for as many as the others have.
        function: What to do with the values of one sample; ``None`` where it has no answer.

    Returns:
        The record of the results; ``None`` where a record is missing, the shapes differ or a result is missing.
    """
    given = list(records)
    known = [record for record in given if record is not None]
    if not known or len(known) < len(given):
        return None
    if all(len(record.sessions) == 1 and len(record.sessions[0]) == 1 for record in known):
        value = function([record.sessions[0][0] for record in known])
        return None if value is None else MetricRecord(((value,),), _combined_origin(known, function))
    shapes = {_shape(record) for record in known}
    if len(shapes) > 1:
        varying = [record for record in known if len(set(record.values)) > 1]
        shapes = {_shape(record) for record in varying} or {max(map(_shape, known), key=sum)}
    if len(shapes) > 1:
        return None
    (shape,) = shapes
    spread = [_spread(record, shape) for record in known]
    sessions: list[Session] = []
    for columns in zip(*spread, strict=True):
        values = [function(sample) for sample in zip(*columns, strict=True)]
        if any(value is None for value in values):
            return None
        sessions.append(tuple(value for value in values if value is not None))
    return MetricRecord(tuple(sessions), _combined_origin(known, function))


def _combined_origin(records: Sequence[MetricRecord], function: Combine) -> Number | None:
    origins = [record.origin for record in records if record.origin is not None]
    return function(origins) if len(origins) == len(records) else None


def _shape(record: MetricRecord) -> tuple[int, ...]:
    return tuple(map(len, record.sessions))


def _spread(record: MetricRecord, shape: tuple[int, ...]) -> tuple[Session, ...]:
    return record.sessions if _shape(record) == shape else tuple((record.sessions[0][0],) * size for size in shape)


def add(values: Sequence[Number]) -> Number:
    """Add numbers as the decimals that they are written as: 0.1 and 0.2 are 0.3."""
    if all(type(value) is int for value in values):
        return sum(values)
    return float(sum(map(_exact, values), Decimal(0)))


def _quotient(values: Sequence[Number]) -> Number | None:
    return quotient(*values)


def quotient(over: Number, under: Number) -> Number | None:
    """Divide, to twelve digits; ``None`` where there is nothing to divide by."""
    return float(f"{over / under:.12g}") if under else None


def _exact(value: Number) -> Decimal:
    return Decimal(value if type(value) is int else repr(value))


def _tokens(composition: StageComposition, *parts: str) -> int:
    return sum(part.tokens for part in composition.parts if part.part in parts)
