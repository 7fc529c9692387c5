"""Latency at constant speed: the code's part of a run's time, and the provider's."""

from __future__ import annotations

import pytest

from pytest_tokenbudget.measure.constant_speed import (
    CLOCK_NOISE_S,
    OWN_TIME_SLACK,
    TimedCall,
    at_constant_speed,
    clock_noise_of,
    complete,
    fit_speeds,
    own_pace,
    provider_paces,
    timeline,
)
from pytest_tokenbudget.records.baseline import Speed
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.sample import Sample, Values

FLAT = {"main": {"m": Speed(2.0, 0.0, 0.0, 9)}}
"""Every call takes two seconds."""


def _call(started: float, latency: float, **more: object) -> Call:
    fields: dict[str, object] = {"stage": "main", "model": "m", "usage": Usage(input_tokens=100, output_tokens=10)}
    return Call(provider="p", api="a", started=started, latency=latency, **{**fields, **more})  # type: ignore[arg-type]


def _sample(
    *calls: Call, ended: float, stages: dict[str, Values] | None = None, **windows: tuple[float, float]
) -> Sample:
    model_time = sum(call.latency for call in calls)
    return Sample(
        calls=calls,
        total={"measured_latency": ended, "own_time": max(0.0, ended - model_time)},
        stages=stages or {},
        windows={"": ((0.0, ended),), **{stage: (window,) for stage, window in windows.items()}},
    )


def _latency(sample: Sample, stage: str = "", *, usual: float | None = None, speeds: object = FLAT) -> float | None:
    told = at_constant_speed(sample, speeds, usual)  # type: ignore[arg-type]
    return told.stages[stage]["latency"] if stage else told.total["latency"]


@pytest.mark.parametrize("slower", [0.5, 1.0, 3.0])
def test_a_slow_provider_changes_nothing(slower: float) -> None:
    """Three calls in a row and half a second of own code take as long, whatever the provider did."""
    started, calls = 0.1, []
    for seconds in (1.0, 2.0, 3.0):
        calls.append(_call(started, slower * seconds))
        started += slower * seconds + 0.1
    assert _latency(_sample(*calls, ended=started + 0.1)) == pytest.approx(3 * 2.0 + 0.5)


def test_calls_side_by_side_take_the_longest() -> None:
    """A fan-out costs its slowest branch, and what waits for all of it begins behind the last one."""
    wide = [_call(0.0, 1.0), _call(0.001, 5.0), _call(0.002, 2.0)]
    then = _call(5.1, 1.0)
    assert _latency(_sample(*wide, then, ended=6.1)) == pytest.approx(2.0 + 0.1 + 2.0)
    in_a_row = [_call(0.0, 1.0), _call(1.0, 5.0), _call(6.0, 2.0)]
    assert _latency(_sample(*in_a_row, _call(8.1, 1.0), ended=9.1)) == pytest.approx(4 * 2.0 + 0.1)


def test_two_loops_side_by_side_do_not_wait_for_each_other() -> None:
    """Each call depends on the one before it in its own loop: three short ones beside one long one cost three."""
    loop = [_call(0.0, 1.0), _call(1.01, 1.0), _call(2.02, 1.0)]
    alone = _call(0.0, 9.0)
    assert _latency(_sample(*loop, alone, ended=9.0)) == pytest.approx(3 * 2.0 + 0.02)


def test_the_last_bytes_of_a_stream_may_come_after_the_next_call() -> None:
    """An agent that goes on with the last word of an answer has not made two calls side by side."""
    calls = [_call(0.0, 1.0), _call(0.97, 1.0), _call(1.95, 1.0)]
    assert _latency(_sample(*calls, ended=3.0)) == pytest.approx(3 * 2.0 + 0.05)


def test_retries_and_their_pauses_are_the_providers() -> None:
    """An attempt that failed, and the pause before the next one, cost nothing at constant speed."""
    failed = _call(0.0, 0.2, error="http 429", usage=Usage())
    again = _call(3.2, 0.2, error="http 429", usage=Usage(), attempt=1)
    answered = _call(7.4, 2.0, attempt=2)
    assert _latency(_sample(failed, again, answered, ended=9.4)) == pytest.approx(2.0)


def test_a_stage_takes_the_time_in_which_it_was_open() -> None:
    """With code around its calls: on the virtual clock too; where only a rule gave it calls: their union."""
    calls = [_call(0.5, 4.0), _call(5.0, 1.0, stage="late")]
    figures: dict[str, Values] = {"main": {}, "late": {}, "whole": {}}
    sample = _sample(*calls, ended=6.5, stages=figures, whole=(0.25, 6.25))
    speeds = {**FLAT, "late": {"m": Speed(3.0, 0.0, 0.0, 9)}}
    assert _latency(sample, "main", speeds=speeds) == pytest.approx(2.0)
    assert _latency(sample, "late", speeds=speeds) == pytest.approx(3.0)
    assert _latency(sample, "whole", speeds=speeds) == pytest.approx(0.25 + 2.0 + 0.5 + 3.0 + 0.25)


