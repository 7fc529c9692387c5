"""Builders of samples and entries, and Hypothesis strategies, for the tests of baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import PART_NAMES, PartTotal, StageComposition
from pytest_tokenbudget.records.sample import Sample

NAMES = (
    "calls", "cost", "input_tokens", "output_tokens", "total_tokens", "latency", "model_time", "own_time",
    "system_tokens", "fresh_input_tokens", "latency_per_output_token", "failed_attempts", "reasoning_tokens",
)  # fmt: skip


def build_composition(tokens: int = 100, *, digest: str = "aa", models: tuple[str, ...] = ("m",)) -> StageComposition:
    part = PartTotal("system", "", tokens, 1, 1, tokens, digest)
    return StageComposition(calls=1, counted=(part,), models=models)


def build_sample(
    total: dict[str, Any] | None = None,
    stages: dict[str, dict[str, Any]] | None = None,
    *,
    digest: str = "aa",
    model: str = "m",
    provider: str = "p",
    call: dict[str, Any] | None = None,
    **fields: Any,
) -> Sample:
    total = {"input_tokens": 100, "calls": 1} if total is None else total
    stages = stages or {}
    own = stages or {"main": total}
    return Sample(
        calls=(Call(**{"stage": "main", "provider": provider, "api": "openai.chat", "model": model, **(call or {})}),),
        total=total,
        stages=stages,
        composition={
            stage: build_composition(
                count if isinstance(count := values.get("input_tokens"), int) else 0, digest=digest, models=(model,)
            )
            for stage, values in own.items()
        },
        **fields,
    )


@pytest.fixture(scope="session")
def sample() -> Callable[..., Sample]:
    """Builds a sample from the values of its metrics."""
    return build_sample


@pytest.fixture(scope="session")
def entry() -> Callable[..., BaselineEntry]:
    """Builds an entry with one metric, ``input_tokens``, from its sessions."""

    def build(*sessions: tuple[float, ...], origin: float | None = None, **fields: Any) -> BaselineEntry:
        record = MetricRecord(sessions or ((100,),), origin)
        return BaselineEntry(metrics={"input_tokens": record}, models=("m",), providers=("p",), **fields)

    return build


@pytest.fixture
def store() -> JsonStore:
    return JsonStore(lock_timeout_s=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a baseline that does not exist yet."""
    return tmp_path / "__budgets__" / "test_a.json"


def _strategies() -> SimpleNamespace:
    text = st.text(max_size=8)
    count = st.integers(0, 10**9)
    number = count | st.floats(1e-12, 1e9) | st.just(0.0)
    session = st.lists(number, min_size=1, max_size=4).map(tuple)
    record = st.builds(
        MetricRecord, sessions=st.lists(session, min_size=1, max_size=10).map(tuple), origin=st.none() | number
    )
    exact = st.builds(lambda value, origin: MetricRecord(((value,),), origin), count, count)
    name = st.sampled_from(NAMES) | text.filter(lambda name: "." not in name)
    part = st.builds(
        PartTotal,
        part=st.sampled_from(PART_NAMES),
        name=text,
        digest=text,
        **dict.fromkeys(("tokens", "calls", "distinct", "largest", "repeated_tokens", "behind_tokens"), count),
    )
    composition = st.builds(
        StageComposition,
        calls=count,
        counted=st.lists(part, max_size=3).map(tuple),
        reported_input=st.none() | count,
        output_tokens=st.none() | count,
        reasoning_tokens=st.none() | count,
        failed_attempts=count,
        models=st.lists(text, max_size=2).map(tuple),
        estimated=st.booleans(),
    )
    json = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.floats(allow_nan=False, allow_infinity=False)
        | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=5,
    )

    @st.composite
    def entry(draw: Any) -> BaselineEntry:
        stages = draw(
            st.sampled_from([("main",), ("router", "worker"), ("worker", "worker/fin"), ("é/b", "é", "main")])
        )
        key = st.builds(lambda stage, name: f"{stage}.{name}" if stage else name, st.sampled_from(("", *stages)), name)
        pooled_key = st.builds(
            lambda stage, name: f"{stage}.{name}" if stage else name,
            st.sampled_from(("", *stages)),
            # A metric has values of samples or of single calls, never both.
            st.sampled_from(["ttft", "call_latency"]),
        )
        return BaselineEntry(
            metrics=draw(st.dictionaries(key, record | exact, max_size=12)),
            pooled=draw(st.dictionaries(pooled_key, record, max_size=3)),
            composition={stage: draw(composition) for stage in stages},
            outcomes=draw(st.dictionaries(text, json, max_size=2)),
            traffic=draw(st.sampled_from(["live", "replay", "scripted"])),
            sources=draw(st.dictionaries(key, text.filter(lambda source: source != "provider"), max_size=2)),
            models=draw(st.lists(text, max_size=2).map(tuple)),
            providers=draw(st.lists(text, max_size=2).map(tuple)),
        )

    entries = entry()
    # Few sessions and few contexts, so that files share tests, metrics and sessions and differ in their order.
    small_record = st.builds(
        MetricRecord,
        sessions=st.lists(st.sampled_from([(1,), (1.0,), (2,), (2, 3), (0.5,)]), min_size=1, max_size=10).map(tuple),
        origin=st.sampled_from([None, 1, 1.0, 2]),
    )
    small_entry = st.builds(
        BaselineEntry,
        metrics=st.dictionaries(st.sampled_from(["calls", "latency"]), small_record, max_size=2),
        pooled=st.dictionaries(st.just("ttft"), small_record, max_size=1),
        composition=st.dictionaries(st.just("main"), st.sampled_from([build_composition(1), build_composition(2)])),
        outcomes=st.dictionaries(st.just("booked"), st.sampled_from([True, {"b": 1, "a": 2}, {"a": 2, "b": 1}])),
        traffic=st.sampled_from(["live", "live", "replay"]),
        models=st.sampled_from([("m",), ("n",)]),
    )
    files = st.dictionaries(st.sampled_from(["test_a", "test_b"]), small_entry, max_size=2)
    return SimpleNamespace(entries=st.dictionaries(text, entries, max_size=3), files=files, anything=json)


@pytest.fixture(scope="session")
def strategies() -> SimpleNamespace:
    """``entries`` (of a file, anything that can be stored), ``files`` (that overlap) and ``anything`` (JSON)."""
    return _strategies()
