"""How a run changes what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.baselines import evolve
from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.records.baseline import MAX_SAMPLES, MAX_SESSIONS, MetricRecord
from pytest_tokenbudget.records.sample import Sample

Build = Callable[..., Sample]


def agrees(_: str) -> bool:
    return False


def differs(_: str) -> bool:
    return True


def test_the_first_run_is_the_origin(sample: Build) -> None:
    """One session a metric, its mean the origin; unknown values are not stored."""
    runs = [
        sample({"input_tokens": 100, "latency": 1.0, "cost": None}, {"worker/fin": {"calls": 2}}),
        sample({"input_tokens": 100, "latency": 2.0, "cost": None}, {"worker/fin": {"calls": 3}}),
    ]
    entry = evolve.create(runs)
    assert entry.metrics == {
        "input_tokens": MetricRecord(((100, 100),), 100),
        "latency": MetricRecord(((1.0, 2.0),), 1.5),
        "worker/fin.calls": MetricRecord(((2, 3),), 2.5),
    }
    assert type(entry.metrics["input_tokens"].origin) is int
    assert (entry.models, entry.providers, entry.traffic) == (("m",), ("p",), "live")


def test_agreeing_noise_gains_a_session(sample: Build) -> None:
    """Newest last, the origin stays."""
    entry = evolve.create([sample({"latency": 1.0})])
    entry = evolve.update(entry, [sample({"latency": 1.25})], changed=agrees)
    assert entry.metrics["latency"] == MetricRecord(((1.0,), (1.25,)), 1.0)


@pytest.mark.parametrize("traffic", ["live", "replay"])
@pytest.mark.parametrize(("tokens", "cost"), [(104, 0.000486), (150, 0.0007)])
def test_one_rule_holds_for_every_metric_gated_or_not(tokens: int, cost: float, traffic: str, sample: Build) -> None:
    """No number of the run before stays, and none is mixed with it; the origins do not move."""
    entry = evolve.create([sample({"input_tokens": 100, "cost": 0.000467}, traffic=traffic)])
    run = sample({"input_tokens": tokens, "cost": cost}, traffic=traffic)
    entry = evolve.update(entry, [run], changed=lambda name: name == "input_tokens")
    assert entry.metrics == {
        "input_tokens": MetricRecord(((tokens,),), 100),
        "cost": MetricRecord(((cost,),), 0.000467),
    }


def test_noise_within_what_was_seen_gains_a_session(sample: Build) -> None:
    """A count that varies is no change while it stays where it was; outside, and more than a tenth away, it is one."""
    entry = evolve.create([sample({"output_tokens": n}) for n in (90, 100, 110)])
    entry = evolve.update(entry, [sample({"output_tokens": 108})], changed=agrees)
    entry = evolve.update(entry, [sample({"output_tokens": 112})], changed=agrees)
    assert entry.metrics["output_tokens"].sessions == ((90, 100, 110), (108,), (112,))
    entry = evolve.update(entry, [sample({"output_tokens": 140})], changed=agrees)
    assert entry.metrics["output_tokens"].sessions == ((140,),)


def test_times_follow_the_tokens_of_their_stage(sample: Build) -> None:
    """A stage that reads a third more takes another time, and its old times describe nothing; those of others go on."""

    def run(worker: int, latency: float) -> Sample:
        stages = {
            "worker": {"input_tokens": worker, "latency": latency},
            "router": {"input_tokens": 9, "latency": latency},
        }
        return sample({"input_tokens": 9 + worker}, stages)

    entry = evolve.update(evolve.create([run(90, 1.0)]), [run(120, 1.25)], changed=agrees)
    assert entry.metrics["worker.latency"].sessions == ((1.25,),)
    assert entry.metrics["router.latency"].sessions == ((1.0,), (1.25,))


@pytest.mark.parametrize("step", [evolve.update, evolve.accept])
@pytest.mark.parametrize("changed", [agrees, differs])
def test_equal_numbers_change_nothing(step: Any, changed: Callable[[str], bool], sample: Build) -> None:
    """The very same entry comes back, so that not a byte of the file moves; several equal samples are no news either."""
    run = sample({"input_tokens": 100, "latency": 1.5}, {"worker": {"calls": 1}}, outcomes={"booked": ("a", 1)})
    entry = evolve.create([run])
    assert step(entry, [run], changed=changed) is entry
    assert step(entry, [run, run, run], changed=changed) is entry


def test_text_of_equal_size_changes_nothing(sample: Build) -> None:
    """A date in the system prompt gives another digest every day; the numbers are the same."""
    entry = evolve.create([sample(digest="monday")])
    assert evolve.update(entry, [sample(digest="tuesday")], changed=agrees) is entry


def test_a_changed_number_brings_the_new_composition(sample: Build) -> None:
    """Whatever is explained from now on is explained against the run that was stored last."""
    entry = evolve.create([sample({"input_tokens": 100}, digest="monday")])
    entry = evolve.update(entry, [sample({"input_tokens": 120}, digest="tuesday")], changed=differs)
    assert entry.composition["main"].input_tokens == 120
    assert entry.composition["main"].parts[0].digest == "tuesday"


def test_a_changed_outcome_is_stored_though_the_numbers_are_equal(sample: Build) -> None:
    """Updating is how a maintainer says that the agent shall do something else from now on."""
    entry = evolve.create([sample(outcomes={"booked": 1})])
    assert evolve.update(entry, [sample(outcomes={"booked": 2})], changed=agrees).outcomes == {"booked": 2}


@pytest.mark.parametrize("traffic", ["replay", "scripted"])
def test_deterministic_traffic_does_not_collect_sessions(traffic: str, sample: Build) -> None:
    """It is compared exactly; the agent's own clock must not make the file grow run by run."""
    entry = evolve.create([sample({"own_time": 0.001}, traffic=traffic)])
    assert evolve.update(entry, [sample({"own_time": 0.002}, traffic=traffic)], changed=agrees) is entry
    replaced = evolve.update(entry, [sample({"own_time": 0.002}, traffic=traffic)], changed=differs)
    assert replaced.metrics["own_time"] == MetricRecord(((0.002,),), 0.001)


