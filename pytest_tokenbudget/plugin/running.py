"""The sample that is being taken: what the ``budget`` fixture gives, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_tokenbudget.baselines.outcomes import storable
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage import checked_path, current_path
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.metrics import MetricSpec, parse_metric
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.measure.sample import Measured, measure
from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import Sample, Span, Traffic, Turn, Values
from pytest_tokenbudget.tokens.aggregate import stage_composition

Clock = Callable[[], float]


@dataclass(slots=True)
class RunningSample:
    """One sample while it is being taken.

    Attributes:
        recorder: What is captured.
        reader: Reads it.
        table: The known metrics.
        clock: The sample's clock, s.
        origin: The sample's start on that clock.
        call_started: The start of its call phase on that clock; ``None`` as long as fixtures are set up.
    """

    recorder: Recorder
    reader: Reader
    table: Mapping[str, MetricSpec]
    clock: Clock
    origin: float
    call_started: float | None = None
    recorded_calls: list[Call] = field(default_factory=list)
    outcomes: dict[str, Any] = field(default_factory=dict)
    turn_marks: list[tuple[float, float]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """A turn of a scenario: the calls that begin meanwhile are its calls."""
        started = self.clock() - self.origin
        try:
            yield
        finally:
            self.turn_marks.append((started, self.clock() - self.origin))

    def begin_call(self) -> None:
        """Its call phase begins."""
        self.call_started = self.clock()

    def _call_phase(self, until: float) -> float:
        return 0.0 if self.call_started is None else until - self.call_started

    def measured(self) -> tuple[Sequence[Call], Measured]:
        """Calls and figures of what was captured so far."""
        calls, _ = self.reader.read_all(self.recorder.exchanges(), origin=self.origin)
        ordered = self._with_recorded(calls)
        return ordered, self.so_far(ordered)

    def so_far(self, calls: Sequence[Call]) -> Measured:
        """The figures of calls that have been read already, and of the stages and times so far."""
        return self._measure(calls, self._spans(), self._call_phase(self.clock()), None)

    def _with_recorded(self, calls: Sequence[Call]) -> tuple[Call, ...]:
        return tuple(sorted((*calls, *self.recorded_calls), key=lambda call: call.started))

    def _measure(
        self, calls: Sequence[Call], spans: Sequence[Span], call_phase: float, own_time: float | None
    ) -> Measured:
        return measure(
            calls, spans, call_phase=call_phase, own_time=own_time, table=self.table, compose=stage_composition
        )

    def _spans(self) -> tuple[Span, ...]:
        return tuple(
            Span(span.stage, span.started - self.origin, span.ended - self.origin) for span in self.recorder.spans()
        )

    def finish(self, *, ended: float, own_time: float | None = None) -> Sample:
        """The sample, measured.

        Args:
            ended: The end of the call phase on the sample's clock, s.
            own_time: s of the agent's own code on the real clock, where the sample's clock is a projection.
        """
        exchanges = self.recorder.exchanges()
        calls, unattributed = self.reader.read_all(exchanges, origin=self.origin)
        ordered = self._with_recorded(calls)
        spans = self._spans()
        measured = self._measure(ordered, spans, self._call_phase(ended), own_time)
        return Sample(
            calls=tuple(_without_prompt(call) for call in ordered),
            total=measured.total,
            stages=measured.stages,
            composition=measured.composition,
            pooled=measured.pooled,
            outcomes=dict(self.outcomes),
            traffic=traffic_of(exchanges),
            unattributed=unattributed,
            hosts=self.recorder.hosts(),
            turns=self._turns(ordered, spans),
            messages=(*self.messages, *problems(ordered)),
            own_time=own_time,
            schemas=self._schemas(ordered),
        )

    def _schemas(self, calls: Sequence[Call]) -> dict[str, SchemaAnatomy]:
        """How the larger tools of the calls are made up."""
        found: dict[str, SchemaAnatomy] = {}
        for call in calls:
            if call.prompt is not None and call.prompt.tools:
                found |= self.reader.schemas.read(call.prompt, provider=call.provider)
        return found

    def _turns(self, calls: Sequence[Call], spans: Sequence[Span]) -> tuple[Turn, ...]:
        turns = []
        for number, (start, end) in enumerate(self.turn_marks, start=1):
            mine = [call for call in calls if start <= call.started and (call.started < end or start == end)]
            measured = self._measure(mine, (), end - start, None)
            turns.append(Turn(number, measured.total))
        return tuple(turns)


def _without_prompt(call: Call) -> Call:
    return replace(call, prompt=None) if call.prompt is not None else call


def traffic_of(exchanges: Sequence[Exchange]) -> Traffic:
    """Where the answers came from: a script or a cassette as soon as one answer came from it."""
    by = {exchange.answered_by for exchange in exchanges}
    if "replay" in by:
        return "replay"
    return "scripted" if "script" in by else "live"


def problems(calls: Sequence[Call]) -> tuple[str, ...]:
    """What could not be read, and which models have no price; once each."""
    seen: dict[str, None] = {}
    for call in calls:
        model = call.model or call.request_model
        seen.update(dict.fromkeys(f"{call.api} ({model}): {text}" for text in call.problems))
        if call.succeeded and call.cost is None:
            unpriced = f"no price is known for {model} ({call.provider})"
            seen[f"{unpriced}; the ini option tokenbudget_prices can give one"] = None
    return tuple(seen)


class BudgetRecord:
    """What the ``budget`` fixture gives: the record of the running sample.

    In a test without the marker there is no sample; everything is accepted and nothing is kept.
    """

    def __init__(self, running: RunningSample | None) -> None:
        self._running = running

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls so far, failed attempts included, in the order in which they started."""
        if self._running is None:
            return ()
        calls, _ = self._figures(self._running)
        return tuple(_without_prompt(call) for call in calls)

    def stage(self, name: str) -> Values:
        """The figures of a stage so far, by metric.

        Raises:
            TokenBudgetError: If no such stage was opened; it names those that were.
        """
        if self._running is None:
            return {}
        _, measured = self._figures(self._running)
        if name not in measured.stages:
            opened = ", ".join(measured.stages) or "none"
            raise TokenBudgetError(f"stage {name!r} was never opened; opened so far: {opened}", remedy="check its name")
        return measured.stages[name]

    def total(self, metric: str) -> float | int | None:
        """A metric so far: ``budget.total("worker.input_tokens")``.

        Returns:
            Its value, ``None`` where it is unknown.

        Raises:
            TokenBudgetError: If there is no such metric or stage.
        """
        if self._running is None:
            return None
        try:
            parsed = parse_metric(metric, self._running.table)
        except ValueError as error:
            raise TokenBudgetError(str(error), remedy="see the table of metrics in the README") from None
        if parsed.stage:
            return self.stage(parsed.stage)[parsed.name]
        _, measured = self._figures(self._running)
        return measured.total[parsed.name]

    def record(
        self,
        model: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        latency: float = 0.0,
        provider: str = "custom",
        stage: str | None = None,
        tool_calls: Sequence[str] = (),
        finish_reason: str | None = None,
    ) -> None:
        """Record a call of a model that is not called over HTTP.

        Args:
            model: Name of the model.
            input_tokens: All that the model read.
            output_tokens: All that the model wrote.
            cached_input_tokens: The part of the input that was read from a cache.
            cache_write_tokens: The part of the input that was written to a cache.
            reasoning_tokens: The part of the output that was reasoning.
            latency: Its duration, s; it is taken to have ended now.
            provider: Who serves the model; used for its price.
            stage: Its stage; by default the one that is open.
            tool_calls: Names of the tools that the model called.
            finish_reason: Why it stopped.

        Raises:
            TokenBudgetError: If that is no stage.
        """
        running = self._running
        if running is None:
            return
        usage = Usage(input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens)
        running.recorded_calls.append(
            Call(
                stage=(checked_path(stage) if stage else current_path()) or "main",
                provider=provider,
                api="recorded",
                model=model,
                request_model=model,
                started=running.clock() - running.origin - latency,
                latency=float(latency),
                usage=usage,
                input_source="provider" if input_tokens is not None else None,
                output_source="provider" if output_tokens is not None else None,
                tool_calls=tuple(tool_calls),
                finish_reason=finish_reason,
                cost=running.reader.prices.cost(provider, model, usage),
            )
        )

    def outcome(self, name: str, value: Any) -> None:
        """Keep what the agent achieved: compared with the baseline's, and with ``reduce`` a condition.

        Args:
            name: Name of the outcome.
            value: Anything that JSON can hold.

        Raises:
            TokenBudgetError: If the value cannot be written as JSON.
        """
        import json

        if self._running is None:
            return
        try:
            plain = json.loads(json.dumps(value, allow_nan=False, sort_keys=True))
        except (TypeError, ValueError) as error:
            raise TokenBudgetError(
                f"outcome {name!r} cannot be written as JSON: {error}", remedy="give plain lists, dicts and strings"
            ) from None
        # In the form in which a baseline has it, since that is what it is compared with.
        self._running.outcomes |= storable({str(name): plain})

    def _figures(self, running: RunningSample) -> tuple[Sequence[Call], Measured]:
        return running.measured()
