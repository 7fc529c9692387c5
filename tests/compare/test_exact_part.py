"""The exact part of a token gate: a prompt that grew is decided on one sample, whatever the model answers."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Composition, FixedPart, StageComposition
from pytest_tokenbudget.records.gate import Budget, Rule
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.tokens.aggregate import stage_composition

TABLE = metric_table()
TEN = Budget(Rule(Fraction(1, 10)))


def _call(
    number: int, opening: str, fixed: int, user: int, history: int, *, scale: float = 1.0, encoding: str = "e"
) -> Call:
    counted = fixed + user + history
    composition = Composition((), round(scale * counted), counted, encoding, fixed=FixedPart(opening, fixed, user))
    return Call("main", "p", "a", model="m", started=float(number), latency=0.5, composition=composition)


def _sample(*calls: Call) -> Sample:
    composed = stage_composition(calls, first_answer=0.5)
    total = sum(call.composition.input_tokens for call in calls if call.composition)
    return Sample(calls=calls, total={"input_tokens": total}, composition={"main": composed})


def _entry(sample: Sample) -> BaselineEntry:
    records = {"input_tokens": MetricRecord(((sample.total["input_tokens"] or 0,),))}
    return BaselineEntry(metrics=records, composition=sample.composition)


def _judged(before: Sample, *after: Sample) -> GateResult:
    given = GateInput(TEN, after, _entry(before), True, TABLE, fixed=False)
    return next(gate for gate in judge_gates(given) if gate.metric == "input_tokens")


def _loop(calls: int, rng: Random, *, fixed: int = 2000, user: int = 100, scale: float = 1.0) -> Sample:
    """A loop whose history grows by what the model and its tools happen to say."""
    made, history = [], 0
    for number in range(calls):
        made.append(_call(number, "agent", fixed, user, history, scale=scale))
        history += rng.randint(50, 400)
    return _sample(*made)


def test_a_grown_prompt_fails_on_one_sample_though_the_loop_was_shorter() -> None:
    """+250 tokens in each of five calls pass +10 % of the baseline, also where this run made three calls only."""
    before, after = _loop(5, Random(1)), _loop(3, Random(2), fixed=2250)
    gate = _judged(before, after)
    assert (gate.verdict, gate.exact, gate.more) == ("regression", True, 0)
    assert gate.value is not None
    assert gate.baseline is not None
    assert gate.value < gate.baseline
    assert gate.reason == "decided by the prompt alone: 250 more tokens in each of 5 calls, whatever the model answers"
    assert gate.exact_part is not None
    assert (gate.exact_part.baseline, gate.exact_part.value) == (5 * 2100, 5 * 2350)


def test_noise_alone_is_not_decided_on_one_sample() -> None:
    """The same prompt in more calls is a suspicion, which is confirmed; its exact part has not moved."""
    gate = _judged(_loop(3, Random(1)), _loop(6, Random(2)))
    assert (gate.verdict, gate.more) == ("inconclusive", 1)
    assert gate.exact_part is not None
    assert gate.exact_part.baseline == gate.exact_part.value


def test_a_shorter_loop_is_no_improvement_and_a_shorter_prompt_is_one() -> None:
    """What the model decides needs more than one sample in both directions; what the code decides needs none."""
    shorter = _judged(_loop(6, Random(1)), _loop(3, Random(2)))
    assert (shorter.verdict, shorter.more) == ("ok", 0)
    cut = _judged(_loop(5, Random(1)), _loop(5, Random(2), fixed=1500))
    assert (cut.verdict, cut.exact) == ("improved", True)
    assert cut.reason == "decided by the prompt alone: 500 fewer tokens in each of 5 calls, whatever the model answers"
    longer = _judged(_loop(3, Random(1)), _loop(6, Random(2), fixed=1500))
    assert longer.verdict == "inconclusive"


def test_a_small_growth_is_left_to_the_rest() -> None:
    """+40 tokens in each of four calls are within 10 %: nothing is decided by the prompt."""
    assert _judged(_loop(4, Random(1)), _loop(4, Random(1), fixed=2040)).verdict == "ok"


def test_local_counts_are_scaled_to_the_providers() -> None:
    """Where the provider counts a third more than we do, the growth is a third more too, and no scale is a growth."""
    before = _loop(4, Random(1), scale=1.33)
    grown = _judged(before, _loop(4, Random(1), fixed=2300, scale=1.33))
    assert grown.exact_part is not None
    assert grown.exact_part.value - grown.exact_part.baseline == pytest.approx(1.33 * 4 * 300, abs=2)
    same = _judged(before, _loop(4, Random(1), scale=1.35))
    assert same.exact_part is not None
    assert same.exact_part.value == same.exact_part.baseline


def test_another_encoding_is_no_growth() -> None:
    """Counts of two vocabularies are not compared."""
    before = _sample(_call(0, "agent", 2000, 100, 0), _call(1, "agent", 2000, 100, 300))
    after = _sample(
        _call(0, "agent", 2600, 100, 0, encoding="other"), _call(1, "agent", 2600, 100, 300, encoding="other")
    )
    assert _judged(before, after).exact_part is None


def test_a_prompt_that_begins_in_another_way_is_the_same_only_before_any_answer() -> None:
    """The first prompt of a run is chosen by the code; which prompt follows an answer may be the model's choice."""
    before = _sample(_call(0, "router", 300, 50, 0), _call(1, "billing", 900, 0, 0))
    rewritten = _sample(_call(0, "routing", 900, 50, 0), _call(1, "billing", 900, 0, 0))
    assert _judged(before, rewritten).verdict == "regression"
    other_route = _sample(_call(0, "router", 300, 50, 0), _call(1, "travel", 3000, 0, 0))
    gate = _judged(before, other_route)
    assert gate.verdict == "inconclusive"
    assert gate.exact_part is not None
    assert gate.exact_part.baseline == gate.exact_part.value == 350


