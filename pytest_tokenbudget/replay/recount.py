"""Recounts a recorded run as if its requests were smaller: what a cut would bring, before it is made.

The recorded run and the changed one are read by the reader that reads every run, so that their figures are those of a replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from pytest_tokenbudget.errors import WhatIfError
from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.explain.cache_advice import DEFAULT_MINIMUM_PREFIX, MINIMUM_PREFIX
from pytest_tokenbudget.measure.measured import Measured, measure
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.measure.reading import Reader, calibrated
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import JsonObject, Request, split_url
from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Cause, Piece, inside
from pytest_tokenbudget.records.exchange import Exchange, TokenBasis
from pytest_tokenbudget.records.gate import split_key
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import Before, GateResult, TestResult, Verdict, worst
from pytest_tokenbudget.replay.interaction import Interaction, exchange_of
from pytest_tokenbudget.replay.projection import Slope, slopes
from pytest_tokenbudget.replay.redaction import dump
from pytest_tokenbudget.replay.request_cuts import change_tools, shrink, tools_of
from pytest_tokenbudget.tokens.aggregate import stage_composition
from pytest_tokenbudget.wording import counted

_METRICS = ("input_tokens", "output_tokens", "cached_input_tokens", "calls", "latency", "cost")
_ALWAYS_SHOWN = ("input_tokens", "latency", "cost")
"""Metrics of the whole test that are shown also where they stay the same."""

_WRITES_COST = ("anthropic", "aws.bedrock")
"""Providers that take more for input that is written to a cache (Anthropic "Prompt caching", read 2026-11-28)."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """A change of a run that is asked about.

    Attributes:
        drop_tools: Names of the tools that no request offers any more.
        shrink: The share of its tokens that a tool's schema keeps, from 0 to 1, by the tool's name.
        drop_stages: Paths of the stages whose calls are not made any more.
        cache: Whether the provider serves every stable prefix from its cache.
        stage: Path of the stage whose own calls alone are changed; ``None``: all are.
        keeps_used_tools: Whether a dropped tool stays in those requests whose answer calls it.
    """

    drop_tools: tuple[str, ...] = ()
    shrink: Mapping[str, float] = field(default_factory=dict)
    drop_stages: tuple[str, ...] = ()
    cache: bool = False
    stage: str | None = None
    keeps_used_tools: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded run as it is read: what each change is compared with.

    Attributes:
        interactions: The recorded requests and answers, in the order of their starts.
        exchanges: The same as exchanges.
        calls: The model calls among them.
        measured: Their figures.
    """

    interactions: tuple[Interaction, ...]
    exchanges: tuple[Exchange, ...]
    calls: tuple[Call, ...]
    measured: Measured

    @classmethod
    def read(cls, interactions: Sequence[Interaction], reader: Reader) -> Recording:
        """Read the recorded requests and answers of one run."""
        ordered = tuple(sorted(interactions, key=lambda one: one.started))
        exchanges = tuple(_exchanges([_Planned(one, one.body, TokenBasis(one.input_tokens)) for one in ordered]))
        calls = reader.read_all(exchanges, origin=0.0).calls
        return cls(ordered, exchanges, calls, _measured(calls))

    def result(self, reader: Reader, *, nodeid: str) -> TestResult:
        """Give the recorded run in the form of a test's result."""
        return TestResult(nodeid, "ok", samples=(_sample(self.calls, self.measured, reader),))


