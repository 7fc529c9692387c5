"""The calls of a stage, summed up."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import PART_NAMES, Composition, Piece, StageComposition
from pytest_tokenbudget.tokens.aggregate import stage_composition


def _call(*pieces: Piece, written: int | None = 1, **more: Any) -> Call:
    total = sum(piece.tokens for piece in pieces)
    fields = {"model": "m", "usage": Usage(total, written), **more}
    return Call(stage="s", provider="p", api="a", composition=Composition(tuple(pieces), total, total, "e"), **fields)


SYSTEM = Piece("system", "", 100, "s")
TOOL = Piece("tools", "search", 50, "t")
ASK = Piece("user", "", 10, "u")
SAID = Piece("assistant", "", 7, "a1")
FOUND = Piece("tool_results", "search", 30, "r1")
FAILED = Call(stage="s", provider="p", api="a", model="other", error="http 429")


def test_a_loop_is_summed_by_part() -> None:
    """Tokens over all calls, calls that carry a part, different contents, the largest one, what was sent again."""
    found = stage_composition([_call(SYSTEM, TOOL, ASK), _call(SYSTEM, TOOL, ASK, SAID, FOUND)])
    sums = {(p.part, p.name): (p.tokens, p.calls, p.distinct, p.largest, p.repeated_tokens) for p in found.parts}
    assert sums == {
        ("assistant", ""): (7, 1, 1, 7, 0),
        ("system", ""): (200, 2, 1, 100, 100),
        ("tool_results", "search"): (30, 1, 1, 30, 0),
        ("tools", "search"): (100, 2, 1, 50, 50),
        ("user", ""): (20, 2, 1, 10, 10),
    }
    assert (found.calls, found.input_tokens) == (2, 357)


def test_fresh_input_is_what_stands_behind_the_common_prefix() -> None:
    """The first call is all fresh, a longer one only by what it adds, and nothing behind a changed piece is served."""
    first, longer = _call(SYSTEM, TOOL, ASK), _call(SYSTEM, TOOL, ASK, SAID, FOUND)
    assert stage_composition([first]).fresh_input_tokens == 160
    assert stage_composition([first, longer]).fresh_input_tokens == 160 + 37
    clock = [Piece("system", "", 5, f"clock {n}") for n in range(2)]
    late = [_call(clock[n], SYSTEM, TOOL, ASK) for n in range(2)]
    assert stage_composition(late).fresh_input_tokens == 2 * 165


def test_prefix_is_shared_with_any_earlier_call() -> None:
    """A call that goes back to an older prompt finds it, though another call stood between."""
    other = _call(Piece("system", "", 100, "another"), ASK)
    found = stage_composition([_call(SYSTEM, ASK), other, _call(SYSTEM, ASK)])
    assert found.fresh_input_tokens == 110 + 110


def test_content_twice_in_one_call_was_not_carried_by_an_earlier_one() -> None:
    """Repetition is counted from call to call; in the second call both copies were carried before."""
    twice = _call(FOUND, FOUND)
    (part,) = stage_composition([twice]).parts
    assert (part.tokens, part.distinct, part.largest, part.repeated_tokens) == (60, 1, 30, 0)
    (part,) = stage_composition([twice, twice]).parts
    assert (part.tokens, part.repeated_tokens, part.calls) == (120, 60, 2)


def test_failed_attempts_are_counted_and_nothing_else() -> None:
    """Neither their model nor any token of theirs is in the sums."""
    found = stage_composition([FAILED, _call(ASK), FAILED])
    assert (found.calls, found.failed_attempts, found.models, found.input_tokens) == (1, 2, ("m",), 10)


def test_output_is_unknown_as_soon_as_one_call_is() -> None:
    """Reasoning is the sum of what is known; an embedding writes nothing."""
    thinking = _call(ASK, usage=Usage(10, 9, reasoning_tokens=5))
    assert stage_composition([thinking, _call(ASK, written=3)]).output_tokens == 12
    assert stage_composition([thinking, _call(ASK, written=3)]).reasoning_tokens == 5
    assert stage_composition([thinking, _call(ASK, written=None)]).output_tokens is None
    assert stage_composition([_call(ASK, written=None, operation="embeddings")]).output_tokens == 0
    assert stage_composition([_call(ASK)]).reasoning_tokens is None


def test_request_that_could_not_be_read_is_a_call_without_parts() -> None:
    """The call counts; its tokens are in no part."""
    blind = Call(stage="s", provider="p", api="a", model="m", usage=Usage(500, 5))
    found = stage_composition([blind, _call(ASK)])
    assert (found.calls, found.input_tokens, found.output_tokens) == (2, 10, 6)


def test_parts_stand_in_the_order_of_the_prompt() -> None:
    """Where a part first stands; what a later call adds comes last."""
    found = stage_composition([_call(SYSTEM, TOOL, ASK), _call(SYSTEM, TOOL, ASK, SAID, FOUND)])
    assert [part.part for part in found.parts] == ["system", "tools", "user", "assistant", "tool_results"]


def test_what_stands_behind_a_changed_piece_is_charged_to_its_own_part() -> None:
    """A clock in front: the unchanged prompt behind it was sent before and yet is fresh."""
    late = [_call(Piece("system", "", 5, f"clock {n}"), TOOL, ASK) for n in range(2)]
    behind = {part.part: part.behind_tokens for part in stage_composition(late).parts}
    assert behind == {"system": 0, "tools": 50, "user": 10}


def test_digest_tells_other_contents_and_not_their_order() -> None:
    """The same contents in another order are the same part."""
    other = Piece("tool_results", "search", 30, "r2")
    parts = [stage_composition([_call(*pieces)]).parts[0] for pieces in ((FOUND, other), (other, FOUND), (FOUND,))]
    assert parts[0].digest == parts[1].digest != parts[2].digest


def test_estimates_are_marked() -> None:
    """One estimated call makes the stage's counts an estimate."""
    rough = Call(stage="s", provider="p", api="a", composition=Composition((ASK,), 10, 10, "e", estimated=True))
    assert stage_composition([_call(ASK), rough]).estimated
    assert not stage_composition([_call(ASK)]).estimated


