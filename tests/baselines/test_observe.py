"""Samples of one run become one session."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.observe import observe, session_values, thinned
from pytest_tokenbudget.records.baseline import MAX_POOLED
from pytest_tokenbudget.records.composition import Composition
from pytest_tokenbudget.records.sample import Sample

Build = Callable[..., Sample]


def test_few_pooled_values_stay_in_their_order() -> None:
    """Nothing is chosen where all have room."""
    assert thinned((3.0, 1.0, 2.0)) == (3.0, 1.0, 2.0)


@given(values=st.lists(st.floats(0, 100), min_size=61, max_size=300))
def test_thinned_values_keep_the_distribution(values: list[float]) -> None:
    """60 of the values, whatever their order; the share below any of them is that of all values within 1/60."""
    chosen = thinned(values)
    assert len(chosen) == MAX_POOLED == 60
    assert chosen == thinned(values[::-1])
    assert set(chosen) <= set(values)
    for limit in (chosen[0], chosen[30], chosen[59]):
        share = sum(value <= limit for value in values) / len(values)
        assert abs(sum(value <= limit for value in chosen) / len(chosen) - share) <= 1 / 60 + 1e-9


def test_values_of_odd_kinds_become_plain_numbers(sample: Build) -> None:
    """A metric of a hook may return anything; what is no finite number is unknown."""
    odd = {
        "half": Fraction(1, 2),
        "yes": True,
        "text": "7",
        "nan": float("nan"),
        "inf": float("inf"),
        "complex": 1j,
        "huge": 10**400,
        "ratio": Fraction(10**400, 3),
        "none": None,
    }
    seen = observe([sample(odd)])
    assert seen.metrics == {"half": (0.5,), "yes": (1,)}
    assert {name: type(values[0]) for name, values in seen.metrics.items()} == {"half": float, "yes": int}
    assert seen.unknown == odd.keys() - {"half", "yes"}


def test_a_stage_that_a_sample_did_not_open_counts_as_zero(sample: Build) -> None:
    """A step that runs in half of the samples costs half on average; the samples stay aligned."""
    runs = [
        sample({"calls": 1}),
        sample({"calls": 3}, {"worker": {"calls": 2, "cost": 0.5}}),
        sample({"calls": 2}, {"worker": {"calls": 1, "cost": None}}),
    ]
    assert observe(runs).metrics == {"calls": (1, 3, 2), "worker.calls": (0, 2, 1), "worker.cost": (0, 0.5)}


def test_the_composition_is_that_of_the_sample_nearest_to_the_mean(sample: Build) -> None:
    """With its outcomes; the first of equals."""
    runs = [sample({"input_tokens": tokens}, outcomes={"n": n}) for n, tokens in enumerate((100, 130, 110, 110))]
    seen = observe(runs)
    assert seen.composition["main"].input_tokens == 110
    assert seen.outcomes == {"n": 2}


def test_a_sample_with_unknown_tokens_is_not_typical(sample: Build) -> None:
    """Where one sample knows its input, its composition is taken."""
    assert observe([sample({"input_tokens": None}), sample({"input_tokens": 7})]).composition["main"].input_tokens == 7
    assert observe([sample({"input_tokens": None})]).composition["main"].input_tokens == 0


def test_the_source_is_the_least_sure_of_its_calls(sample: Build) -> None:
    """By stage, with the encoding that counted; the provider's own numbers are not mentioned."""
    composition = Composition((), 9, 9, "o200k_base")
    counted = sample(
        {"input_tokens": 9},
        {"main": {"input_tokens": 9}, "other": {}},
        call={"input_source": "counted", "output_source": "calibrated", "composition": composition},
    )
    provider = sample({"input_tokens": 9}, call={"input_source": "provider", "output_source": "provider"})
    assert observe([provider]).sources == {}
    assert observe([provider, counted]).sources == {
        "input_tokens": "counted o200k_base",
        "main.input_tokens": "counted o200k_base",
        "output_tokens": "calibrated o200k_base",
        "main.output_tokens": "calibrated o200k_base",
    }


def test_attempts_that_failed_name_no_model(sample: Build) -> None:
    """Only models that answered; the requested name where the answer has none."""
    runs = [
        sample(call={"error": "http 429"}, model="limited", provider="busy"),
        sample(model="", call={"request_model": "asked"}),
        sample(model="answered", provider="z"),
    ]
    seen = observe(runs)
    assert (seen.models, seen.providers) == (("answered", "asked"), ("p", "z"))


def test_gates_compare_all_values(sample: Build) -> None:
    """No cap where a run is judged; pooled metrics by single calls, and aligned otherwise."""
    runs = [sample({"latency": n, "ttft": 9.0}, pooled={"": {"ttft": (0.5,) * 10}}) for n in range(15)]
    values = session_values(runs)
    assert values == {"latency": tuple(range(15)), "ttft": (0.5,) * 150}
