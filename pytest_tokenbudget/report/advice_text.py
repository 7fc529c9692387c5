"""Advice as lines of text: what the command prints, and what a verbose run shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.report.figures import dollars, number
from pytest_tokenbudget.wording import plain


def advice_lines(found: Sequence[Advice], *, top: int, runs_per_month: float | None = None) -> list[str]:
    """The advice as text: what could be saved, its share and how sure that is, and below it the evidence.

    The first ``top`` are shown, with the saving in a month where ``runs_per_month`` is known.
    """
    if not found:
        return ["nothing to advise: no known kind of waste is 1 % of the tokens, the time or the money"]
    lines = []
    for place, advice in enumerate(found[:top], start=1):
        where = f"{plain(advice.stage, limit=40)} {advice.kind.replace('_', ' ')}"
        lines += [f"{place:>2}  {where}: {_saving(advice, runs_per_month or 0)}", f"    {plain(advice.text)}"]
    if len(found) > top:
        lines.append(f"... and {len(found) - top} more")
    if any(advice.recounted for advice in found[:top]):
        lines += ["", "recounted: counted on the recorded requests with the cut made, as tokenbudget whatif does;"]
        lines += ["the others are sums of measured parts. Savings overlap: they cannot be added."]
    else:
        lines += ["", "The savings are sums of measured parts. They overlap, and cannot be added."]
    return [*lines, "They say what the parts cost, not that the agent works without them: its outcomes decide that."]


def _saving(advice: Advice, runs_per_month: float) -> str:
    from_cache = " from the cache" if advice.kind in ("cache_unused", "cache_broken") else ""
    savings = [f"{advice.tokens:,} tokens{from_cache}"] if advice.tokens else []
    savings += [number(advice.seconds, "s")] if advice.seconds else []
    if advice.cost:
        month = f" (an estimated {_rounded(advice.cost * runs_per_month)} a month)" if runs_per_month else ""
        savings.append(dollars(advice.cost) + month)
    if not savings:
        return "observation"
    how = f"{advice.sure}, recounted" if advice.recounted else advice.sure
    return f"up to {', '.join(savings)} a run ({advice.share:.0%}), {how}"


def _rounded(amount: float) -> str:
    """An amount of a month, without the cents where it is large."""
    return f"${amount:,.0f}" if amount >= 100 else dollars(amount)


def weight_lines(weights: Mapping[str, float]) -> list[str]:
    """Say by what production weighs the savings of each stage."""
    told = [f"{weight:.2g} in {plain(stage, limit=40)}" for stage, weight in sorted(weights.items())]
    return [f"weighed by production, which makes for each call of the tests: {', '.join(told)}"] if told else []
