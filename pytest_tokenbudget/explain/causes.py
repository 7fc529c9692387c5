"""The causes of a metric's change; they add up to its difference."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from pytest_tokenbudget.explain.shares import product_shares, whole
from pytest_tokenbudget.explain.words import calls_text, count, part_text, plain
from pytest_tokenbudget.records.composition import Cause, StageComposition

Compositions = Mapping[str, StageComposition]
Key = tuple[str, str]
"""Part and name."""

_PARTS: dict[str, tuple[str, ...] | None] = {
    "input_tokens": None,
    "total_tokens": None,
    "tool_schema_tokens": ("tools",),
    "system_tokens": ("system",),
    "history_tokens": ("assistant", "tool_results"),
}
_HISTORY = ("user", "assistant", "tool_results")
_CALLS: Key = ("calls", "")
_REST: Key = ("framing", "rest")


def explain(
    metric: str,
    stage: str,
    before: Compositions,
    after: Compositions,
    *,
    before_value: float | int,
    after_value: float | int,
) -> tuple[Cause, ...]:
    """Explain the change of a metric.

    Args:
        metric: Name of the metric, ``input_tokens``.
        stage: Path of its stage, ``""`` for the whole test.
        before: Compositions by stage path, of the baseline.
        after: Compositions by stage path, now.
        before_value: Value of the baseline.
        after_value: Value now.

    Returns:
        The causes, largest first; they add up to ``after_value - before_value``. None for metrics that are no matter of
        tokens or calls. The whole test is explained stage by stage.
    """
    full = f"{stage}.{metric}" if stage else metric
    shares: list[tuple[str, Key, Fraction, str]] = []
    for path in _explained(stage, before, after):
        shares += [
            (path, key, share, text) for key, share, text in _stage(metric, path, before.get(path), after.get(path))
        ]
    if not shares:
        return ()
    difference = Fraction(after_value) - Fraction(before_value)
    shares = _scaled(metric, shares, difference)
    rest = difference - sum((share for _, _, share, _ in shares), Fraction(0))
    if rest:
        shares.append((stage, _REST, rest, "not told apart"))
    exact = isinstance(before_value, int) and isinstance(after_value, int)
    rounded = _rounded(shares, difference, exact=exact)
    causes = [
        Cause(full, path, key[0], "" if key == _REST else key[1], delta, _in_stage(text, path, stage, key))
        for (path, key, _, text), delta in zip(shares, rounded, strict=True)
        if delta
    ]
    return tuple(sorted(causes, key=lambda cause: (-abs(cause.delta), cause.stage, cause.part, cause.name)))


def _explained(stage: str, before: Compositions, after: Compositions) -> list[str]:
    """The stages whose causes add up to the metric's: the outermost ones for the whole test, else the stage itself."""
    if stage:
        return [stage]
    return sorted({path for path in (*before, *after) if path and "/" not in path}) or [""]


def _in_stage(text: str, path: str, stage: str, key: Key) -> str:
    return text if path == stage or key[0] == "stage" else f"{text} ({plain(path)})"


def _stage(
    metric: str, path: str, before: StageComposition | None, after: StageComposition | None
) -> list[tuple[Key, Fraction, str]]:
    """The shares of one stage, and their texts."""
    if before is None or after is None:
        known = after or before
        if known is None:
            return []
        amount = _amount(metric, known)
        sign, word = (1, "appeared") if before is None else (-1, "vanished")
        text = f"stage {plain(path) or 'main'} {word}, {count(known.calls)}"
        return [(("stage", path), Fraction(sign * amount), text)] if amount else []
    if metric in ("calls", "tool_calls"):
        return [(_CALLS, Fraction(after.calls - before.calls), calls_text(before, after))]
    if metric == "attempts":
        text = f"{after.attempts:,} failed attempts instead of {before.attempts:,}"
        return [(("retries", ""), Fraction(after.attempts - before.attempts), text)]
    if metric == "fresh_input_tokens":
        return _fresh(before, after)
    found: list[tuple[Key, Fraction, str]] = []
    if metric in _PARTS or metric == "cost":
        found += _parts(before, after, _PARTS.get(metric))
    if metric in ("output_tokens", "total_tokens", "cost"):
        found += _written(before, after)
    if metric == "cost" and before.models != after.models:
        text = f"model {', '.join(map(plain, before.models))} -> {', '.join(map(plain, after.models))}"
        return [(("model", ""), Fraction(1), text)]
    return _merged(found)


def _merged(found: list[tuple[Key, Fraction, str]]) -> list[tuple[Key, Fraction, str]]:
    """One share a key: more calls are one cause, of what is read and of what is written."""
    shares: dict[Key, tuple[Fraction, str]] = {}
    for key, share, text in found:
        sofar = shares.get(key, (Fraction(0), text))
        shares[key] = (sofar[0] + share, sofar[1])
    return [(key, share, text) for key, (share, text) in shares.items() if share]


def _amount(metric: str, composition: StageComposition) -> int:
    if metric in ("calls", "tool_calls"):
        return composition.calls
    if metric == "attempts":
        return composition.attempts
    if metric == "fresh_input_tokens":
        return composition.fresh_input_tokens
    wanted = _PARTS.get(metric)
    read = sum(part.tokens for part in composition.parts if wanted is None or part.part in wanted)
    wrote = composition.output_tokens or 0
    if metric == "output_tokens":
        return wrote
    return read + wrote if metric in ("total_tokens", "cost") else read if metric in _PARTS else 0