def test_own_code_counts_as_usual_until_it_is_far_from_it() -> None:
    """Another machine or a cold start is no change of the code; ten more seconds of own code are."""
    sample = _sample(_call(0.5, 2.0), ended=3.0)
    assert _latency(sample, usual=0.8) == pytest.approx(2.0 + 0.8)
    busy = _sample(_call(0.5, 2.0), ended=13.0)
    assert _latency(busy, usual=1.0) == pytest.approx(2.0 + 1.0 + (11.0 - 2.0 - OWN_TIME_SLACK), rel=0.005)
    assert own_pace(0.0, 1.0) == 1.0
    assert own_pace(0.1, 0.8) * 0.1 == pytest.approx(0.8)  # the baseline was a cold start
    assert own_pace(1.0, 10.0) == pytest.approx(10.0 - (2.0 - OWN_TIME_SLACK - 1.0))


def test_replayed_runs_and_unknown_tokens_stay_as_they_are() -> None:
    """A projected time is exact already, and a call of unknown tokens takes the time that it took."""
    replayed = Sample(calls=(_call(0.0, 9.0),), total={"latency": 9.0}, traffic="replay")
    assert at_constant_speed(replayed, FLAT) is replayed
    unknown = _sample(_call(0.0, 9.0, usage=Usage()), ended=9.0)
    assert _latency(unknown) == pytest.approx(9.0)


def test_a_new_stage_has_the_speed_of_its_model_elsewhere() -> None:
    """The stored speed wins; then the same model's in another stage; a model that is new is fitted to this run."""
    sample = _sample(_call(0.0, 4.0), _call(4.0, 4.0, stage="new"), _call(8.0, 6.0, model="other"), ended=14.0)
    speeds = complete(FLAT, [sample])
    assert speeds["main"]["m"] == speeds["new"]["m"] == FLAT["main"]["m"]
    assert speeds["main"]["other"].calls == 1
    assert sum(speeds["main"]["other"].coefficients) > 0


def test_a_fit_of_one_call_gives_its_duration_back() -> None:
    """The level is the calls' own, whatever the proportions."""
    sample = _sample(_call(0.0, 7.0), ended=7.0)
    assert _latency(sample, speeds=fit_speeds([sample])) == pytest.approx(7.0, rel=0.01)


def test_what_is_left_is_the_providers() -> None:
    """Measured over expected, with an interval that holds the truth."""
    calls = [_call(10.0 * n, 2.0 * 1.6 * (1.0 + 0.1 * (n % 3 - 1))) for n in range(12)]
    (pace,) = provider_paces([_sample(*calls, ended=120.0)], FLAT)
    assert (pace.model, pace.calls) == ("m", 12)
    assert pace.ratio == pytest.approx(1.6, rel=0.02)
    assert pace.lower < 1.6 < pace.upper
    assert provider_paces([_sample(_call(0.0, 1.0, model="unknown"), ended=1.0)], FLAT) == ()


def test_a_timeline_of_nothing_is_the_agents_own_code() -> None:
    """Without calls a time stays as it is, at the pace of own code."""
    assert timeline([]).at(3.0) == 3.0
    assert timeline([], 0.5).at(3.0) == 1.5
    one = timeline([TimedCall(1.0, 2.0, 5.0)])
    assert (one.calls, one.at(1.5), one.at(3.0)) == (((1.0, 6.0),), 1.5, 7.0)


def test_a_busy_machine_is_no_change_of_the_code() -> None:
    """Threads that wait for their turn differ by the sum of these waits; calls in a row and a quick fan-out do not."""
    starved = [_call(0.025 * number, 0.3 if number % 2 else 0.2) for number in range(64)]
    in_time = [_call(0.0001 * number, 0.3) for number in range(64)]
    in_a_row = [_call(0.3 * number, 0.305) for number in range(20)]
    two_at_a_time = [_call(0.3 * (number // 2), 0.3) for number in range(20)]
    loop_beside_a_slow_tool = [_call(0.0, 9.0), _call(4.0, 1.0), _call(7.0, 1.0)]
    assert 0.5 < clock_noise_of([_sample(*starved, ended=2.0)], "") < 64 * 0.1
    for calls in (in_time, in_a_row, two_at_a_time):
        assert clock_noise_of([_sample(*calls, ended=9.0)], "") == CLOCK_NOISE_S
    assert clock_noise_of([_sample(*loop_beside_a_slow_tool, ended=9.0)], "") == 2 * 2 * CLOCK_NOISE_S
    assert clock_noise_of([_sample(*starved, ended=2.0)], "elsewhere") == CLOCK_NOISE_S