def recount(recording: Recording, cuts: Cuts, reader: Reader, *, nodeid: str) -> TestResult:
    """Compare a recorded run with the same run after a change.

    Args:
        recording: The recorded run.
        cuts: The change.
        reader: Reads and counts the calls.
        nodeid: The test, or the cassette's path.

    Returns:
        The result of a comparison of the changed run with the recorded one.

    Raises:
        WhatIfError: If no recorded request has the tool, or no call is in the stage, that is to be changed.
    """
    return _Recount(recording, cuts, reader).result(nodeid)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A recorded call and what becomes of it: its changed request, or none; and the time that it takes longer, s."""

    then: Interaction
    body: JsonObject | None
    basis: TokenBasis
    later: float = 0.0
    is_dropped: bool = False


class _Recount:
    """Recounts one recorded run."""

    def __init__(self, recording: Recording, cuts: Cuts, reader: Reader) -> None:
        self._recording = recording
        self._cuts = cuts
        self._reader = reader
        self._slopes: dict[str, Slope] = slopes(recording.interactions)
        self._shrunk: dict[tuple[str, str, str], JsonObject] = {}
        self._notes: dict[str, None] = {}
        self._unknown_slopes: dict[str, int] = {}
        self._recounted = 0

    def result(self, nodeid: str) -> TestResult:
        """Compare both sides."""
        recorded = self._recording
        self._check_names(recorded.calls)
        planned = [
            self._plan(one, exchange) for one, exchange in zip(recorded.interactions, recorded.exchanges, strict=True)
        ]
        after = self._reader.read_all(_exchanges(planned), origin=0.0).calls
        if self._cuts.cache:
            after = _with_cache(after, self._reader, stage=self._cuts.stage)
        then, now = recorded.measured, _measured(after)
        gates = tuple(_gates(then, now))
        return TestResult(
            nodeid=nodeid,
            verdict=worst(gates),
            gates=gates,
            samples=(_sample(after, now, self._reader),),
            causes=tuple(cause for gate in gates for cause in self._causes(gate, then, now)),
            notices=(*self._notes, *self._time_notes(), *self._assumptions(recorded.calls)),
            against="recording",
            compared_with="the recorded run",
            before=Before(then.total, then.stages, then.composition),
        )

    def _causes(self, gate: GateResult, then: Measured, now: Measured) -> tuple[Cause, ...]:
        """Explain a figure. What times and caches depend on is known here, and need not be told from compositions."""
        stage, name = split_key(gate.metric)
        was, value = gate.baseline, gate.value
        if was is None or value is None or was == value:
            return ()
        figures = [(side.stages.get(stage, {}) if stage else side.total) for side in (then, now)]
        (calls, read), (calls_now, read_now) = [
            (one.get("calls") or 0, one.get("input_tokens") or 0) for one in figures
        ]
        if name == "cached_input_tokens" and self._cuts.cache:
            text = f"stable prefixes {was:,} -> {value:,} of {read_now:,} tokens read"
            return (Cause(gate.metric, stage, "input", "", value - was, text),)
        if name == "latency" and calls == calls_now:
            text = f"{read:,} -> {read_now:,} tokens, and the time that the cassette tells for each"
            return (Cause(gate.metric, stage, "input", "", value - was, text),)
        if name == "latency":
            text = f"{calls_now} instead of {calls} calls, {read:,} -> {read_now:,} tokens read"
            return (Cause(gate.metric, stage, "calls", "", value - was, text),)
        return explain(name, stage, then.composition, now.composition, before_value=was, after_value=value)

    def _check_names(self, calls: Sequence[Call]) -> None:
        offered = {name for one in self._recording.interactions if one.body is not None for name in tools_of(one.body)}
        for name in (*self._cuts.drop_tools, *self._cuts.shrink):
            if name not in offered:
                raise _unknown("no recorded request offers a tool", name, offered)
        stages = {call.stage for call in calls}
        for stage in self._cuts.drop_stages:
            if not any(inside(known, stage) for known in stages):
                raise _unknown("no recorded call is in a stage", stage, stages)

    def _plan(self, then: Interaction, exchange: Exchange) -> _Planned:
        body, cuts = then.body, self._cuts
        unchanged = _Planned(then, body, TokenBasis(then.input_tokens))
        stage = self._stage_of(exchange) if cuts.drop_stages or cuts.stage is not None else None
        if stage is not None and any(inside(stage, dropped) for dropped in cuts.drop_stages):
            return replace(unchanged, is_dropped=True)
        if body is None or not (cuts.drop_tools or cuts.shrink) or cuts.stage not in (None, stage):
            return unchanged
        changed = self._change(then, body)
        if changed == body:
            return unchanged
        self._recounted += 1
        counted_then, counted_now = self._count(then, body), self._count(then, changed)
        basis = TokenBasis(None) if counted_then is None else TokenBasis(then.input_tokens, counted_then)
        later = 0.0
        if then.input_tokens is not None and counted_then and counted_now is not None and counted_now != counted_then:
            later = self._seconds_later(then, calibrated(counted_now, then.input_tokens, counted_then))
        return _Planned(then, changed, basis, later)

    def _stage_of(self, exchange: Exchange) -> str | None:
        call = self._reader.read(exchange, origin=0.0, compose=False)
        return call.stage if isinstance(call, Call) else None

    def _change(self, then: Interaction, body: JsonObject) -> JsonObject:
        def change(name: str, definition: JsonObject) -> JsonObject | None:
            if name in self._cuts.drop_tools:
                return definition if self._cuts.keeps_used_tools and name in then.tool_calls else None
            share = self._cuts.shrink.get(name)
            return definition if share is None else self._shrink(then, body, name, definition, share)

        return change_tools(body, change)

    def _shrink(
        self, then: Interaction, body: JsonObject, name: str, definition: JsonObject, share: float
    ) -> JsonObject:
        key = (then.api, then.model, dump(definition))
        if key not in self._shrunk:

            def tokens(tried: JsonObject) -> int:
                other = change_tools(body, lambda tool, found: tried if tool == name else found)
                return self._schema_tokens(then, other, name)

            found = shrink(definition, share, tokens)
            whole, kept = tokens(definition), tokens(found)
            if kept > share * whole:
                self._notes[
                    f"{name} without any description still has {kept:,} of {whole:,} tokens: its structure is the rest"
                ] = None
            self._shrunk[key] = found
        return self._shrunk[key]

    def _schema_tokens(self, then: Interaction, body: JsonObject, name: str) -> int:
        """Count a tool's schema in a request as its composition does: without the framing around all tools."""
        prompt = self._prompt(then, body)
        if prompt is None:
            return 0
        composed = self._reader.counter.compose(prompt, provider=then.provider, input_tokens=None)
        return (
            sum(piece.counted_milli for piece in composed.pieces if (piece.part, piece.name) == ("tools", name)) // 1000
        )

    def _prompt(self, then: Interaction, body: JsonObject) -> Prompt | None:
        return classify(Request(then.method, split_url(then.url), {}, body), self._reader.formats).prompt()

    def _count(self, then: Interaction, body: JsonObject) -> int | None:
        """Count a request as a replay counts it; ``None`` where it cannot be counted."""
        prompt = self._prompt(then, body)
        return None if prompt is None else self._reader.counter.count_prompt(prompt, provider=then.provider).tokens

    def _seconds_later(self, then: Interaction, tokens: int) -> float:
        """Tell by how many s the answer comes later (earlier: below 0), as :class:`.player.Player` does."""
        slope = self._slopes.get(then.model)
        if slope is None:
            self._unknown_slopes[then.model] = self._unknown_slopes.get(then.model, 0) + 1
            return 0.0
        return slope.seconds_later(then, tokens)

    def _time_notes(self) -> list[str]:
        return [
            f"the times of {counted(number, 'call')} to {model} are as recorded: the cassette does not tell how they depend on size"
            for model, number in sorted(self._unknown_slopes.items())
        ]

    def _assumptions(self, before: Sequence[Call]) -> list[str]:
        """Say which numbers hold only if the model would have answered the same."""
        found = []
        if self._recounted:
            found.append(
                f"input_tokens: the requests of {counted(self._recounted, 'call')} were counted again; calls, history,"
                " output_tokens, latency and cost assume that the model would have answered the same"
            )
        used = [name for call in before for name in call.tool_calls if name in self._cuts.drop_tools]
        found += [
            f"the model called {name} {counted(used.count(name), 'time')} in the recorded run, and those calls and results"
            " are still counted: what it would have done without the tool is not known"
            for name in dict.fromkeys(used)
        ]
        if self._cuts.drop_stages:
            found.append(
                f"the calls of {', '.join(self._cuts.drop_stages)} are left out; all other numbers assume that the rest of"
                " the run does the same without their answers"
            )
        if self._cuts.cache:
            found.append(
                "cached_input_tokens and cost assume that the provider still has each stable prefix when the next call comes;"
                " latency is not lowered for cached tokens"
            )
        return found


