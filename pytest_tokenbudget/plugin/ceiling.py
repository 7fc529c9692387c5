"""``stop_at``: the call that passes a ceiling is the last."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fractions import Fraction

from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.compare.values import sample_values
from pytest_tokenbudget.errors import BudgetExceeded
from pytest_tokenbudget.measure.running_figures import Number, RunningFigures, Surroundings
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import parse_request
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import rational, statistic
from pytest_tokenbudget.wording import counted

_COMPOSED = ("tool_schema_tokens", "system_tokens", "history_tokens", "fresh_input_tokens")


@dataclass(slots=True)
class Ceiling:
    """Reads each call as soon as it ends, and refuses every further one once a ceiling has been passed.

    Calls that are under way count as calls, so that a fan-out cannot leave all at once.

    Attributes:
        ceilings: Ceilings by metric.
        running: The sample.
        passed: What was passed, ``""`` as long as nothing was.
        refused: Number of calls that were refused.
    """

    ceilings: tuple[tuple[Metric, Fraction], ...]
    running: RunningSample
    passed: str = ""
    refused: int = 0
    _calls: list[Call] = field(default_factory=list)
    _under_way: list[str] = field(default_factory=list)
    _containers: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _figures: RunningFigures = field(init=False)
    _composes: bool = field(init=False)

    def __post_init__(self) -> None:
        running = self.running
        around = Surroundings(
            now=running.clock,
            call_phase=lambda: running.call_phase(running.clock()),
            spans_since=running.recorder.spans_since,
            recompute=self._recompute,
        )
        self._figures = RunningFigures([metric for metric, _ in self.ceilings], running.table, around)
        own = [metric for metric, _ in self.ceilings if running.table[metric.name].of_call is None]
        self._composes = any(metric.name in _COMPOSED for metric, _ in self.ceilings) or bool(own)

    def before_send(self, outgoing: Outgoing) -> None:
        """Refuse a call before it leaves.

        Raises:
            BudgetExceeded: If a ceiling has been passed.
        """
        # An app in the same process is asked at no cost; whether it calls a model will be seen.
        if outgoing.in_process:
            return
        request = parse_request(outgoing.method, outgoing.url, outgoing.headers, outgoing.body)
        if classify(request, self.running.reader.formats).kind != "call":
            return
        self.running.recorder.catch_up()
        with self._lock:
            self._compare()
            if not self.passed:
                self._under_way.append(outgoing.stage)
                return
            self.refused += 1
        raise self._exceeded(f"{outgoing.method} {outgoing.url.partition('?')[0]} was not sent")

    def on_end(self, exchange: Exchange) -> None:
        """Read a call that has just ended, and compare."""
        contained = exchange.sequence in self._containers
        if contained and exchange.within is not None:
            self._containers.add(exchange.within)
        if contained and exchange.answered_by == "mock":
            return
        found = self.running.reader.read(exchange, origin=self.running.origin, compose=self._composes)
        if not isinstance(found, Call):
            return
        if exchange.within is not None:
            self._containers.add(exchange.within)
        with self._lock:
            stage = exchange.stage or exchange.surrounding_stage
            if stage in self._under_way:
                self._under_way.remove(stage)
            self._add(found)

    def on_record(self, call: Call) -> None:
        """Take a call that the test recorded by hand.

        Raises:
            BudgetExceeded: If a ceiling has been passed with it: its model is asked by no request that could be refused.
        """
        with self._lock:
            self._add(call)
        if self.passed:
            raise self._exceeded(f"the run ends with the recorded call of {call.model}")

    @property
    def note(self) -> str:
        """The note that is shown at the end."""
        were = "was" if self.refused == 1 else "were"
        return f"stopped: {self.passed}; {counted(self.refused, 'later call')} {were} refused"

    def _exceeded(self, what: str) -> BudgetExceeded:
        return BudgetExceeded(
            f"{what}: {self.passed}", remedy="raise the ceiling in stop_at, or find out why the agent went on"
        )

    def _add(self, call: Call) -> None:
        self._calls.append(call)
        self._figures.add(call)
        self._compare()

    def _compare(self) -> None:
        for named, ceiling in () if self.passed else self.ceilings:
            for metric, known in self._figures.values(named):
                value = known
                if metric.name == "calls":
                    value += sum(inside(stage, metric.stage) for stage in self._under_way)
                if rational(value) > ceiling:
                    self.passed = f"{metric} is {float(value):,.10g}, stop_at allows {float(ceiling):,.10g}"

    def _recompute(self, metric: Metric) -> Number | None:
        """Measure all calls so far."""
        measured = self.running.figures_of(self._calls)
        sample = Sample(total=measured.total, stages=measured.stages, pooled=measured.pooled)
        values = sample_values([sample], metric, self.running.table[metric.name])
        return statistic(values, metric.statistic) if values else None
