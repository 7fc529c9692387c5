"""Latency at constant speed: the time that a run would take if each model were as fast as in the baseline.

What a change of the code does to latency goes through the number of calls, their order and overlap, the tokens that each
reads uncached and writes, and the agent's own code. What is left is the provider's: it differs from day to day.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.measure.measured import union_length
from pytest_tokenbudget.records.baseline import BaselineEntry, Speed
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import ProviderPace
from pytest_tokenbudget.stats.distributions import upper_quantile
from pytest_tokenbudget.stats.log_ratio import huber_location, moderated_variance
from pytest_tokenbudget.stats.speed import NOISE_DF, NOISE_SCALE, expected_seconds, fit_speed
from pytest_tokenbudget.stats.statistic import mean, median

CLOCK_NOISE_S = Fraction(1, 20)
"""s by which the agent's own code differs from run to run without a reason in the code, on a machine that has other things to
do. The default gates forgive it, and an update does not store it as a change."""

_LONGEST_TURN_S = 0.05
"""s for which a thread that is ready to begin a call may wait for its turn, at most: a longer pause is the agent's own code."""

_OVERLAP = 0.05
"""Share of a call's duration by which the next one may seem to begin before it has ended: an agent goes on once it has
the answer, and the last bytes of a stream come later."""

_LEAST_OVERLAP = 0.002
"""The shortest such overlap, s, for short calls."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """A call as it was measured, and the time that it takes on the virtual clock; all in s.

    Attributes:
        started: Its start, s since the sample's start.
        ended: Its end.
        seconds: Its duration on the virtual clock.
    """

    started: float
    ended: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times of a run on the virtual clock.

    Attributes:
        calls: Start and end of each call on the virtual clock, in the order in which the calls were given.
        pace: Seconds on the virtual clock for each second in which the agent's own code ran.
    """

    calls: tuple[tuple[float, float], ...]
    pace: float
    _times: tuple[float, ...]
    _ends: tuple[tuple[float, float], ...]

    def at(self, time: float) -> float:
        """The time on the virtual clock that a measured time becomes.

        It is as long after the calls that had ended by then, on both clocks, as the agent's own code took.
        """
        index = bisect_right(self._times, time) - 1
        measured, virtual = self._ends[index] if index >= 0 else (0.0, 0.0)
        return virtual + self.pace * max(0.0, time - measured)


def timeline(calls: Sequence[TimedCall], pace: float = 1.0) -> Timeline:
    """Put the calls of a run on a virtual clock.

    A call depends on those that ended since another call began: an agent that waits for several answers begins its next
    call after the last of them, and calls that begin together depend on the same ones. What lies between an end and
    the next start is the agent's own code.

    Args:
        calls: The calls.
        pace: Seconds on the virtual clock for each second in which the agent's own code ran.
    """
    # Starts come behind ends of the same time, and a call's end never before its start.
    events = []
    for index, call in enumerate(calls):
        events += [(call.started, 1, index), (max(call.started, call.ended - _slack(call)), 2, index)]
    events.sort()
    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(calls)
    times: list[float] = []
    ends: list[tuple[float, float]] = []
    measured = virtual = 0.0
    begun = True
    for time, kind, index in events:
        call = calls[index]
        if kind == 1:
            start = virtual + pace * max(0.0, call.started - measured)
            found[index] = (start, start + call.seconds)
            begun = True
            continue
        end = found[index][1]
        measured, virtual = (call.ended, end) if begun else (max(measured, call.ended), max(virtual, end))
        begun = False
        times.append(time)
        ends.append((measured, virtual))
    return Timeline(tuple(found), pace, tuple(times), tuple(ends))


def _slack(call: TimedCall) -> float:
    duration = call.ended - call.started
    return min(max(_LEAST_OVERLAP, _OVERLAP * duration), 0.5 * duration)


Speeds = Mapping[str, Mapping[str, Speed]]
"""Speeds by stage path and model."""