def _unknown(what: str, name: str, known: set[str]) -> WhatIfError:
    near = get_close_matches(name, sorted(known), n=3, cutoff=0.4) or sorted(known)[:10]
    listed = ", ".join(one for one in near if one) or "none"
    return WhatIfError(f"{what} {name!r}", remedy=f"name one that was recorded: {listed}")


def _exchanges(planned: Sequence[_Planned]) -> list[Exchange]:
    """Make the exchanges of a run. A call begins when those are over that were over when it began, and as long after."""
    found: list[Exchange] = []
    ends: list[tuple[float, float]] = []
    for number, plan in enumerate(planned):
        then = plan.then
        earlier = [(old, new) for old, new in ends if old <= then.started + 1e-9]
        waited = then.started - max((old for old, _ in earlier), default=0.0)
        started = max((new for _, new in earlier), default=0.0) + max(0.0, waited)
        ended = started if plan.is_dropped else started + max(0.0, then.duration + plan.later)
        ends.append((then.ended, ended))
        if not plan.is_dropped:
            found.append(_exchange(plan, number, started, ended))
    return found


def _exchange(plan: _Planned, number: int, started: float, ended: float) -> Exchange:
    recorded = exchange_of(replace(plan.then, body=plan.body), number)
    return replace(
        recorded,
        chunk_times=tuple(started + max(0.0, time + plan.later) for time in plan.then.times),
        started=started,
        ended=ended,
        token_basis=plan.basis,
    )


