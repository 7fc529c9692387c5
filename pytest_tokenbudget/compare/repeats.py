"""Whether a further sample of a test is evidence: one that depends on the samples before it is none.

Samples of one process share what the process keeps: a cache answers instead of the model, a fixture of a wider scope
carries the conversation on. Sums that rise or fall do not tell, since noise does that too; the prompts do, by digest.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.sample import Sample

_HISTORY = frozenset({"user", "assistant", "tool_results"})

Prompt = tuple[str, tuple[tuple[str, str, str], ...]]
"""Stage of a call, and part, name and digest of each piece of its prompt."""


def independent(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The samples that are evidence, and why the others are none.

    Args:
        samples: The samples of one test in the order in which they ran; the first one always is evidence.

    Returns:
        The samples that do not depend on earlier ones, and one sentence for each that does.
    """
    kept: list[Sample] = []
    reasons: list[str] = []
    for number, sample in enumerate(samples, start=1):
        reason = why_dependent(kept[0], samples[number - 2], sample) if kept else ""
        if reason:
            reasons.append(f"sample {number} is no evidence: {reason}")
        else:
            kept.append(sample)
    return tuple(kept), tuple(reasons)


def why_dependent(first: Sample, before: Sample, sample: Sample) -> str:
    """The likely reason why a sample depends on an earlier one; empty where it does not.

    Args:
        first: The first sample.
        before: The sample just before.
        sample: The sample.
    """
    if first.calls and not any(call.succeeded for call in sample.calls):
        return "it called no model, so something answered from a cache"
    if stage := _kept_conversation(first, before, sample):
        where = "" if stage == "main" else f" of {stage}"
        return f"its first request{where} holds messages of the sample before: a fixture of a wider scope keeps the conversation"
    if _skipped_a_call(first, sample):
        return "it made the same requests without one that the first sample made: a cache answered that one"
    return ""


def _kept_conversation(first: Sample, before: Sample, sample: Sample) -> str:
    """The stage whose first request holds what was said in the sample before; empty where none does."""
    for stage, call in _first_calls(sample).items():
        earlier = _first_calls(first).get(stage)
        fresh = set() if earlier is None else _said(earlier)
        said = {digest for other in before.calls if other.stage == stage for digest in _said(other)} - fresh
        if earlier is not None and _said(call) & said:
            return stage
    return ""


def _first_calls(sample: Sample) -> dict[str, Call]:
    found: dict[str, Call] = {}
    for call in sorted(sample.calls, key=lambda call: call.started):
        if call.succeeded:
            found.setdefault(call.stage, call)
    return found


def _said(call: Call) -> set[tuple[str, str]]:
    """Part and digest of each message of a call's conversation."""
    if call.composition is None:
        return set()
    return {(piece.part, piece.digest) for piece in call.composition.pieces if piece.part in _HISTORY}


def _skipped_a_call(first: Sample, sample: Sample) -> bool:
    """Whether a sample made the calls of the first one, prompt by prompt, without one that is not at the end.

    A loop that stopped sooner has the same beginning: that is the model's choice, and evidence.
    """
    then, now = _prompts(first), _prompts(sample)
    if not now or len(now) >= len(then) or now == then[: len(now)]:
        return False
    rest = iter(then)
    return all(prompt in rest for prompt in now)


def _prompts(sample: Sample) -> list[Prompt]:
    found: list[Prompt] = []
    for call in sorted(sample.calls, key=lambda call: call.started):
        if call.succeeded and call.composition is not None:
            pieces = tuple((piece.part, piece.name, piece.digest) for piece in call.composition.pieces)
            found.append((call.stage, pieces))
    return found