OWN_TIME_MOST, OWN_TIME_LEAST = 2.0, 0.2
"""The agent's own code counts as it did in the baseline while it takes between a fifth and twice that time: machines differ
by as much, and a baseline may be of a cold start."""

OWN_TIME_SLACK = 1.0
"""s by which it may be longer or shorter than that, whatever it was."""

OWN_CODE = "(own code)"
"""Under this name, and the whole test's stage, the speeds of a baseline keep what the agent's own code took, s: all latencies of
the baseline were reckoned with it, so that later runs must be too."""

_DIGITS = 3
_DEFF = 1.4
"""Calls of one run resemble each other: see the noise of live times in ``compare``."""


def at_speed_of(entry: BaselineEntry | None, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples of a run with their latency at the speed of its baseline, or at their own where there is none.

    Args:
        entry: The baseline; one that was written before speeds were stored leaves the samples as they were measured.
        samples: The samples of the run.
    """
    if entry is None:
        own = _own_times(samples)
        speeds, usual = fit_speeds(samples), float(mean(own)) if own else None
    else:
        speeds = complete(entry.speeds, samples) if entry.speeds else {}
        usual = usual_own_time(entry)
    return tuple([at_constant_speed(sample, speeds, usual) for sample in samples])


def _own_times(samples: Sequence[Sample]) -> list[float | int]:
    """s of the agent's own code in some samples, where they are known."""
    return [value for sample in samples if (value := sample.total.get("own_time")) is not None]


def usual_own_time(entry: BaselineEntry) -> float | None:
    """s of the agent's own code that the latencies of a baseline were reckoned with; ``None`` where it is not known."""
    kept = entry.speeds.get("", {}).get(OWN_CODE)
    if kept is not None:
        return kept.call
    record = entry.metrics.get("own_time")
    return None if record is None else float(mean(record.values))


def fit_speeds(samples: Sequence[Sample]) -> dict[str, dict[str, Speed]]:
    """Fit the speed of each stage and model to the calls of some samples, three significant digits each."""
    groups: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for call, model, tokens in _known_calls(samples):
        groups.setdefault((call.stage, model), []).append((call.latency, *tokens))
    speeds: dict[str, dict[str, Speed]] = {}
    for (stage, model), calls in groups.items():
        fitted = fit_speed(calls)
        if fitted is not None:
            a, b, c = map(_rounded, fitted)
            speeds.setdefault(stage, {})[model] = Speed(a, b, c, len(calls))
    return speeds


def with_own_code(speeds: Speeds, samples: Sequence[Sample], stored: Speeds) -> dict[str, dict[str, Speed]]:
    """Speeds with the time of the agent's own code: the stored one, or that of these samples where none is stored."""
    kept = stored.get("", {}).get(OWN_CODE)
    if kept is None and (own := _own_times(samples)):
        kept = Speed(_rounded(float(mean(own))), 0.0, 0.0, len(own))
    found = {stage: dict(models) for stage, models in speeds.items()}
    if kept is not None and found:
        found.setdefault("", {})[OWN_CODE] = kept
    return found


def complete(stored: Speeds, samples: Sequence[Sample]) -> dict[str, dict[str, Speed]]:
    """The stored speeds, and for stages and models without one those of the same model elsewhere, or of these samples."""
    by_model: dict[str, Speed] = {}
    for models in stored.values():
        for model, speed in models.items():
            if model not in by_model or speed.calls > by_model[model].calls:
                by_model[model] = speed
    found: dict[str, dict[str, Speed]] = {}
    fitted: Speeds | None = None
    for call, model, _ in _known_calls(samples):
        stage = call.stage
        if model in found.get(stage, {}):
            continue
        known = stored.get(stage, {}).get(model) or by_model.get(model)
        if known is None:
            fitted = fit_speeds(samples) if fitted is None else fitted
            known = fitted.get(stage, {}).get(model)
        if known is not None:
            found.setdefault(stage, {})[model] = known
    return found


def at_constant_speed(sample: Sample, speeds: Speeds, usual_own_time: float | None = None) -> Sample:
    """A live sample with its latency at constant speed.

    Args:
        sample: The sample; one that is replayed or scripted stays as it is, since its time is projected already.
        speeds: The speeds, see :func:`complete`; where there are none (mocks alone answered) the sample stays as well.
        usual_own_time: s that the agent's own code took in the baseline, where that is known.

    Returns:
        The sample with ``latency`` of the whole test and of each stage on the virtual clock. A call whose tokens are not
        known takes the time that it took.
    """
    if sample.traffic != "live" or not speeds:
        return sample
    own = sample.total.get("own_time")
    pace = 1.0 if own is None or usual_own_time is None else own_pace(own, usual_own_time)
    calls = _on_virtual_clock(sample.calls, speeds)
    line = timeline([timed for _, timed in calls], pace)

    def latency(stage: str) -> float:
        """The time in which the test ran, or a stage was open, on the virtual clock."""
        windows = sample.windows.get(stage, ())
        if windows:
            return _rounded(union_length([(line.at(start), line.at(end)) for start, end in windows]))
        mine = zip(calls, line.calls, strict=True)
        return _rounded(union_length([times for (within, _), times in mine if inside(within, stage)]))

    stages = {stage: {**figures, "latency": latency(stage)} for stage, figures in sample.stages.items()}
    return replace(sample, total={**sample.total, "latency": latency("")}, stages=stages)


def _on_virtual_clock(calls: Sequence[Call], speeds: Speeds) -> list[tuple[str, TimedCall]]:
    """Stage and times of the answered calls, from when each was first tried: retries and their pauses are the provider's."""
    found = []
    first: dict[tuple[str, str], float] = {}
    for call in sorted(calls, key=lambda call: call.started):
        model = call.model or call.request_model
        key = (call.stage, model)
        if not call.succeeded:
            if call.attempt == 0 or key not in first:
                first[key] = call.started
            continue
        start = first.pop(key, call.started) if call.attempt else call.started
        speed, tokens = speeds.get(call.stage, {}).get(model), _tokens(call)
        seconds = call.latency
        if speed is not None and tokens is not None:
            seconds = expected_seconds(speed.coefficients, *tokens)
        found.append((call.stage, TimedCall(start, max(start, call.started + call.latency), seconds)))
    return found


def has_unusual_own_time(sample: Sample, entry: BaselineEntry) -> bool:
    """Tell whether the agent's own code took so much longer or shorter than in a baseline that it counts by itself."""
    own, usual = sample.total.get("own_time"), usual_own_time(entry)
    if own is None or usual is None:
        return False
    least, most = _usual_range(usual)
    return own > most or own < least


def _usual_range(usual: float) -> tuple[float, float]:
    return OWN_TIME_LEAST * usual - OWN_TIME_SLACK, OWN_TIME_MOST * usual + OWN_TIME_SLACK


def clock_noise_of(samples: Sequence[Sample], stage: str) -> Fraction:
    """Give the s by which the latency of a stage can differ from run to run without a reason in the code.

    Calls that begin side by side wait for each other's turn on a busy machine: the pauses before such starts tell for how
    long. They count twice, since a call that comes late may also seem to wait for one that ended by chance before it.
    """
    pauses = [2.0 * _pauses_before_starts_beside_others(sample, stage) for sample in samples]
    in_ms = math.ceil(1000.0 * float(mean(pauses))) if pauses else 0
    return max(CLOCK_NOISE_S, Fraction(in_ms, 1000))


def _pauses_before_starts_beside_others(sample: Sample, stage: str) -> float:
    events = []
    for call in sample.calls:
        if inside(call.stage, stage):
            timed = TimedCall(call.started, call.started + call.latency, 0.0)
            events += [(timed.started, 1), (timed.ended - _slack(timed), -1)]
    events.sort()
    pauses, before, in_flight = 0.0, 0.0, 0
    for time, change in events:
        if change > 0 and in_flight:
            pauses += min(time - before, _LONGEST_TURN_S)
        before, in_flight = time, in_flight + change
    return pauses


def own_pace(measured: float, usual: float) -> float:
    """Factor by which the agent's own time is multiplied, so that it counts only where it is not the usual one.

    Args:
        measured: s that the agent's own code took in this run.
        usual: s that it took in the baseline.
    """
    if measured <= 0.0:
        return 1.0
    least, most = _usual_range(usual)
    counted = usual + max(0.0, measured - most) - max(0.0, least - measured)
    return counted / measured


def _rounded(time: float) -> float:
    """A time to three digits: what the agent's own code takes differs by more, and equal runs have equal times."""
    return float(f"{time:.{_DIGITS}g}")


def _known_calls(samples: Iterable[Sample]) -> Iterator[tuple[Call, str, tuple[int, int]]]:
    """The calls that a model answered, with its name and the tokens, where they are known; a mock in the process has no speed."""
    for sample in samples:
        for call in sample.calls:
            tokens = _tokens(call)
            if call.succeeded and call.answered_by != "mock" and tokens is not None:
                yield call, call.model or call.request_model, tokens


def _tokens(call: Call) -> tuple[int, int] | None:
    """Tokens that a call read uncached, and wrote; ``None`` where they are not known."""
    usage = call.usage
    if usage.input_tokens is None:
        return None
    written = 0 if call.operation == "embeddings" else usage.output_tokens
    return None if written is None else (max(0, usage.input_tokens - (usage.cached_input_tokens or 0)), written)


def provider_paces(samples: Sequence[Sample], speeds: Speeds) -> tuple[ProviderPace, ...]:
    """Give what is left of the latency without the code's part, by model.

    Args:
        samples: The samples of a run; only live ones say anything.
        speeds: The speeds of the baseline. Calls of other stages and models are left out.
    """
    logs: dict[tuple[str, str], list[float]] = {}
    rests_on: dict[tuple[str, str], int] = {}
    for call, model, tokens in _known_calls([sample for sample in samples if sample.traffic == "live"]):
        speed = speeds.get(call.stage, {}).get(model)
        if speed is not None and call.latency > 0:
            key = (model, call.provider)
            logs.setdefault(key, []).append(math.log(call.latency / expected_seconds(speed.coefficients, *tokens)))
            rests_on[key] = max(rests_on.get(key, 0), speed.calls)
    return tuple(_pace(*key, sorted(values), rests_on[key]) for key, values in sorted(logs.items()))


def pool_paces(paces: Sequence[ProviderPace]) -> ProviderPace:
    """One speed of several: their logarithms are averaged, each weighted by the inverse of its squared margin.

    Args:
        paces: At least one; the first one's names are kept.
    """
    weights = [max(1e-6, math.log(pace.upper / pace.ratio)) ** -2 for pace in paces]
    location = sum(w * math.log(pace.ratio) for w, pace in zip(weights, paces, strict=True)) / sum(weights)
    margin = sum(weights) ** -0.5
    lower, ratio, upper = [math.exp(location + offset) for offset in (-margin, 0.0, margin)]
    return replace(paces[0], ratio=ratio, lower=lower, upper=upper, calls=sum(pace.calls for pace in paces))


def _pace(model: str, provider: str, logs: Sequence[float], stored: int) -> ProviderPace:
    centre, n = median(logs), len(logs)
    variance = moderated_variance(sorted((value - centre) ** 2 for value in logs), NOISE_SCALE, NOISE_DF, centres=1)
    location = huber_location(logs, centre, math.sqrt(variance))
    error = math.sqrt(_DEFF * variance * (1.0 / n + 1.0 / max(1, stored)))
    margin = upper_quantile(0.025, NOISE_DF + n - 1) * error
    lower, ratio, upper = [math.exp(location + offset) for offset in (-margin, 0.0, margin)]
    return ProviderPace(model, provider, ratio, lower, upper, n)
