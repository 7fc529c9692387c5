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


def build_composition(tokens: int = 100, *, digest: str = "aa", models: tuple[str, ...] = ("m",)) -> StageComposition:
    part = PartTotal("system", "", tokens, 1, 1, tokens, digest)
    return StageComposition(
        calls=1,
        parts=(part,),
        input_tokens=tokens,
        fresh_input_tokens=tokens,
        models=models,
        prefix=(("system", digest),),
    )


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
    tokens = {"": total.get("input_tokens"), **{stage: values.get("input_tokens") for stage, values in stages.items()}}
    return Sample(
        calls=(Call(**{"stage": "main", "provider": provider, "api": "openai.chat", "model": model, **(call or {})}),),
        total=total,
        stages=stages,
        composition={
            stage: build_composition(count if isinstance(count, int) else 0, digest=digest, models=(model,))
            for stage, count in tokens.items()
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
    integer = st.integers(-(2**62), 2**62)
    number = integer | st.floats(allow_nan=False, allow_infinity=False)
    session = st.lists(number, min_size=1, max_size=4).map(tuple)
    record = st.builds(
        MetricRecord, sessions=st.lists(session, min_size=1, max_size=10).map(tuple), origin=st.none() | number
    )
    part = st.builds(
        PartTotal,
        part=st.sampled_from(PART_NAMES),
        name=text,
        digest=text,
        **dict.fromkeys(("tokens", "calls", "distinct", "largest", "repeated_tokens"), integer),
    )
    composition = st.builds(
        StageComposition,
        calls=integer,
        parts=st.lists(part, max_size=3).map(tuple),
        input_tokens=integer,
        fresh_input_tokens=integer,
        output_tokens=st.none() | integer,
        reasoning_tokens=st.none() | integer,
        history_growth=st.none() | number,
        attempts=integer,
        models=st.lists(text, max_size=2).map(tuple),
        prefix=st.lists(st.tuples(text, text), max_size=3).map(tuple),
        estimated=st.booleans(),
    )
    json = st.recursive(
        st.none() | st.booleans() | number | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=5,
    )
    entries = st.builds(
        BaselineEntry,
        metrics=st.dictionaries(text, record, max_size=3),
        pooled=st.dictionaries(text, record, max_size=2),
        composition=st.dictionaries(text, composition, max_size=2),
        outcomes=st.dictionaries(text, json, max_size=2),
        traffic=st.sampled_from(["live", "replay", "scripted"]),
        sources=st.dictionaries(text, text, max_size=2),
        models=st.lists(text, max_size=2).map(tuple),
        providers=st.lists(text, max_size=2).map(tuple),
    )
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
        composition=st.dictionaries(st.just(""), st.sampled_from([build_composition(1), build_composition(2)])),
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
