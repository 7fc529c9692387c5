"""Costs, times and cache hits, told from tokens and calls."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.records.composition import Cause, PartTotal, StageComposition, within

IN, OUT = 2e-6, 8e-6


def _cost(composition: StageComposition, *, into: float = IN, out: float = OUT) -> float:
    return composition.input_tokens * into + (composition.output_tokens or 0) * out


def _worker(agent: Any, **changes: Any) -> Any:
    return {**agent, "worker": replace(agent["worker"], **changes)}


def _explained(metric: str, before: Any, after: Any, values: tuple[float, float], **more: Any) -> tuple[Cause, ...]:
    causes = explain(metric, "worker", before, after, before_value=values[0], after_value=values[1], **more)
    assert math.isclose(math.fsum(cause.delta for cause in causes), values[1] - values[0], rel_tol=1e-12)
    return causes


CHANGES = [
    ("tools", {"tools": (("calendar_write", 3000), ("search", 420), ("send_mail", 310))}),
    ("output", {"answer": 2500}),
    ("system", {"system": (("You book meetings.", 2000),)}),
]


@pytest.mark.parametrize(("part", "changes"), CHANGES, ids=[part for part, _ in CHANGES])
def test_cost_is_explained_by_the_tokens(part: str, changes: Any, agent: Any, simulate: Any) -> None:
    """What made the tokens more made the cost more, at their price."""
    before, after = simulate(agent), simulate(_worker(agent, **changes))
    values = _cost(within(before, "worker")), _cost(within(after, "worker"))
    causes = _explained("cost", before, after, values)
    assert causes[0].part == part, causes
    assert causes[0].delta > 0.8 * (values[1] - values[0])


def test_another_price_is_a_cause_of_its_own(agent: Any, simulate: Any) -> None:
    """The same tokens for twice the money: the model's price, and nothing else."""
    before, after = simulate(agent), simulate(agent)
    (cause,) = _explained(
        "cost", before, after, (_cost(within(before, "worker")), _cost(within(after, "worker"), into=2 * IN))
    )
    assert cause.part == "model"
    assert "price" in cause.text


def test_time_is_calls_times_answers_times_the_time_for_a_token(agent: Any, simulate: Any) -> None:
    """A longer answer, a longer loop and a slower model are told apart."""
    worker = agent["worker"]
    before = simulate(agent)
    longer_answer = simulate(_worker(agent, answer=1500))
    written = [within(side, "worker").output_tokens for side in (before, longer_answer)]
    causes = _explained("model_time", before, longer_answer, (written[0] * 0.02, written[1] * 0.02))
    assert [cause.part for cause in causes] == ["output"]
    longer_loop = simulate(_worker(agent, steps=worker.steps * 2))
    causes = _explained("model_time", before, longer_loop, (8.0, 8.0 * 8 / 5))
    assert causes[0].part == "calls"
    assert causes[0].text.startswith("8 calls instead of 5")
    (slower,) = _explained("latency", before, before, (8.0, 12.0))
    assert slower.part == "model"
    assert "an output token: the model or the agent's own code" in slower.text
    written = within(before, "worker").output_tokens
    (slower,) = _explained("latency", before, before, (0.0001 * written, 0.0003 * written))
    assert "100 µs -> 300 µs an output token" in slower.text


def test_time_without_known_output_is_calls_times_the_time_for_a_call(agent: Any, simulate: Any) -> None:
    """Where nothing is known of the output, the time for a call stands for it."""
    sides = [simulate(agent), simulate(_worker(agent, steps=agent["worker"].steps * 2))]
    blind = [{path: replace(each, output_tokens=None) for path, each in side.items()} for side in sides]
    causes = _explained("model_time", *blind, (5.0, 8.0))
    assert [(cause.part, cause.delta) for cause in causes] == [("calls", 3.0)]


def test_lost_cache_hits_are_put_down_to_the_broken_prefix(agent: Any, simulate: Any) -> None:
    """A timestamp first in the prompt is named as the reason why the cache serves less."""
    before, after = simulate(agent), simulate(_worker(agent, clock=12))
    causes = _explained("cached_input_tokens", before, after, (8000, 0))
    assert causes[0].part == "system"
    assert "cannot come from a cache" in causes[0].text


def test_cache_that_serves_less_of_the_same_is_the_providers(agent: Any, simulate: Any) -> None:
    """An unchanged input of which less was served."""
    before = simulate(agent)
    (cause,) = _explained("cached_input_tokens", before, before, (8000, 2000))
    assert (cause.part, cause.delta) == ("model", -6000)
    assert "->" in cause.text


def _stage(calls: int, *parts: PartTotal) -> StageComposition:
    return StageComposition(calls, parts)


def test_the_example_of_the_readme() -> None:
    """A schema that three of the calls carry grew, and the loop made one call more."""

    def run(schema: int, calls: int, history: int, repeated: int) -> dict[str, StageComposition]:
        parts = (
            PartTotal("assistant", "", history, calls - 1, calls - 1, 120, f"h{calls}", repeated),
            PartTotal("tools", "calendar_write", 3 * schema, 3, 1, schema, f"t{schema}", 2 * schema),
        )
        return {"worker": _stage(calls, *parts)}

    before, after = run(2310, 3, 360, 120), run(3350, 4, 850, 490)
    values = (2310 * 3 + 360, 3350 * 3 + 850)
    causes = explain("input_tokens", "worker", before, after, before_value=values[0], after_value=values[1])
    shown = [(cause.delta, cause.part, cause.text) for cause in causes]
    assert shown == [
        (3120, "tools", "calendar_write 2,310 -> 3,350 in each of 3 calls"),
        (490, "calls", "4 calls instead of 3"),
    ]


def test_hostile_names_are_shown_plainly_and_cut(agent: Any, simulate: Any) -> None:
    """A tool's name comes from anywhere: no control characters, no override of the writing direction, no novel."""
    name = "\x1b[2J\u202e" + "x" * 500 + "\n"
    after = simulate(_worker(agent, tools=((name, 900), *agent["worker"].tools)))
    before = simulate(agent)
    values = within(before, "worker").input_tokens, within(after, "worker").input_tokens
    cause = explain("input_tokens", "worker", before, after, before_value=values[0], after_value=values[1])[0]
    assert cause.name.startswith("[2Jxxx")
    assert cause.text.isprintable()
    assert len(cause.text) < 120