def test_a_later_user_turn_may_hold_what_the_model_said() -> None:
    """The first user turn counts where no answer had come before it, and nowhere else."""
    before = _sample(_call(0, "plan", 300, 50, 0), _call(1, "write", 300, 200, 0))
    longer_answer = _sample(_call(0, "plan", 300, 50, 0), _call(1, "write", 300, 900, 0))
    assert _judged(before, longer_answer).verdict == "inconclusive"
    longer_question = _sample(_call(0, "plan", 300, 900, 0), _call(1, "write", 300, 200, 0))
    assert _judged(before, longer_question).verdict == "regression"


def test_a_last_call_without_tools_keeps_its_own_size() -> None:
    """Calls of one kind may have two sizes; the one that is equal on both sides is no growth, the other one is."""
    before = _sample(*(_call(n, "agent", 2000, 0, 100 * n) for n in range(3)), _call(3, "agent", 400, 0, 300))
    after = _sample(*(_call(n, "agent", 2600, 0, 100 * n) for n in range(3)), _call(3, "agent", 400, 0, 300))
    gate = _judged(before, after)
    assert gate.verdict == "regression"
    assert gate.exact_part is not None
    assert gate.exact_part.calls == 3
    without = _sample(*(_call(n, "agent", 2000, 0, 100 * n) for n in range(3)))
    assert _judged(before, without).verdict != "regression"


def test_a_prompt_that_differs_between_samples_is_chance() -> None:
    """A system prompt that holds what another call said varies, and nothing is decided by it."""
    before = _loop(3, Random(1))
    gate = _judged(before, _loop(3, Random(1), fixed=2900), _loop(3, Random(1), fixed=2500))
    assert gate.exact_part is None


def test_a_thousand_noisy_loops() -> None:
    """+12 % by the prompt under a gate of 10 % is caught on one sample always, and a loop alone never fails one."""
    caught = alarms = 0
    for seed in range(1000):
        rng = Random(seed)
        before = _loop(rng.randint(3, 6), rng)
        base = before.total["input_tokens"]
        assert base is not None
        planted = -(-12 * base // (100 * before.composition["main"].calls))
        caught += _judged(before, _loop(rng.randint(3, 6), rng, fixed=2000 + int(planted))).verdict == "regression"
        alarms += _judged(before, _loop(rng.randint(3, 6), rng)).verdict == "regression"
    assert (caught, alarms) == (1000, 0)


def test_a_stage_without_compositions_has_no_exact_part() -> None:
    """What could not be read decides nothing."""
    bare = Sample(
        calls=(Call("main", "p", "a", model="m"),),
        total={"input_tokens": 9},
        composition={"main": StageComposition(1)},
    )
    assert _judged(bare, bare).exact_part is None
