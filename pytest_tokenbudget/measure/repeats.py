"""Tells whether a further sample repeats the first one, or shows what the first one left behind in the process.

Further samples confirm a suspicion. One that a cache answered, or whose agent still holds the conversation of the sample
before, confirms nothing: its figures say what state does, not what chance does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.sample import Sample

_CONVERSATION = ("user", "assistant", "tool_results")

Message = tuple[str, str, str]
"""Part, name and digest of a piece of a conversation."""


def why_no_repeat(first: Sample, again: Sample) -> str:
    """Why a further sample is no repeat of the first; ``""`` where it is one.

    Args:
        first: The first sample.
        again: The further sample.

    Returns:
        What was seen, and what the likely cause is, in one sentence without a full stop.
    """
    made = [call for call in again.calls if call.succeeded]
    if any(call.succeeded for call in first.calls) and not made:
        return "it made no model call: a cache in the process answers"
    stage = _stage_with_history(first, again)
    if stage is not None:
        return (
            f"its first request{_of_stage(stage)} holds messages of the sample before: the agent keeps its conversation"
            " (in a fixture of a wider scope, or in a module)"
        )
    missing = _kept_answer(first, again)
    if missing is not None:
        return (
            f"it did not make the call{_of_stage(missing.stage)} again that the first sample made, and nothing before it"
            " had changed: something keeps the answer"
        )
    return ""


def _of_stage(stage: str) -> str:
    return f" of stage {stage!r}" if stage not in ("", "main") else ""


def _stage_with_history(first: Sample, again: Sample) -> str | None:
    """The stage whose first request goes on with the conversation of the sample before."""
    before, now = _first_requests(first), _first_requests(again)
    seen: set[Message] = set()
    opened = 0
    for call in again.calls:
        if not call.succeeded:
            continue
        messages = _conversation(call)
        if now.get(call.stage) is call and call.stage in before:
            begun = _conversation(before[call.stage])
            added = messages[len(begun) :]
            # What stands there beyond the first sample's request may come from earlier calls of this very sample.
            if begun and added and messages[: len(begun)] == begun and (not opened or not seen & set(added)):
                return call.stage
        seen |= set(messages)
        opened += 1
    return None


def _first_requests(sample: Sample) -> dict[str, Call]:
    found: dict[str, Call] = {}
    for call in sample.calls:
        if call.succeeded:
            found.setdefault(call.stage, call)
    return found


def _conversation(call: Call) -> list[Message]:
    pieces = call.composition.pieces if call.composition is not None else ()
    return [(piece.part, piece.name, piece.digest) for piece in pieces if piece.part in _CONVERSATION]


def _kept_answer(first: Sample, again: Sample) -> Call | None:
    """A call of the first sample that is missing though all before it was the same: its answer must have been kept.

    A loop that ends earlier is no such case: the answer after which it ends is another one.
    """
    answers: dict[object, list[object]] = {}
    for call in again.calls:
        if call.succeeded:
            answers.setdefault(_prompt_key(call), []).append(_answer_key(call))
    others = Counter(_kind_key(call) for call in _unmatched(first, again))
    for call in first.calls:
        if not call.succeeded or call.composition is None:
            continue
        key = _prompt_key(call)
        if answers.get(key):
            if answers[key].pop(0) != _answer_key(call):
                return None  # the model answered in another way: from here on the run is another one
        elif others[_kind_key(call)]:
            return None  # it was asked, in other words
        else:
            return call
    return None


def _unmatched(first: Sample, again: Sample) -> Sequence[Call]:
    """The calls of the further sample whose prompts the first one did not have."""
    known = Counter(_prompt_key(call) for call in first.calls if call.succeeded)
    left = []
    for call in again.calls:
        if not call.succeeded:
            continue
        key = _prompt_key(call)
        if known[key]:
            known[key] -= 1
        else:
            left.append(call)
    return left


def _prompt_key(call: Call) -> object:
    """Give a key of all that was asked."""
    pieces = call.composition.pieces if call.composition is not None else ()
    return call.stage, call.api, call.request_model, tuple((piece.part, piece.name, piece.digest) for piece in pieces)


def _answer_key(call: Call) -> object:
    """Give a key of the answer, as far as it decides how the agent goes on."""
    return call.usage.output_tokens, call.finish_reason, call.tool_calls


def _kind_key(call: Call) -> object:
    """Give a key of the kind of call: whose it is, with which system prompt and which tools."""
    pieces = call.composition.pieces if call.composition is not None else ()
    fixed = tuple((piece.part, piece.name) for piece in pieces if piece.part in ("system", "tools"))
    return call.stage, call.api, call.request_model, call.operation, fixed