def _with_cache(calls: Sequence[Call], reader: Reader, *, stage: str | None) -> tuple[Call, ...]:
    """Count as cached what a call (of one stage, where one is given) begins with in common with an earlier one of its model."""
    served = [0] * len(calls)
    wanted = [0] * len(calls)
    for number, call in enumerate(calls):
        if stage not in (None, call.stage):
            continue
        least = MINIMUM_PREFIX.get(call.provider, DEFAULT_MINIMUM_PREFIX)
        for other, earlier in enumerate(calls[:number]):
            if _answered(earlier) > call.started or (earlier.provider, earlier.model) != (call.provider, call.model):
                continue
            common = _common_tokens(_pieces(earlier), _pieces(call))
            if common >= least:
                served[number] = max(served[number], common)
                wanted[other] = max(wanted[other], common)
    return tuple(
        _cached(call, tokens, later, reader) if tokens or later else call
        for call, tokens, later in zip(calls, served, wanted, strict=True)
    )


def _answered(call: Call) -> float:
    """Give the time when a call's answer began, s: from then on its prefix is in the cache; a failed one leaves nothing there."""
    return call.started + (call.ttft or call.latency) if call.succeeded else float("inf")


def _pieces(call: Call) -> tuple[Piece, ...]:
    return () if call.composition is None else call.composition.pieces


def _common_tokens(one: Sequence[Piece], other: Sequence[Piece]) -> int:
    """Tokens of the other prompt's pieces that both begin with."""
    total = 0
    for piece, own in zip(one, other, strict=False):
        if (piece.part, piece.name, piece.digest) != (own.part, own.name, own.digest):
            break
        total += own.tokens
    return total


def _cached(call: Call, tokens: int, later: int, reader: Reader) -> Call:
    """Give a call that reads ``tokens`` from the cache, and of which later calls read ``later``."""
    usage = call.usage
    whole = usage.input_tokens
    if whole is None or not call.succeeded:
        return call
    cached = min(whole, max(tokens, usage.cached_input_tokens or 0))
    written = max(0, min(later, whole) - cached) if call.provider in _WRITES_COST else usage.cache_write_tokens
    if written is not None:
        written = min(written, whole - cached)
    usage = replace(usage, cached_input_tokens=cached, cache_write_tokens=written)
    priced = reader.prices.price(
        call.provider, call.model or call.request_model, usage, api=call.api, billed=call.billed
    )
    return replace(call, usage=usage, cost=priced.usd, cost_problem=priced.reason)


def _measured(calls: Sequence[Call]) -> Measured:
    """Measure a run whose test lasts from its first call's start to the end of its last."""
    ended = max((call.started + call.latency for call in calls), default=0.0)
    return measure(calls, (), call_phase=ended, own_time=None, table=metric_table(), compose=stage_composition)


def _sample(calls: Sequence[Call], measured: Measured, reader: Reader) -> Sample:
    schemas: dict[str, SchemaAnatomy] = {}
    for call in calls:
        if call.prompt is not None and call.prompt.tools:
            schemas.update(reader.schemas.read(call.prompt, provider=call.provider))
    return Sample(
        calls=tuple(replace(call, prompt=None) for call in calls),
        total=measured.total,
        stages=measured.stages,
        composition=measured.composition,
        pooled=measured.pooled,
        traffic="replay",
        windows=measured.windows,
        schemas=schemas,
    )


def _gates(then: Measured, now: Measured) -> list[GateResult]:
    """Compare the figures that changed, exactly, of the whole test and of each stage."""
    found = []
    table = metric_table()
    for stage in ("", *sorted({*then.stages, *now.stages})):
        before = then.stages.get(stage) if stage else then.total
        after = now.stages.get(stage) if stage else now.total
        for name in _METRICS:
            was = 0 if before is None else before.get(name)
            value = 0 if after is None else after.get(name)
            if name == "cached_input_tokens":
                was, value = was or 0, value or 0
            if was is None or value is None or (was == value and (stage or name not in _ALWAYS_SHOWN)):
                continue
            gate = GateResult(
                metric=f"{stage}.{name}" if stage else name,
                statistic="mean",
                rule="",
                kind="max_increase",
                baseline=was,
                value=value,
                verdict=_verdict(name, was, value),
                allowed=was,
                unit=table[name].unit,
            )
            found.append(gate)
    return found


def _verdict(name: str, was: float, value: float) -> Verdict:
    if was == value:
        return "ok"
    more_is_better: Literal[1, -1] = 1 if name == "cached_input_tokens" else -1
    return "improved" if (value - was) * more_is_better > 0 else "regression"