@pytest.mark.parametrize("other", [{"model": "n"}, {"provider": "q"}, {"traffic": "replay"}])
def test_another_model_provider_or_traffic_replaces_all(other: dict[str, str], sample: Build) -> None:
    """Times of two models are not one distribution."""
    entry = evolve.create([sample({"latency": 1.0, "calls": 1})])
    entry = evolve.update(entry, [sample({"latency": 1.1, "calls": 2}, **other)], changed=agrees)
    assert entry.metrics == {"latency": MetricRecord(((1.1,),), 1.0), "calls": MetricRecord(((2,),), 1)}


def test_a_number_that_is_obtained_otherwise_is_replaced(sample: Build) -> None:
    """The provider's number and a local count are not mixed in one record."""
    entry = evolve.create([sample({"input_tokens": 100}, call={"input_source": "provider"})])
    counted = evolve.update(entry, [sample({"input_tokens": 97}, call={"input_source": "counted"})], changed=agrees)
    assert counted.metrics["input_tokens"].sessions == ((97,),)
    assert counted.sources == {"input_tokens": "counted"}


def test_stages_come_and_go(sample: Build) -> None:
    """Metrics of a stage that vanished are removed; those of a new one begin with this run as their origin."""
    entry = evolve.create([sample({"calls": 2}, {"worker": {"calls": 1}, "router": {"calls": 1}})])
    entry = evolve.update(
        entry, [sample({"calls": 2}, {"worker": {"calls": 1}, "judge": {"calls": 4}})], changed=agrees
    )
    assert set(entry.metrics) == {"calls", "worker.calls", "judge.calls"}
    assert entry.metrics["judge.calls"] == MetricRecord(((4,),), 4)
    assert set(entry.composition) == {"worker", "judge"}


def test_an_unknown_value_keeps_what_is_stored(sample: Build) -> None:
    """A provider that sent no usage today has not made the baseline wrong."""
    entry = evolve.create([sample({"cost": 0.5, "latency": 1.0})])
    entry = evolve.update(entry, [sample({"cost": None, "latency": 2.0})], changed=differs)
    assert entry.metrics["cost"] == MetricRecord(((0.5,),), 0.5)


def test_accepting_moves_the_origin(sample: Build) -> None:
    """Of every metric that the run knows; one that it does not know goes with the tokens that it belonged to."""
    entry = evolve.create([sample({"input_tokens": 100, "latency": 1.0, "cost": 2.0})])
    run = sample({"input_tokens": 150, "latency": 1.5, "cost": None})
    entry = evolve.accept(entry, [run], changed=lambda name: name == "input_tokens")
    assert entry.metrics == {
        "input_tokens": MetricRecord(((150,),), 150),
        "latency": MetricRecord(((1.5,),), 1.5),
    }


def test_ten_small_steps_stay_visible_in_the_origin(sample: Build) -> None:
    """Ten updates of +4 % leave the origin where it was: +48 %."""
    tokens = 1000
    entry = evolve.create([sample({"input_tokens": tokens})])
    for _ in range(10):
        tokens = tokens * 104 // 100
        entry = evolve.update(entry, [sample({"input_tokens": tokens})], changed=differs)
    record = entry.metrics["input_tokens"]
    assert record.origin == 1000
    assert record.values[-1] / record.origin == pytest.approx(1.48, abs=0.01)


def test_a_ratchet_moves_only_what_improved(sample: Build) -> None:
    """Everything else stays, the outcomes and metrics of other stages too."""
    before = sample({"input_tokens": 100, "calls": 4}, {"worker": {"input_tokens": 80, "calls": 4}}, outcomes={"x": 1})
    after = sample(
        {"input_tokens": 90, "calls": 5}, {"worker": {"input_tokens": 70, "calls": 5}, "new": {"calls": 1}}, digest="bb"
    )
    entry = evolve.create([before])
    moved = evolve.ratchet(entry, [after], improved={"worker.input_tokens", "gone.calls"})
    assert moved.metrics == {**entry.metrics, "worker.input_tokens": MetricRecord(((70,),), 80)}
    assert moved.composition == {**entry.composition, "worker": evolve.create([after]).composition["worker"]}
    assert moved.outcomes == {"x": 1}


