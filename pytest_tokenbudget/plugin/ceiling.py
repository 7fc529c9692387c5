"""``stop_at``: the call that passes a ceiling is the last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pytest_tokenbudget.capture.answer import Outgoing
from pytest_tokenbudget.errors import BudgetExceeded
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.measure.sample import measure
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Budget, Metric
from pytest_tokenbudget.tokens.aggregate import stage_composition
from pytest_tokenbudget.wire.format import WireFormat
from pytest_tokenbudget.wire.registry import request_of


def is_model_call(outgoing: Outgoing, formats: Sequence[WireFormat]) -> bool:
    """Whether a request that is about to leave is a model call of any known format."""
    request = request_of(
        Exchange(outgoing.client, outgoing.method, outgoing.url, outgoing.headers, request_body=outgoing.body)
    )
    return any(wire_format.recognises(request) for wire_format in formats)


_COMPOSED = ("tool_schema_tokens", "system_tokens", "history_tokens", "fresh_input_tokens")


@dataclass(slots=True)
class Ceiling:
    """Reads each call as soon as it ends, and refuses every further one once a ceiling has been passed.

    Attributes:
        ceilings: Ceilings by metric.
        reader: Reads calls.
        table: The known metrics.
        clock: The sample's clock, s.
        passed: What was passed, ``""`` as long as nothing was.
    """

    ceilings: tuple[tuple[Metric, Fraction], ...]
    reader: Reader
    table: Mapping[str, MetricSpec]
    clock: Callable[[], float]
    passed: str = ""
    _calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, budget: Budget, reader: Reader, table: Mapping[str, MetricSpec], clock: Callable[[], float]) -> Ceiling:
        """The ceilings of a budget."""
        return cls(budget.stop_at, reader, {m.name: table[m.name] for m, _ in budget.stop_at}, clock)

    def before_send(self, outgoing: Outgoing) -> None:
        """Refuse a call before it leaves.

        Raises:
            BudgetExceeded: If a ceiling has been passed.
        """
        if self.passed and is_model_call(outgoing, self.reader.formats):
            raise BudgetExceeded(
                f"{outgoing.method} {outgoing.url.partition('?')[0]} was not sent: {self.passed}",
                remedy="raise the ceiling in stop_at, or find out why the agent went on",
            )

    def on_end(self, exchange: Exchange) -> None:
        """Read a call that has just ended, and compare."""
        compose = any(metric.name in _COMPOSED for metric, _ in self.ceilings)
        found = self.reader.read(exchange, origin=0.0, compose=compose)
        if not isinstance(found, Call):
            return
        with self._lock:
            self._calls.append(found)
            measured = measure(
                self._calls, (), call_phase=0.0, own_time=None, table=self.table, compose=stage_composition
            )
            for metric, ceiling in self.ceilings:
                figures = measured.stages.get(metric.stage, {}) if metric.stage else measured.total
                value = figures.get(metric.name)
                if value is not None and Fraction(value) > ceiling:
                    self.passed = f"{metric} is {value:,.10g}, stop_at allows {float(ceiling):,.10g}"