def test_no_call_is_an_empty_composition() -> None:
    """A stage that was opened and made no call."""
    assert stage_composition([]) == StageComposition(0, output_tokens=0)


pieces = st.builds(
    Piece,
    st.sampled_from(PART_NAMES),
    st.sampled_from(["", "a", "\ud800"]),
    st.integers(0, 99),
    st.sampled_from("xyz"),
    st.none(),
)


@given(st.lists(st.lists(pieces, max_size=6), max_size=6))
def test_sums_are_exact(prompts: list[list[Piece]]) -> None:
    """Parts add up to the calls' tokens; what is fresh lies between what is new and everything."""
    found = stage_composition([_call(*prompt) for prompt in prompts])
    everything = sum(piece.tokens for prompt in prompts for piece in prompt)
    new = sum(part.tokens - part.repeated_tokens for part in found.parts)
    assert found.input_tokens == everything == sum(part.tokens for part in found.parts)
    assert new <= found.fresh_input_tokens <= everything
    for part in found.parts:
        assert 0 < part.calls <= found.calls
        assert 0 <= part.repeated_tokens <= part.tokens
        assert part.largest <= part.tokens


@given(st.lists(st.lists(pieces, max_size=6), max_size=6))
def test_fresh_input_agrees_with_comparing_every_pair(prompts: list[list[Piece]]) -> None:
    """The tree gives what a comparison of each call with each earlier one gives."""
    slow = 0
    for number, prompt in enumerate(prompts):
        common = 0
        for earlier in prompts[:number]:
            length = 0
            for one, other in zip(prompt, earlier, strict=False):
                if (one.part, one.name, one.digest) != (other.part, other.name, other.digest):
                    break
                length += 1
            common = max(common, length)
        slow += sum(piece.tokens for piece in prompt[common:])
    assert stage_composition([_call(*prompt) for prompt in prompts]).fresh_input_tokens == slow


def test_a_long_loop_is_summed_in_linear_time() -> None:
    """Four times the pieces take about four times as long, not sixteen times."""

    def spent(turns: int) -> float:
        said = [Piece("assistant", "", 9, f"{n}") for n in range(turns)]
        calls = [_call(SYSTEM, TOOL, *said) for _ in range(40)]
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            stage_composition(calls)
            best = min(best, time.process_time() - started)
        return best

    assert spent(2000) < 10 * spent(500)
