"""Figures that are kept up to date call by call are those that measuring all calls gives."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from pytest_tokenbudget.measure.measured import measure, union_length
from pytest_tokenbudget.measure.metrics import MetricSpec, metric_table, parse_metric
from pytest_tokenbudget.measure.running_figures import RunningFigures, Surroundings, Union
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Composition, Piece
from pytest_tokenbudget.records.sample import Sample, Span
from pytest_tokenbudget.stats.statistic import statistic
from pytest_tokenbudget.tokens.aggregate import stage_composition

TABLE = metric_table([MetricSpec("searches", "count", "Searches.", lambda view: 7 * len(view.calls))])


@dataclass
class Opened:
    """A stage that is open."""

    stage: str
    started: float
    ended: float | None = None


def _call(rng: random.Random, started: float) -> Call:
    stage = rng.choice(["worker", "worker/finalize", "router"])
    if rng.random() < 0.2:
        return Call(stage, "p", "openai.chat", error="http 429", started=started, latency=rng.random())
    texts = rng.sample("abcdef", 3)
    pieces = (
        Piece("system", "", 40, "s"),
        Piece("tools", "search", 30, "t"),
        *(Piece("user", "", rng.randint(1, 9), text) for text in texts),
    )
    return Call(
        stage,
        "p",
        "openai.chat",
        model="m",
        started=started,
        latency=rng.random() * 3,
        ttft=rng.random(),
        usage=Usage(rng.randint(1, 99), rng.randint(1, 99), rng.choice([None, 3])),
        tool_calls=("search",) * rng.randint(0, 2),
        cost=rng.randint(1, 99) / 10_000,
        composition=Composition(pieces, sum(piece.tokens for piece in pieces), 100, "o200k"),
    )


@pytest.mark.parametrize("seed", range(5))
def test_running_figures_are_those_of_all_calls(seed: int) -> None:
    """Every metric, of the test, of a stage and of each stage, after every call, with stages that open inside others."""
    rng = random.Random(seed)
    names = [name for name in TABLE if name not in ("latency_per_output_token", "provider_pace")]
    texts = [f"{stage}{name}" for name in names for stage in ("", "worker.", "*.")]
    metrics = [parse_metric(text, TABLE) for text in (*texts, "ttft.p95", "worker.call_latency.max")]
    calls: list[Call] = []
    spans: list[Opened] = []
    now = 0.0

    def measured(at: float) -> Sample:
        known = [Span(span.stage, span.started, at if span.ended is None else span.ended) for span in spans]
        found = measure(calls, known, call_phase=at, own_time=None, table=TABLE, compose=stage_composition)
        return Sample(total=found.total, stages=found.stages, pooled=found.pooled)

    around = Surroundings(
        now=lambda: now,
        call_phase=lambda: now,
        spans_since=lambda number: spans[number:],
        recompute=lambda metric: (measured(now).stages.get(metric.stage, {}) if metric.stage else measured(now).total)[
            metric.name
        ],
    )
    running = RunningFigures(metrics, TABLE, around)
    for _ in range(25):
        now += rng.random()
        if rng.random() < 0.5:
            spans.append(Opened(rng.choice(["worker", "worker/finalize"]), now))
        for span in spans:
            if span.ended is None and rng.random() < 0.3:
                span.ended = now
        calls.append(_call(rng, now))
        running.add(calls[-1])
        now += 4
        sample = measured(now)
        for named in metrics:
            for metric, value in running.values(named):
                figures = sample.stages.get(metric.stage, {}) if metric.stage else sample.total
                if TABLE[metric.name].pooled is not None:
                    values = sample.pooled[metric.stage][metric.name]
                    expected = statistic(values, metric.statistic) if values else 0
                else:
                    expected = figures.get(metric.name) or 0
                assert float(value) == pytest.approx(expected, abs=1e-9), metric


def test_an_unknown_value_keeps_no_other_from_counting() -> None:
    """One call without usage does not hide what the others spent."""
    metric = parse_metric("input_tokens", TABLE)
    running = RunningFigures([metric], TABLE, Surroundings(float, float, lambda number: [], lambda metric: None))
    known = Call("main", "p", "openai.chat", usage=Usage(100, 10))
    for call in (known, replace(known, usage=Usage()), known):
        running.add(call)
    assert list(running.values(metric)) == [(metric, 200)]


def test_a_union_is_that_of_all_intervals() -> None:
    """Whatever their order."""
    rng = random.Random(1)
    union, intervals = Union(), []
    for _ in range(300):
        start = rng.random() * 50
        intervals.append((start, start + rng.random()))
        union.add(*intervals[-1])
        assert union.length == pytest.approx(union_length(intervals))
    assert union.until(20.0, 60.0) == pytest.approx(union_length([*intervals, (20.0, 60.0)]))
