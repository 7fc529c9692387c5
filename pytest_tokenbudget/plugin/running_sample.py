"""The sample that is being taken: what is captured of it, and the figures that come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from pytest_tokenbudget.capture.recorder import Recorder, hosts_of
from pytest_tokenbudget.measure.measured import Measured, measure
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.records.sample import Sample, Span, Traffic, Turn, Unseen
from pytest_tokenbudget.tokens.aggregate import stage_composition
from pytest_tokenbudget.wording import counted

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
        recorded_calls: Calls that the test recorded by hand.
        outcomes: What the agent achieved.
        turn_marks: Start and end of each turn of a scenario, s since the sample's start.
        messages: Notes for the reader.
        on_record: Told of each call that the test records by hand; may raise to end the run.
        asked: The calls of the finished sample, with their prompts.
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
    on_record: Callable[[Call], None] | None = None
    asked: Sequence[Call] = ()

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Open a turn of a scenario: the calls that begin meanwhile are its calls."""
        started = self.clock() - self.origin
        try:
            yield
        finally:
            self.turn_marks.append((started, self.clock() - self.origin))

    def call_phase(self, until: float) -> float:
        """Duration of the call phase until a reading of the clock, s."""
        return 0.0 if self.call_started is None else until - self.call_started

    def record(self, call: Call) -> None:
        """Add a call that is not seen by itself.

        Raises:
            BudgetExceeded: If a ceiling of ``stop_at`` has been passed with it.
        """
        self.recorded_calls.append(call)
        if self.on_record is not None:
            self.on_record(call)

    def measured(self) -> tuple[Sequence[Call], Measured]:
        """Calls and figures of what was captured so far."""
        ordered = self._with_recorded(self.reader.read_all(self.recorder.exchanges(), origin=self.origin).calls)
        return ordered, self.figures_of(ordered)

    def figures_of(self, calls: Sequence[Call]) -> Measured:
        """The figures of calls that have been read already, and of the stages and times so far."""
        return self._measure(calls, self.spans(), self.call_phase(self.clock()), None)

    def spans(self) -> tuple[Span, ...]:
        """The times in which stages were open so far, s since the sample's start."""
        return tuple(
            Span(span.stage, span.started - self.origin, span.ended - self.origin) for span in self.recorder.spans()
        )

    def finish(
        self, *, ended: float, own_time: float | None = None, before: Sequence[Exchange] = (), unseen: Unseen
    ) -> Sample:
        """Measure the sample.

        Args:
            ended: The end of the call phase on the sample's clock, s.
            own_time: s of the agent's own code on the real clock, where the sample's clock is a projection.
            before: What was sent before the sample and is charged to it.
            unseen: What was not seen of it.
        """
        seen = self.recorder.exchanges()
        exchanges = (*before, *seen)
        read = self.reader.read_all(exchanges, origin=self.origin)
        self.asked = calls = self._with_recorded(read.calls)
        measured = self._measure(calls, self.spans(), self.call_phase(ended), own_time, read.paid)
        schemas: dict[str, SchemaAnatomy] = {}
        for call in calls:
            if call.prompt is not None and call.prompt.tools:
                schemas |= self.reader.schemas.read(call.prompt, provider=call.provider)
        return Sample(
            calls=tuple(without_prompt(call) for call in calls),
            total=measured.total,
            stages=measured.stages,
            composition=measured.composition,
            pooled=measured.pooled,
            outcomes=dict(self.outcomes),
            traffic=traffic_of(exchanges),
            paid=read.paid,
            unattributed=read.unattributed,
            hosts=hosts_of(seen),
            turns=tuple(self._turns(calls)),
            messages=(*self.messages, *problems_of(calls), *paid_notes(read.paid), *read.notes),
            unseen=unseen,
            own_time=own_time,
            schemas=schemas,
            windows=measured.windows,
        )

    def _with_recorded(self, calls: Sequence[Call]) -> tuple[Call, ...]:
        return tuple(sorted((*calls, *self.recorded_calls), key=attrgetter("started")))

    def _measure(
        self,
        calls: Sequence[Call],
        spans: Sequence[Span],
        call_phase: float,
        own_time: float | None,
        paid: Sequence[Call] = (),
    ) -> Measured:
        return measure(
            calls,
            spans,
            call_phase=call_phase,
            begun=0.0 if self.call_started is None else self.call_started - self.origin,
            own_time=own_time,
            table=self.table,
            compose=stage_composition,
            paid=paid,
        )

    def _turns(self, calls: Sequence[Call]) -> Iterator[Turn]:
        for number, (start, end) in enumerate(self.turn_marks, start=1):
            mine = [call for call in calls if start <= call.started and (call.started < end or start == end)]
            yield Turn(number, self._measure(mine, (), end - start, None).total)


def without_prompt(call: Call) -> Call:
    """The call without the text of its prompt, which is not kept."""
    return replace(call, prompt=None) if call.prompt is not None else call


def traffic_of(exchanges: Sequence[Exchange]) -> Traffic:
    """Tell where the answers came from: a script or a cassette as soon as one answer came from it."""
    by = {exchange.answered_by for exchange in exchanges}
    if "replay" in by:
        return "replay"
    return "scripted" if "script" in by else "live"


def paid_notes(paid: Sequence[Call]) -> tuple[str, ...]:
    """Sentences on paid requests that are no calls and whose cost is not known, so that the test's is not either."""
    unpriced = Counter(f"{one.api} ({one.model or one.provider})" for one in paid if one.cost is None)
    return tuple(
        f"{counted(number, 'request')} to {name} cost money and {'is' if number == 1 else 'are'} no call of a language"
        " model: known, not priced, so that the cost is not known"
        for name, number in sorted(unpriced.items())
    )


def problems_of(calls: Sequence[Call]) -> tuple[str, ...]:
    """Sentences on what could not be read, and on costs that are not known; once each."""
    seen: dict[str, None] = {}
    for call in calls:
        model = call.model or call.request_model
        seen.update(dict.fromkeys(f"{call.api} ({model}): {text}" for text in call.problems))
        if call.succeeded and call.cost is None:
            seen[_why_no_cost(call, model)] = None
        if call.answered_by == "mock" and call.prompt is not None and (hidden := _hidden_parts(call.prompt)):
            seen[
                f"a mock answered a call to {model}, so its input is counted from the request, which does not show what the"
                f" provider adds for {', '.join(hidden)}: a limit on it says little"
            ] = None
    return tuple(seen)


_SERVER_SIDE = (
    "previous_response_id",
    "conversation",
    "prompt",
    "cachedContent",
    "cached_content",
    "container",
    "mcp_servers",
    "web_search_options",
    "search_parameters",
)
"""Fields of requests that have the provider add to the input."""


def _hidden_parts(prompt: Prompt) -> tuple[str, ...]:
    """Name what has the provider add to the input of a request: tools that it runs itself, and state that it keeps."""
    tools = [tool.kind for tool in prompt.tools if tool.kind not in ("function", "custom")]
    return tuple(dict.fromkeys([*tools, *(name for name in _SERVER_SIDE if prompt.extra.get(name))]))


def _why_no_cost(call: Call, model: str) -> str:
    reason = call.cost_problem or f"no price is known for {model}"
    remedy = "; the ini option tokenbudget_prices can give one" if "price" in reason else ""
    return f"the cost of a call to {model} ({call.provider}) is not known: {reason}{remedy}"