def test_a_ratchet_without_improvement_changes_nothing(sample: Build) -> None:
    """The very same entry comes back."""
    entry = evolve.create([sample({"input_tokens": 100})])
    assert evolve.ratchet(entry, [sample({"input_tokens": 90})], improved=()) is entry


def test_sessions_and_samples_are_capped(sample: Build) -> None:
    """The last sessions and the first samples of each stay."""
    entry = evolve.create([sample({"latency": 0.5})])
    for number in range(1, 15):
        runs = [sample({"latency": number + i / 100}) for i in range(12)]
        entry = evolve.update(entry, runs, changed=agrees)
    sessions = entry.metrics["latency"].sessions
    assert len(sessions) == MAX_SESSIONS == 10
    assert [session[0] for session in sessions] == list(range(5, 15))
    assert {len(session) for session in sessions} == {MAX_SAMPLES} == {10}


def test_pooled_values_are_kept_apart(sample: Build) -> None:
    """Single calls' values stand in ``pooled`` and their mean not in ``metrics``; they gain sessions likewise."""
    run = sample(
        {"ttft": 0.2, "calls": 2},
        {"worker": {"ttft": 0.3}},
        pooled={"": {"ttft": (0.1, 0.3)}, "worker": {"ttft": (0.3,)}},
    )
    entry = evolve.create([run, run])
    assert entry.pooled == {
        "ttft": MetricRecord(((0.1, 0.1, 0.3, 0.3),), 0.2),
        "worker.ttft": MetricRecord(((0.3, 0.3),), 0.3),
    }
    assert set(entry.metrics) == {"calls"}
    entry = evolve.update(entry, [replace(run, pooled={"": {"ttft": (0.5,)}, "worker": {"ttft": ()}})], changed=agrees)
    assert entry.pooled["ttft"].sessions == ((0.1, 0.1, 0.3, 0.3), (0.5,))
    assert entry.pooled["worker.ttft"].sessions == ((0.3, 0.3),)


@pytest.mark.parametrize("mode", ["create", "update", "accept"])
def test_a_missing_entry_is_created(mode: evolve.Mode, sample: Build) -> None:
    """Whatever was asked for, the first run is the baseline."""
    run = sample({"calls": 1})
    assert evolve.change(mode, [run])(None) == evolve.create([run])


def test_a_ratchet_creates_nothing(sample: Build) -> None:
    """Nothing can have improved."""
    assert evolve.change("ratchet", [sample()], improved={"calls"})(None) is None


def test_changes_start_from_what_stands_there(sample: Build) -> None:
    """Two sessions that updated one after the other are both in the record, whatever each had read before."""
    first = evolve.create([sample({"latency": 1.0})])
    left = evolve.change("update", [sample({"latency": 1.1})], changed=agrees)
    right = evolve.change("update", [sample({"latency": 1.2})], changed=agrees)
    assert right(left(first)).metrics["latency"].sessions == ((1.0,), (1.1,), (1.2,))


@pytest.mark.parametrize("mode", ["update", "accept", "ratchet"])
def test_each_mode_is_its_function(mode: evolve.Mode, sample: Build) -> None:
    """``change`` only binds the arguments."""
    entry = evolve.create([sample({"calls": 5})])
    runs = [sample({"calls": 4})]
    expected = {
        "update": lambda: evolve.update(entry, runs, changed=differs),
        "accept": lambda: evolve.accept(entry, runs, changed=differs),
        "ratchet": lambda: evolve.ratchet(entry, runs, improved={"calls"}),
    }
    assert evolve.change(mode, runs, changed=differs, improved={"calls"})(entry) == expected[mode]() != entry


def test_no_sample_is_no_baseline() -> None:
    """A run without samples cannot be stored."""
    with pytest.raises(ValueError, match="no sample"):
        evolve.create([])


values = st.none() | st.integers(0, 5) | st.floats(0, 5) | st.just(float("nan")) | st.just(float("inf"))
totals = st.dictionaries(st.sampled_from(["input_tokens", "latency", "calls"]), values, max_size=3)


@given(
    runs=st.lists(st.lists(totals, min_size=1, max_size=3), min_size=1, max_size=4),
    flags=st.sets(st.sampled_from(["latency", "calls"])),
)
def test_whatever_was_measured_can_be_stored_and_is_settled(
    runs: list[list[dict[str, Any]]], flags: set[str], sample: Build
) -> None:
    """No series of runs leads to an entry that cannot be written, and accepting a run twice in a row changes nothing new."""
    entry = None
    for run in runs:
        samples = [sample(total, outcomes={"x": object()}) for total in run]
        entry = evolve.change("update", samples, changed=flags.__contains__)(entry)
        assert dump({"test_a": entry})
        settled = evolve.accept(entry, samples, changed=differs)
        assert evolve.accept(settled, samples, changed=differs) is settled
