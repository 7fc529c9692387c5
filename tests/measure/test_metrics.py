"""The table of metrics."""

from __future__ import annotations

import pytest

from pytest_tokenbudget.measure.measured import measure
from pytest_tokenbudget.measure.metrics import metric_table, parse_metric
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Span
from pytest_tokenbudget.tokens.aggregate import stage_composition

TABLE = metric_table()


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("input_tokens", Metric("", "input_tokens")),
        ("worker.latency.p95", Metric("worker", "latency", "p95")),
        ("worker/finalize.calls", Metric("worker/finalize", "calls")),
        ("*.cost", Metric("*", "cost")),
        ("app.v2.calls", Metric("app.v2", "calls")),
    ],
)
def test_metric_is_read(text: str, metric: Metric) -> None:
    """``[stage.]name[.statistic]`` is split from its end."""
    assert parse_metric(text, TABLE) == metric
    assert str(metric) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [("input_token", "input_tokens"), ("worker.latancy", "latency"), ("latency.p96", "p9"), ("worker", "known")],
)
def test_unknown_metric_names_the_nearest(text: str, hint: str) -> None:
    """A slip is answered with what was probably meant."""
    with pytest.raises(ValueError, match=hint):
        parse_metric(text, TABLE)


def _call(stage: str, start: float, end: float, **usage: int) -> Call:
    return Call(stage=stage, provider="p", api="a", started=start, latency=end - start, usage=Usage(**usage))


def test_a_stage_holds_the_stages_inside_it() -> None:
    """``worker`` counts ``worker/finalize``; ``workers`` is another stage."""
    calls = [
        _call("worker", 0, 2, input_tokens=10, output_tokens=1),
        _call("worker/finalize", 1, 3, input_tokens=5, output_tokens=2),
        _call("workers", 5, 6, input_tokens=1, output_tokens=1),
    ]
    spans = [Span("worker", 0, 4), Span("worker/finalize", 1, 3)]
    measured = measure(calls, spans, call_phase=7.0, own_time=None, table=TABLE, compose=stage_composition)
    assert measured.stages["worker"]["input_tokens"] == 15
    assert measured.stages["worker"]["latency"] == 4
    assert measured.stages["worker"]["model_time"] == 3
    assert measured.stages["worker"]["own_time"] == 1
    assert measured.stages["worker/finalize"]["calls"] == 1
    assert measured.stages["workers"]["latency"] == 1
    assert measured.total["total_tokens"] == 20
    assert measured.total["latency"] == 7.0
    assert measured.pooled[""]["call_latency"] == (2, 2, 1)


def test_unknown_usage_is_unknown_and_not_zero() -> None:
    """One call without usage makes the sum unknown; failed attempts do not."""
    failed = Call(stage="main", provider="p", api="a", error="http 429")
    calls = [_call("main", 0, 1, input_tokens=1, output_tokens=1), failed]
    measured = measure(calls, (), call_phase=1.0, own_time=None, table=TABLE, compose=stage_composition)
    assert measured.total["input_tokens"] == 1
    assert measured.total["failed_attempts"] == 1
    assert measured.total["cached_input_tokens"] is None
    calls.append(_call("main", 1, 2))
    measured = measure(calls, (), call_phase=1.0, own_time=None, table=TABLE, compose=stage_composition)
    assert measured.total["input_tokens"] is None
    assert measured.total["calls"] == 2
