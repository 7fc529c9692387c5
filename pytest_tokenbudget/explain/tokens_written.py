"""Why the output grew: more calls, longer answers, more reasoning; and which tools the model called."""

from __future__ import annotations

from fractions import Fraction

from pytest_tokenbudget.explain.phrases import detail
from pytest_tokenbudget.explain.shapley import shapley
from pytest_tokenbudget.explain.share import Share
from pytest_tokenbudget.explain.tokens_read import calls_share, pairs
from pytest_tokenbudget.explain.words import instead, moved, plain
from pytest_tokenbudget.records.composition import StageComposition


def written_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the output tokens: calls times what each wrote, reasoning apart.

    Returns:
        Shares that add up to the difference; none where either output is unknown.
    """
    if before.output_tokens is None or after.output_tokens is None:
        return []
    split = before.reasoning_tokens is not None or after.reasoning_tokens is not None
    was = _each_call(before, split=split)
    now = _each_call(after, split=split)
    if not (before.calls and after.calls):
        return []
    factors_before = [Fraction(before.calls), *was]
    factors_after = [Fraction(after.calls), *now]
    calls, answers, reasoning = shapley(lambda n, w, r: n * (w + r), factors_before, factors_after)
    shares = [
        calls_share(before, after, [(detail("output"), calls)]),
        Share("output", "", answers, f"answers {moved(was[0], now[0])} tokens a call"),
        Share("reasoning", "", reasoning, f"reasoning {moved(was[1], now[1])} tokens a call"),
    ]
    return [share for share in shares if share.delta]


def reasoning_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the reasoning tokens."""
    if not (before.calls and after.calls):
        return []
    was = Fraction(before.reasoning_tokens or 0, before.calls)
    now = Fraction(after.reasoning_tokens or 0, after.calls)
    calls, reasoning = shapley(lambda n, r: n * r, [Fraction(before.calls), was], [Fraction(after.calls), now])
    shares = [
        calls_share(before, after, [(detail("reasoning"), calls)]),
        Share("reasoning", "", reasoning, f"reasoning {moved(was, now)} tokens a call"),
    ]
    return [share for share in shares if share.delta]


def tool_call_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the tool calls, as far as their results came back into the input."""
    shares = []
    for pair in pairs(before, after, ("tool_results",)):
        was = pair.before.distinct if pair.before is not None else 0
        now = pair.after.distinct if pair.after is not None else 0
        text = f"{plain(pair.key[1]) or 'tools'}: {instead(now, was, 'result')}"
        shares.append(Share("tool_results", pair.key[1], Fraction(now - was), text))
    return [share for share in shares if share.delta]


def _each_call(composition: StageComposition, *, split: bool) -> tuple[Fraction, Fraction]:
    """Answer and reasoning of a call on average."""
    if not composition.calls:
        return Fraction(0), Fraction(0)
    written = composition.output_tokens or 0
    reasoning = (composition.reasoning_tokens or 0) if split else 0
    return Fraction(written - reasoning, composition.calls), Fraction(reasoning, composition.calls)
