"""``stop_at``: the call that passes a ceiling is the last."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.compare.values import sample_values
from pytest_tokenbudget.errors import BudgetExceeded
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.request import parse_request
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.stats.exact import rational
from pytest_tokenbudget.stats.statistic import statistic

_COMPOSED = ("tool_schema_tokens", "system_tokens", "history_tokens", "fresh_input_tokens")


def is_model_call(outgoing: Outgoing, formats: Sequence[WireFormat]) -> bool:
    """Whether a request that is about to leave is a model call of any known format."""
    request = parse_request(outgoing.method, outgoing.url, outgoing.headers, outgoing.body)
    return classify(request, formats).kind == "call"


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
    running: RunningSample = field(init=False)
    passed: str = ""
    refused: int = 0
    _calls: list[Call] = field(default_factory=list)
    _under_way: list[str] = field(default_factory=list)
    _containers: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before_send(self, outgoing: Outgoing) -> None:
        """Refuse a call before it leaves.

        Raises:
            BudgetExceeded: If a ceiling has been passed.
        """
        # An app in the same process is asked at no cost; whether it calls a model will be seen.
        if outgoing.in_process or not is_model_call(outgoing, self.running.reader.formats):
            return
        self.running.recorder.catch_up()
        with self._lock:
            self._compare()
            if not self.passed:
                self._under_way.append(outgoing.stage)
                return
            self.refused += 1
        raise BudgetExceeded(
            f"{outgoing.method} {outgoing.url.partition('?')[0]} was not sent: {self.passed}",
            remedy="raise the ceiling in stop_at, or find out why the agent went on",
        )

    def on_end(self, exchange: Exchange) -> None:
        """Read a call that has just ended, and compare."""
        contained = exchange.sequence in self._containers
        if contained and exchange.within is not None:
            self._containers.add(exchange.within)
        if contained and exchange.answered_by == "mock":
            return
        compose = any(metric.name in _COMPOSED for metric, _ in self.ceilings)
        found = self.running.reader.read(exchange, origin=self.running.origin, compose=compose)
        if not isinstance(found, Call):
            return
        if exchange.within is not None:
            self._containers.add(exchange.within)
        with self._lock:
            stage = exchange.stage or exchange.surrounding_stage
            if stage in self._under_way:
                self._under_way.remove(stage)
            self._calls.append(found)
            self._compare()

    @property
    def note(self) -> str:
        """What is said of it at the end."""
        later = "1 later call was" if self.refused == 1 else f"{self.refused} later calls were"
        return f"stopped: {self.passed}; {later} refused"

    def _compare(self) -> None:
        if self.passed:
            return
        measured = self.running.figures_of(self._calls)
        sample = Sample(total=measured.total, stages=measured.stages, pooled=measured.pooled)
        for named, ceiling in self.ceilings:
            for metric in _each(named, measured.stages):
                values = sample_values([sample], metric, self.running.table[metric.name])
                value = statistic(values, metric.statistic) if values else 0
                if metric.name == "calls":
                    value += sum(inside(stage, metric.stage) for stage in self._under_way)
                if rational(value) > ceiling:
                    self.passed = f"{metric} is {value:,.10g}, stop_at allows {float(ceiling):,.10g}"


def _each(metric: Metric, stages: Mapping[str, Values]) -> list[Metric]:
    """A metric, or where it is of each stage one for each stage so far."""
    return [replace(metric, stage=stage) for stage in stages] if metric.stage == "*" else [metric]