def _parts(
    before: StageComposition, after: StageComposition, wanted: tuple[str, ...] | None
) -> list[tuple[Key, Fraction, str]]:
    """What is read: each part's size, and the number of calls that carry all of them."""
    then = {(part.part, part.name): part for part in before.parts if wanted is None or part.part in wanted}
    now = {(part.part, part.name): part for part in after.parts if wanted is None or part.part in wanted}
    calls = before.calls, after.calls
    found: list[tuple[Key, Fraction, str]] = []
    of_calls = Fraction(0)
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        tokens = (old.tokens if old else 0), (new.tokens if new else 0)
        by_calls, by_size = product_shares(calls, tokens)
        if key[0] in _HISTORY:
            moved = _by_longer_loop(before, after, by_size, _history_share(before, after, tokens))
            by_calls, by_size = by_calls + moved, by_size - moved
        of_calls += by_calls
        if by_size:
            found.append((key, by_size, part_text(old, new)))
    return [(_CALLS, of_calls, calls_text(before, after)), *found] if of_calls else found


def _by_longer_loop(
    before: StageComposition, after: StageComposition, by_size: Fraction, share: Fraction
) -> Fraction:
    """How much of a history part's growth a call comes from the number of calls alone.

    A loop that keeps its history reads ``g`` tokens more in each call than in the one before, so its mean history grows
    by ``g / 2`` with every further call: that is the loop's length, not a larger history.
    """
    growth = before.history_growth if before.history_growth is not None else after.history_growth
    more = after.calls - before.calls
    if not growth or not more:
        return Fraction(0)
    expected = share * Fraction(growth) / 2 * more * Fraction(before.calls + after.calls, 2)
    if (expected > 0) != (by_size > 0):
        return Fraction(0)
    return expected if abs(expected) < abs(by_size) else by_size


def _history_share(before: StageComposition, after: StageComposition, tokens: tuple[int, int]) -> Fraction:
    history = sum(part.tokens for side in (before, after) for part in side.parts if part.part in _HISTORY)
    return Fraction(sum(tokens), history) if history else Fraction(0)


def _written(before: StageComposition, after: StageComposition) -> list[tuple[Key, Fraction, str]]:
    """What is written: answers and reasoning, and the number of calls."""
    if before.output_tokens is None or after.output_tokens is None:
        return []
    calls = before.calls, after.calls
    thought = before.reasoning_tokens or 0, after.reasoning_tokens or 0
    said = before.output_tokens - thought[0], after.output_tokens - thought[1]
    found: list[tuple[Key, Fraction, str]] = []
    of_calls = Fraction(0)
    for part, name, tokens in (("output", "answers", said), ("reasoning", "reasoning", thought)):
        by_calls, by_size = product_shares(calls, tokens)
        of_calls += by_calls
        if by_size:
            each = [round(total / n) if n else 0 for total, n in zip(tokens, calls, strict=True)]
            found.append(((part, ""), by_size, f"{name} {each[0]:,} -> {each[1]:,} a call"))
    return [(_CALLS, of_calls, calls_text(before, after)), *found] if of_calls else found


def _fresh(before: StageComposition, after: StageComposition) -> list[tuple[Key, Fraction, str]]:
    """Input that no cache can serve: a broken prefix where there is one, else what is read more or less."""
    change = Fraction(after.fresh_input_tokens - before.fresh_input_tokens)
    if not change:
        return []
    repeated = [_served(side) for side in (before, after)]
    grown = after.input_tokens - before.input_tokens
    if abs(change) > abs(grown) * 2 or (after.calls > 1 and repeated[1] * 2 < repeated[0]):
        part, _, name = _unstable(after).partition(":")
        text = f"the cache prefix {'breaks' if change > 0 else 'holds'} at the {_named(part, name)}"
        return [((part, name), change, text)]
    return _scaled_to(_parts(before, after, None), change)


def _served(side: StageComposition) -> float:
    """Share of the input that a cache can serve."""
    return 1 - side.fresh_input_tokens / side.input_tokens if side.input_tokens else 0.0


def _unstable(side: StageComposition) -> str:
    """The first part, in the order of the prompt, whose content differs from call to call."""
    changing = {(f"{p.part}:{p.name}" if p.name else p.part) for p in side.parts if p.distinct > 1}
    return next((label for label, _ in side.prefix if label in changing), "system")


def _named(part: str, name: str) -> str:
    return f"{part.replace('_', ' ')} {plain(name)}".strip()


def _scaled_to(found: list[tuple[Key, Fraction, str]], total: Fraction) -> list[tuple[Key, Fraction, str]]:
    whole_sum = sum((share for _, share, _ in found), Fraction(0))
    if not whole_sum:
        return [(_REST, total, "not told apart")]
    return [(key, share * total / whole_sum, text) for key, share, text in found]


def _scaled(
    metric: str, shares: list[tuple[str, Key, Fraction, str]], difference: Fraction
) -> list[tuple[str, Key, Fraction, str]]:
    """The causes of a cost are those of its tokens, each with its share of the money."""
    if metric != "cost":
        return shares
    tokens = sum((share for _, _, share, _ in shares), Fraction(0))
    if not tokens:
        return []
    return [(path, key, share * difference / tokens, text) for path, key, share, text in shares]


def _rounded(
    shares: list[tuple[str, Key, Fraction, str]], difference: Fraction, *, exact: bool
) -> list[int] | list[float]:
    """Whole numbers for whole values; else floats, the last of which takes what rounding left."""
    if exact:
        rounded = whole({number: share for number, (_, _, share, _) in enumerate(shares)}, int(difference))
        return [rounded[number] for number in range(len(shares))]
    return [float(share) for _, _, share, _ in shares]


