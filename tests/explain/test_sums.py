"""Whatever two runs look like, the causes of a metric add up to its difference."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.explain import explain, notes
from pytest_tokenbudget.explain.shares import product, round_floats, round_whole, shapley
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import PART_NAMES, Composition, PartTotal, Piece, StageComposition, within
from pytest_tokenbudget.tokens.aggregate import stage_composition

PARTS = (
    "system", "tools", "user", "assistant", "tool_results", "images", "files", "framing", "calls", "output",
    "reasoning", "retries", "stage", "model",
)  # fmt: skip
STAGES = ("router", "worker", "worker/finalize", "worker/finalize/check", "judge")
WHOLE = (
    "input_tokens", "output_tokens", "total_tokens", "reasoning_tokens", "tool_schema_tokens", "system_tokens",
    "history_tokens", "fresh_input_tokens", "calls", "failed_attempts", "tool_calls",
)  # fmt: skip

names = st.sampled_from(["search", "write", "a/b", "x:y", "\x1b[31mred\x07", "\u202eevil", "\ud800"])
pieces = st.builds(
    lambda part, name, tokens, text: Piece(part, name if part in ("tools", "tool_results") else "", tokens, text),
    st.sampled_from(PART_NAMES),
    names,
    st.integers(0, 5000),
    st.sampled_from("abcdef"),
)


@st.composite
def calls(draw: Any) -> Call:
    """One call of any stage, readable or not, failed or not."""
    stage = draw(st.sampled_from(STAGES))
    if draw(st.integers(0, 9)) == 0:
        return Call(stage=stage, provider="p", api="a", error="http 500")
    found = tuple(draw(st.lists(pieces, max_size=8)))
    total = sum(piece.tokens for piece in found)
    readable = draw(st.integers(0, 9)) > 0
    written = draw(st.none() | st.integers(0, 900))
    return Call(
        stage=stage,
        provider="p",
        api="a",
        model=draw(st.sampled_from(["m", "n"])),
        usage=Usage(total, written, reasoning_tokens=None if written is None else draw(st.none() | st.just(written))),
        composition=Composition(found, total, total, "e") if readable else None,
    )


def _compositions(made: list[Call]) -> dict[str, StageComposition]:
    return {path: stage_composition([c for c in made if c.stage == path]) for path in {call.stage for call in made}}


runs = st.lists(calls(), max_size=9).map(_compositions)


def _metric(composition: StageComposition | None, name: str) -> int:
    if composition is None:
        return 0
    parts = {
        "tool_schema_tokens": ("tools",),
        "system_tokens": ("system",),
        "history_tokens": ("assistant", "tool_results"),
    }
    if name in parts:
        return sum(part.tokens for part in composition.parts if part.part in parts[name])
    if name == "tool_calls":
        return sum(part.distinct for part in composition.parts if part.part == "tool_results")
    if name == "total_tokens":
        return composition.input_tokens + (composition.output_tokens or 0)
    if name == "failed_attempts":
        return composition.failed_attempts
    return getattr(composition, name) or 0


@given(runs, runs, st.sampled_from(WHOLE), st.sampled_from(("", *STAGES)))
def test_causes_add_up_to_the_difference(before: Any, after: Any, name: str, stage: str) -> None:
    """For every metric of tokens and counts: whole numbers, exact sum, largest first, a known part, no control character."""
    values = _metric(within(before, stage), name), _metric(within(after, stage), name)
    causes = explain(name, stage, before, after, before_value=values[0], after_value=values[1])
    assert sum(cause.delta for cause in causes) == values[1] - values[0]
    assert all(type(cause.delta) is int and cause.delta for cause in causes)
    assert [abs(cause.delta) for cause in causes] == sorted((abs(cause.delta) for cause in causes), reverse=True)
    for cause in causes:
        assert cause.part in PARTS
        assert (cause.text + cause.name).isprintable()
        assert cause.text
        assert cause.metric == (f"{stage}.{name}" if stage else name)
        assert not stage or cause.stage == stage or cause.stage.startswith(stage + "/")


@given(runs, runs, st.sampled_from(WHOLE), st.integers(0, 10**6), st.integers(0, 10**6))
def test_causes_add_up_to_any_values(before: Any, after: Any, name: str, was: int, now: int) -> None:
    """Also where the values are those of other samples than the compositions."""
    causes = explain(name, "", before, after, before_value=was, after_value=now)
    assert sum(cause.delta for cause in causes) == now - was


@given(
    runs,
    runs,
    st.sampled_from(("cost", "model_time", "latency", "input_tokens", "cached_input_tokens")),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_causes_of_fractions_add_up(before: Any, after: Any, name: str, was: float, now: float) -> None:
    """Costs, times and means of samples: the sum is the difference to the last digits, or there is no cause at all."""
    causes = explain(name, "", before, after, before_value=was, after_value=now)
    largest = max((abs(cause.delta) for cause in causes), default=0)
    assert not causes or math.isclose(math.fsum(c.delta for c in causes), now - was, abs_tol=largest * 1e-13)
    assert causes or name != "input_tokens" or was == now


@given(runs, runs)
def test_causes_do_not_depend_on_the_order_of_the_parts(before: Any, after: Any) -> None:
    """The same compositions with their parts in another order have the same causes."""
    turned = [
        {path: replace(each, counted=each.counted[::-1]) for path, each in side.items()} for side in (before, after)
    ]
    values = {
        "before_value": _metric(within(before, ""), "input_tokens"),
        "after_value": _metric(within(after, ""), "input_tokens"),
    }
    assert explain("input_tokens", "", before, after, **values) == explain("input_tokens", "", *turned, **values)


@given(runs, runs)
def test_an_improvement_is_the_regression_turned_round(before: Any, after: Any) -> None:
    """Back from after to before, the same parts have the same shares with the opposite sign."""
    values = _metric(within(before, ""), "output_tokens"), _metric(within(after, ""), "output_tokens")
    there = explain("output_tokens", "", before, after, before_value=values[0], after_value=values[1])
    back = explain("output_tokens", "", after, before, before_value=values[1], after_value=values[0])
    shares = {(c.stage, c.part, c.name): c.delta for c in there}
    for cause in back:
        assert abs(shares.get((cause.stage, cause.part, cause.name), 0) + cause.delta) <= 1


@given(runs, runs)
def test_notes_are_plain_sentences(before: Any, after: Any) -> None:
    """No note holds a control character or is said twice; equal runs have none."""
    found = notes(before, after)
    assert all(note.isprintable() and note for note in found)
    assert len(set(found)) == len(found)
    assert notes(after, after) == ()


fractions = st.fractions(-1000, 1000, max_denominator=50)


@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=4), st.randoms())
def test_shapley_is_exact_and_blind_to_order(factors: Any, random: Any) -> None:
    """The shares add up, and each factor has the same share wherever it stands."""
    before, after = [f[0] for f in factors], [f[1] for f in factors]
    shares = shapley(product, before, after)
    assert sum(shares) == product(*after) - product(*before)
    order = list(range(len(factors)))
    random.shuffle(order)
    assert shapley(product, [before[i] for i in order], [after[i] for i in order]) == [shares[i] for i in order]


def test_shapley_of_two_factors_is_the_change_of_one_times_the_mean_of_the_other() -> None:
    """The two-factor case in closed form."""
    shares = shapley(product, [Fraction(3), Fraction(2310)], [Fraction(4), Fraction(3350)])
    assert shares == [Fraction(2310 + 3350, 2), Fraction(1040 * (3 + 4), 2)]


@given(st.lists(fractions, min_size=1, max_size=12))
def test_whole_numbers_keep_the_sum(deltas: Any) -> None:
    """Each is less than one away from its exact share."""
    deltas.append(math.ceil(sum(deltas)) - sum(deltas))
    rounded = round_whole(deltas, int(sum(deltas)))
    assert sum(rounded) == sum(deltas)
    assert all(abs(number - exact) < 1 for number, exact in zip(rounded, deltas, strict=True))


@given(st.lists(st.floats(-1e6, 1e6).map(Fraction), max_size=9), st.randoms())
def test_floats_keep_the_sum_in_any_order(deltas: Any, random: Any) -> None:
    """Added up in any order, the floats give the same sum, within what a float of that size can tell."""
    rounded = round_floats(deltas, sum(deltas, Fraction(0)))
    random.shuffle(rounded)
    size = sum(abs(delta) for delta in deltas)
    assert abs(Fraction(sum(rounded)) - sum(deltas)) <= size / 2**50


def test_a_value_without_a_composition_is_explained_as_unknown() -> None:
    """A baseline that stored a value and no composition is not taken for a stage that appeared."""
    part = PartTotal("system", "", 10, 1, 1, 10, "d")
    now = {"main": StageComposition(1, (part,))}
    (cause,) = explain("input_tokens", "", {}, now, before_value=4, after_value=10)
    assert (cause.part, cause.delta) == ("framing", 6)
    assert "no composition" in cause.text


@pytest.mark.parametrize("values", [(None, None), (1, float("nan")), (float("inf"), 1), (5, 5)])
def test_nothing_is_said_of_unknown_or_equal_values(values: Any) -> None:
    """Without a difference there is no cause."""
    assert explain("input_tokens", "", {}, {}, before_value=values[0], after_value=values[1]) == ()


def test_a_metric_that_no_composition_explains_has_no_causes() -> None:
    """The agent's own time, or a metric of a hook."""
    for name in ("own_time", "ttft", "call_latency", "searches"):
        assert explain(name, "", {}, {}, before_value=1, after_value=2) == ()


def test_a_composition_that_cannot_be_is_explained_all_the_same() -> None:
    """A baseline that was edited by hand may hold a part of no calls; the sum still holds."""
    part = PartTotal("system", "", 900, 0, 1, 300, "a", 0)
    before = StageComposition(2, (part,))
    after = StageComposition(5, (replace(part, calls=3, tokens=1200),))
    causes = explain("input_tokens", "", {"": before}, {"": after}, before_value=900, after_value=1200)
    assert sum(cause.delta for cause in causes) == 300
