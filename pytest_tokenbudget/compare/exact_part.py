"""The exact part of a token metric: what the code alone decides of each call, at the baseline's number of calls.

A prompt that grew carries no noise, whatever the rest does: it is judged on one sample (rule A).
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tokenbudget.records.composition import Compositions, FixedPrompt, fixed_within, inside
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import ExactPart

_MOST_SIZES = 3
"""Sizes of one kind of prompts that are told apart; with more of them the text differs from call to call."""

METRICS = frozenset({"input_tokens", "total_tokens"})
"""Metrics that hold all of a prompt."""


def exact_part(stored: Compositions, samples: Sequence[Sample], stage: str) -> ExactPart | None:
    """Compare what the code alone decides of the calls of a stage.

    Args:
        stored: The stored compositions.
        samples: The samples of this run.
        stage: Its path, ``""`` for the whole test.

    Returns:
        The tokens of the parts that are known on both sides, in the provider's tokens; ``None`` where none is: the prompts
        differ from call to call or from sample to sample, or other texts were sent.
    """
    before = fixed_within(stored, stage)
    now = [fixed for sample in samples if (fixed := fixed_within(sample.composition, stage))]
    if not before or not now:
        return None
    pairs = _pairs(before, now)
    if not pairs:
        return None
    scale = _scale(samples, stage)
    then, growth, grown = 0, 0, 0
    for old, new in pairs:
        more = new.tokens - old.tokens
        if old.user_tokens is not None and new.user_tokens is not None:
            more += new.user_tokens - old.user_tokens
        then += (old.tokens + (old.user_tokens or 0)) * old.calls
        growth += more * old.calls
        grown += old.calls if more else 0
    calls = grown or sum([old.calls for old, _ in pairs])
    return ExactPart(baseline=round(scale * then), value=round(scale * (then + growth)), calls=calls)


def decided_by_the_prompt(part: ExactPart) -> str:
    """The reason of a verdict that the exact part decides by itself."""
    growth = part.value - part.baseline
    more = "more" if growth > 0 else "fewer"
    each = (
        f"{abs(growth) / part.calls:,.0f} {more} tokens in each of {part.calls} calls"
        if part.calls > 1
        else f"{abs(growth):,} {more} tokens"
    )
    return f"decided by the prompt alone: {each}, whatever the model answers"


Kinds = dict[tuple[str, str], list[FixedPrompt]]
"""Prompts by how their text begins, and by what counted them."""


def _pairs(
    before: Sequence[FixedPrompt], samples: Sequence[Sequence[FixedPrompt]]
) -> list[tuple[FixedPrompt, FixedPrompt]]:
    """The kinds of prompts that are on both sides, then and now.

    A kind is known by how its text begins. One that was sent before any answer is the same also where its text begins in
    another way: nothing but the code can have chosen it. Where samples of this run differ, chance has a part in it.
    """
    first, *others = map(_by_opening, samples)
    sizes = {opening: {prompt.tokens for prompt in same} for opening, same in first.items()}
    for other in others:
        if sizes != {opening: {prompt.tokens for prompt in other[opening]} for opening in first if opening in other}:
            return []
    stored = _by_opening(before)
    matched = [(stored[opening], first[opening]) for opening in stored.keys() & first.keys()]
    rewritten = [
        [same for opening, same in side.items() if opening not in other and same[0].user_tokens is not None]
        for side, other in ((stored, first), (first, stored))
    ]
    if all(len(kinds) == 1 for kinds in rewritten):
        (old,), (new,) = rewritten
        if old[0].encoding == new[0].encoding:
            matched.append((old, new))
    return [pair for old, new in matched for pair in _same_kind(old, new)]


def _by_opening(prompts: Sequence[FixedPrompt]) -> Kinds:
    found: Kinds = {}
    for prompt in prompts:
        found.setdefault((prompt.opening, prompt.encoding), []).append(prompt)
    return found


def _same_kind(before: Sequence[FixedPrompt], after: Sequence[FixedPrompt]) -> list[tuple[FixedPrompt, FixedPrompt]]:
    """Prompts of one kind: equal sizes belong together, and of the others the smaller ones and the larger ones.

    Where one side has more of these than the other, it is not known which of them grew.
    """
    pairs = [(old, new) for old in before for new in after if old.tokens == new.tokens]
    both = {old.tokens for old, _ in pairs}
    rest = [[prompt for prompt in side if prompt.tokens not in both] for side in (before, after)]
    if len(rest[0]) == len(rest[1]) <= _MOST_SIZES:
        pairs += zip(*rest, strict=True)
    return pairs


def _scale(samples: Sequence[Sample], stage: str) -> float:
    """The provider's tokens for each locally counted one."""
    reported = counted = 0
    for sample in samples:
        for call in sample.calls:
            if call.succeeded and call.composition is not None and inside(call.stage, stage):
                reported += call.composition.input_tokens
                counted += call.composition.counted_tokens
    return reported / counted if counted else 1.0
