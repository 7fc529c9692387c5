"""Judging values: verdicts, bounds, reasons, and what happens at the edges."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.compare import judge
from pytest_tokenbudget.compare.dispatch import Sessions
from pytest_tokenbudget.compare.terms import Judged, Kind
from pytest_tokenbudget.records.gate import Rule

SESSIONS = [[1.0, 1.1, 0.9, 1.05], [0.95, 1.0, 1.1, 1.02], [1.0, 0.97, 1.08, 1.1], [0.9, 1.0, 1.0, 1.05], [1.1] * 4]
TIMES = st.floats(0.05, 20.0)
KINDS = st.sampled_from(["latency", "count", "exact"])


def _times(seed: int, count: int, factor: float = 1.0, sigma: float = 0.2) -> list[float]:
    rng = Random(seed)
    return [factor * math.exp(rng.gauss(0.0, sigma)) for _ in range(count)]


def test_unchanged_times_are_ok() -> None:
    """Twenty interleaved values of an unchanged metric pass."""
    judged = judge(_times(1, 20), _times(2, 20), max_increase=0.2, paired_run=True)
    assert judged.verdict == "ok"
    assert (judged.n, judged.m, judged.sessions, judged.more) == (20, 20, 1, 0)


def test_doubled_times_are_a_regression() -> None:
    """Eight interleaved values at twice the time fail, and everything that the result says agrees."""
    judged = judge(_times(1, 8), _times(2, 8, 2.0), max_increase="20%", paired_run=True)
    assert judged.verdict == "regression"
    assert 1.0 < judged.lower < judged.ratio < judged.upper
    assert judged.p is not None
    assert judged.p < 0.01
    assert judged.detectable is not None
    assert 0.2 < judged.detectable < 1.0
    assert judged.sigma is not None
    assert 0.1 < judged.sigma < 0.4
    assert judged.confirmed
    assert "%" in judged.reason


def test_halved_times_are_improved() -> None:
    """Half the time is an improvement."""
    assert judge(_times(1, 12), _times(2, 12, 0.5), max_increase=0.2, paired_run=True).verdict == "improved"


def test_a_stored_regression_is_unconfirmed() -> None:
    """Against a stored baseline it fails too, and does not claim to have ruled out drift."""
    judged = judge(SESSIONS, [3.0, 3.1, 2.9, 3.2, 3.0], max_increase=0.2)
    assert judged.verdict == "regression"
    assert not judged.confirmed
    assert judged.sessions == 5


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n", [1, 2])
def test_two_live_times_never_fail(n: int, paired: bool) -> None:
    """Fewer than three new values are no reason to fail, however slow; nothing could have been detected."""
    judged = judge(SESSIONS, [50.0] * n, max_increase=0.2, paired_run=paired)
    assert judged.verdict == "inconclusive"
    assert judged.detectable == math.inf
    assert judged.more == 3 - n


def test_three_against_three_never_fail() -> None:
    """One arrangement in twenty is separated by chance, so three interleaved pairs cannot fail."""
    judged = judge([1.0, 1.01, 0.99], [9.0, 9.01, 8.99], max_increase=0.2, paired_run=True)
    assert judged.verdict == "inconclusive"
    assert judged.more == 2


def test_separated_clusters_do_not_fail_on_three() -> None:
    """A cache that missed three times in a row against three hits is no regression."""
    assert judge([0.1, 0.1, 0.1], [4.0, 4.0, 4.1], max_increase=0.2, paired_run=True).verdict != "regression"


def test_the_size_must_pass_too() -> None:
    """A change that is certain and smaller than allowed passes."""
    base = [1.0 + 0.001 * i for i in range(20)]
    assert judge(base, [1.1 * v for v in base], max_increase=0.2, paired_run=True).verdict == "ok"


def test_slack_in_seconds() -> None:
    """Both the relative and the absolute allowance must be passed."""
    base, new = [0.10 + 0.001 * i for i in range(12)], [0.20 + 0.001 * i for i in range(12)]
    assert judge(base, new, max_increase=0.2, paired_run=True).verdict == "regression"
    assert judge(base, new, max_increase="20% +0.5", paired_run=True).verdict == "ok"
    assert judge(base, new, max_increase=0.2, slack=0.5, paired_run=True).verdict == "ok"


def test_reason_says_what_would_decide() -> None:
    """An undecided result counts the samples that are missing."""
    judged = judge(_times(1, 3), _times(2, 3, 1.7), max_increase=0.2, paired_run=True)
    assert judged.verdict == "inconclusive"
    assert "more samples would decide it" in judged.reason


def test_reason_of_a_single_session() -> None:
    """What no further sample removes is said in plain words, with the remedy."""
    judged = judge(_times(1, 10, sigma=0.05), _times(2, 20, 1.3, sigma=0.05), max_increase=0.2)
    assert judged.verdict == "inconclusive"
    assert judged.reason == (
        "the model's speed differs from day to day by as much, and the baseline has seen only 1 session: "
        "record more sessions, or compare with `tokenbudget ab`"
    )


def test_reason_of_a_tiny_baseline() -> None:
    """A baseline that cannot show a regression says how many values to record."""
    judged = judge([1.0, 1.1], [5.0] * 20, max_increase=0.2)
    assert judged.verdict == "inconclusive"
    assert "baseline samples" in judged.reason


def test_sampling_stops_where_nothing_is_suspected() -> None:
    """One value near the baseline asks for no more; one far above does."""
    assert judge(SESSIONS, [1.05], max_increase=0.2).more == 0
    suspected = judge(SESSIONS, [2.5], max_increase=0.2)
    assert suspected.more == 2
    assert suspected.suspected
    assert judge(SESSIONS, [2.5], max_increase=0.2, fixed=True).more == 0
    assert judge(SESSIONS, [2.5], max_increase=0.2, max_samples=1).more == 0


def test_hopeless_sampling_stops_before_the_cap() -> None:
    """Where neither end can be reached any more, interleaved arms stop."""
    judged = judge(_times(1, 20, sigma=0.9), _times(1, 20, 1.17, sigma=0.9), max_increase=0.05, paired_run=True)
    assert judged.verdict == "inconclusive"
    assert judged.more == 0


def test_a_family_shares_its_level() -> None:
    """What fails alone is not certain enough among a thousand gates."""
    base, new = _times(1, 5), _times(2, 5, 3.0)
    assert judge(base, new, max_increase=0.2, paired_run=True).verdict == "regression"
    assert judge(base, new, max_increase=0.2, paired_run=True, family=1000).verdict == "inconclusive"


def test_the_shift_of_the_suite_is_taken_off() -> None:
    """A gate that moved with all others did not move."""
    new = [1.5 * v for v in SESSIONS[0] + SESSIONS[1]]
    assert judge(SESSIONS, new, max_increase=0.2, shift=math.log(1.5)).verdict == "ok"
    assert judge(SESSIONS, new, max_increase=0.2, shift=0.0).verdict == "regression"


def test_a_learned_noise_decides_sooner() -> None:
    """A known small noise passes three values that an unknown one does not."""
    base, new = [1.0, 1.2, 0.85], [1.15, 0.9, 1.3]
    assert judge(base, new, max_increase=0.2, paired_run=True).verdict == "inconclusive"
    assert judge(base, new, max_increase=0.2, paired_run=True, s0=0.1, d0=30).verdict == "ok"


def test_look_beats_the_number_of_values() -> None:
    """Where the look is given, its level counts: five values at the first look are judged as strictly as three."""
    base, new = _times(1, 5), _times(2, 5, 3.0)
    assert judge(base, new, max_increase=0.2, paired_run=True).verdict == "regression"
    assert judge(base, new, max_increase=0.2, paired_run=True, look=0).verdict == "inconclusive"
    assert judge(base, new, max_increase=0.2, paired_run=True, look=99).verdict == "regression"


@pytest.mark.parametrize(
    ("base", "new", "more"), [([], [1.0], 0), ([[]], [1.0], 0), ([1.0], [], 1), ([], [], 0), ([math.nan], [1.0], 0)]
)
@pytest.mark.parametrize("kind", ["latency", "count", "exact"])
def test_nothing_to_compare(base: list[float], new: list[float], more: int, kind: str) -> None:
    """Without values on a side there is no verdict, no ratio and a reason."""
    judged = judge(base, new, max_increase=0.2, kind=kind)  # type: ignore[arg-type]
    assert judged.verdict == "inconclusive"
    assert math.isnan(judged.ratio)
    assert judged.detectable == math.inf
    assert judged.more == more
    assert judged.reason


def test_one_value_each() -> None:
    """A single pair decides nothing about live times, and does not break anything."""
    judged = judge([1.0], [1.0], max_increase=0.2)
    assert judged.verdict == "inconclusive"
    assert judged.ratio == 1.0
    assert judged.sigma == pytest.approx(0.4)
    assert 0.0 < judged.lower < 1.0 < judged.upper == math.inf


def test_equal_values() -> None:
    """Times that never vary pass, and fail when they double."""
    assert judge([1.0] * 8, [1.0] * 8, max_increase=0.2, paired_run=True).verdict == "ok"
    assert judge([1.0] * 8, [2.0] * 8, max_increase=0.2, paired_run=True).verdict == "regression"


def test_times_of_zero_are_as_short_as_the_shortest() -> None:
    """A clock that stood still now and then hides neither what did not change nor what did."""
    base = [0.0, 0.01, 0.01, 0.02, 0.01, 0.0, 0.01, 0.02] * 3
    assert judge(base, list(base), max_increase=0.2, paired_run=True).verdict == "ok"
    assert judge(base, [v + 0.02 for v in base], max_increase=0.2, paired_run=True).verdict == "regression"
    few = judge(base, [0.0, 0.0], max_increase=0.2, paired_run=True)
    assert few.verdict == "inconclusive"
    assert few.reason


def test_times_that_are_mostly_zero_are_judged_by_ranks() -> None:
    """Where the middle value has no logarithm, unchanged times pass and clear increases fail."""
    base = [0.0, 0.01, 0.0, 0.0, 0.01, 0.0, 0.0, 0.02]
    assert judge(base, list(base), max_increase=0.2, paired_run=True).verdict == "ok"
    worse = judge(base, [v + 1.0 for v in base], max_increase=0.2, paired_run=True)
    assert worse.verdict == "regression"
    assert worse.p is not None
    assert worse.p < 0.001
    assert math.isnan(worse.detectable)


@pytest.mark.parametrize("kind", ["latency", "count", "exact"])
def test_any_iterable_of_values_will_do(kind: Kind) -> None:
    """Tuples, generators, views and flat series say the same as lists."""
    new = [2.0, 2.1, 1.9, 2.2, 2.0]
    listed = judge(SESSIONS, new, max_increase=0.2, kind=kind)
    by_day = dict(enumerate(SESSIONS))
    ways: list[Sessions] = [tuple(map(tuple, SESSIONS)), (iter(s) for s in SESSIONS), by_day.values()]
    for sessions in ways:
        judged = judge(sessions, iter(new), max_increase=0.2, kind=kind)
        assert (judged.verdict, judged.ratio, judged.sessions) == (listed.verdict, listed.ratio, 5)
    flat = judge((v for s in SESSIONS for v in s), tuple(new), max_increase=0.2, kind=kind)
    assert (flat.ratio, flat.sessions) == (listed.ratio, 1)


def test_what_is_no_number_is_left_out() -> None:
    """Unknown and infinite values are ignored; a Decimal is a number."""
    odd = [1.0, None, math.nan, "fast", math.inf, Decimal("1.1")]
    judged = judge([odd], [1.0, math.nan], max_increase=0.2)  # type: ignore[arg-type]
    assert (judged.m, judged.n) == (2, 1)


@pytest.mark.parametrize("allowed", [0.2, "20%", "0.20", Fraction(1, 5), Rule(Fraction(1, 5))])
def test_ways_to_write_the_allowance(allowed: object) -> None:
    """Numbers, texts, fractions and parsed rules mean the same."""
    if allowed == "0.20":
        with pytest.raises(ValueError, match="rule"):
            judge([100], [120], max_increase="twenty", kind="exact")
        return
    assert judge([100], [120], max_increase=allowed, kind="exact").verdict == "ok"  # type: ignore[arg-type]
    assert judge([100], [121], max_increase=allowed, kind="exact").verdict == "regression"  # type: ignore[arg-type]


def test_a_whole_number_is_a_factor() -> None:
    """An allowance of 1 lets a value double."""
    assert judge([100], [200], max_increase=1, kind="exact").verdict == "ok"
    assert judge([100], [201], max_increase=1, kind="exact").verdict == "regression"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "speed"},
        {"alpha": 0.7},
        {"beta": 0.0},
        {"s0": 0.0},
        {"tau": -1.0},
        {"max_increase": "off"},
        {"max_increase": -0.1},
        {"max_increase": math.nan},
        {"statistic": "p96"},
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object]) -> None:
    """What cannot be meant raises a ValueError that shows it."""
    with pytest.raises(ValueError, match=r"\S"):
        judge([1.0], [1.0], **{"max_increase": 0.2, **wrong})  # type: ignore[arg-type]


def test_a_result_is_frozen() -> None:
    """A verdict does not change after the fact."""
    judged = judge([1.0], [1.0], max_increase=0.2)
    with pytest.raises(FrozenInstanceError):
        judged.verdict = "ok"  # type: ignore[misc]


def test_a_flat_baseline_is_one_session() -> None:
    """A sequence of numbers is one session, empty sessions do not count."""
    assert judge([1.0, 1.1], [1.0], max_increase=0.2).sessions == 1
    assert judge([[1.0], [], [1.1]], [1.0], max_increase=0.2).sessions == 2


@given(
    base=st.lists(TIMES, min_size=1, max_size=12),
    new=st.lists(TIMES, min_size=1, max_size=12),
    kind=KINDS,
    paired=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_order_does_not_matter(base: list[float], new: list[float], kind: str, paired: bool, seed: int) -> None:
    """Verdict, ratio and bounds are those of the values, not of the order in which they came."""

    def summary(judged: Judged) -> tuple[object, ...]:
        return judged.verdict, judged.ratio, judged.lower, judged.upper, judged.p, judged.more, judged.reason

    rng = Random(seed)
    shuffled = [sorted(v, key=lambda _: rng.random()) for v in (base, new)]
    first = judge(base, new, max_increase=0.2, kind=kind, paired_run=paired)  # type: ignore[arg-type]
    second = judge(shuffled[0], shuffled[1], max_increase=0.2, kind=kind, paired_run=paired)  # type: ignore[arg-type]
    assert summary(first) == summary(second)


@given(
    base=st.lists(TIMES, min_size=3, max_size=12),
    new=st.lists(TIMES, min_size=1, max_size=12),
    unit=st.sampled_from([0.001, 60.0, 1000.0]),
)
def test_units_do_not_matter(base: list[float], new: list[float], unit: float) -> None:
    """Seconds or milliseconds give the same ratio."""
    first = judge(base, new, max_increase=0.2)
    second = judge([unit * v for v in base], [unit * v for v in new], max_increase=0.2)
    assert second.ratio == pytest.approx(first.ratio)
    assert second.upper == pytest.approx(first.upper)


@given(
    base=st.lists(st.one_of(st.floats(0.0, 1e6), st.just(math.nan)), max_size=8),
    new=st.lists(st.floats(-1.0, 1e300), max_size=8),
    kind=KINDS,
    statistic=st.sampled_from(["mean", "p50", "p95", "max"]),
)
def test_nothing_breaks_judging(base: list[float], new: list[float], kind: str, statistic: str) -> None:
    """Whatever was measured, there is one of four verdicts and a reason, and bounds enclose the ratio."""
    judged = judge(base, new, max_increase=0.2, kind=kind, statistic=statistic)  # type: ignore[arg-type]
    assert judged.verdict in ("ok", "improved", "regression", "inconclusive")
    assert judged.reason
    assert judged.more >= 0
    assert judged.exact in (True, False)
    _ = judged.p, judged.detectable, judged.sigma, judged.confirmed, judged.suspected
    if not math.isnan(judged.ratio):
        assert judged.lower <= judged.ratio * (1 + 1e-9) or judged.lower == 1.0
        assert not judged.upper < judged.ratio * (1 - 1e-9)
