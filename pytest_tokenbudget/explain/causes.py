"""Finds the causes of a difference, which add up to it, of the gates that fail, and what changed without a size of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from pytest_tokenbudget.explain.additive import ADDITIVE, Leaf, additive_shares, leaves, present
from pytest_tokenbudget.explain.cache_prefix import behind_breaks, find_break
from pytest_tokenbudget.explain.growth import is_similar, mean_size, pairs
from pytest_tokenbudget.explain.phrases import clean_name, say_change, say_instead, say_part
from pytest_tokenbudget.explain.shares import Share, merge_shares, round_floats, round_whole, say_models
from pytest_tokenbudget.measure.metrics import OPEN_TIMES
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import Cause, Compositions, PartTotal, StageComposition, within
from pytest_tokenbudget.records.gate import TOOL_PREFIX, Metric, is_tool_metric, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL

NEGLIGIBLE_SHARE = Fraction(1, 10**9)
"""Of values that are no whole numbers, a share that is smaller than this part of the largest is no cause."""

_SHOWN_NAMES = 5

_NOTED_BREAK = 50
"""A broken prefix is noted where it costs at least one part in so many of the stage's input."""

_TIMES = ("latency", "measured_latency", "model_time")
_CACHED = ("cached_input_tokens", "cache_write_tokens")
_Totals = tuple[StageComposition | None, StageComposition | None]
_Values = tuple[Fraction, Fraction]


def explain(
    metric: str,
    stage: str,
    before: Compositions,
    after: Compositions,
    *,
    before_value: float | int | None,
    after_value: float | int | None,
) -> tuple[Cause, ...]:
    """The causes of the difference of a metric.

    Args:
        metric: Its name without stage and statistic, ``"input_tokens"``.
        stage: The stage that it is of, ``""`` for the whole test.
        before: Compositions by stage path before.
        after: Likewise, now.
        before_value: The metric before, in its unit; ``None`` where the stage did not exist.
        after_value: The metric now; ``None`` where the stage no longer exists.

    Returns:
        The causes, largest first, none of size 0. They add up exactly to ``after_value - before_value``, in whole numbers
        where both values are whole. Each call counts in the innermost stage that it was made in, so that nested stages
        are not counted twice, and :attr:`Cause.stage` is the stage in which the cause lies; the text names it where there
        are several. Empty where nothing changed, where a value is unknown, and for metrics that no composition explains
        (``own_time``, ``ttft``, a metric of a hook).
    """
    known = [value for value in (before_value, after_value) if value is not None]
    if not known or not all(map(math.isfinite, known)):
        return ()
    values = Fraction(before_value or 0), Fraction(after_value or 0)
    if values[0] == values[1]:
        return ()
    totals = present(within(before, stage)), present(within(after, stage))
    found = leaves(stage, before, after)
    # A value without a composition is no stage that appeared, but one of which nothing was stored.
    if [value for total, value in zip(totals, values, strict=True) if total is None and value]:
        found = []
    shares = _shares(metric, stage, found, totals, values)
    if shares is None:
        return ()
    # Where one stage made all calls, even the whole test's causes need not say which.
    place = found[0].stage if len(found) == 1 else stage
    shares = [share if share.stage else replace(share, stage=place) for share in shares]
    rest = values[1] - values[0] - sum([share.delta for share in shares], Fraction(0))
    if rest:
        shares = [*shares, _rest(metric, stage, rest, totals, values)]
    return _causes(f"{stage}.{metric}" if stage else metric, merge_shares(shares), values)


def _shares(metric: str, stage: str, found: list[Leaf], totals: _Totals, values: _Values) -> list[Share] | None:
    """Split the difference by what the compositions tell; ``None`` for a metric that none explains."""
    before, after = totals
    unnamed = found[0].stage if len(found) == 1 else stage
    if is_tool_metric(metric):
        tool = metric.removeprefix(TOOL_PREFIX)
        return [Share("tools", tool, values[1] - values[0], f"{clean_name(tool)} {say_change(*values)}")]
    if metric in ADDITIVE:
        additive = ADDITIVE[metric]
        shares = _with_moves(additive_shares(found, additive, unnamed=unnamed))
        if not shares and before is not None and after is not None and not (before.parts or after.parts):
            shares = _unread(before, after, values, additive.rest)
        return shares
    if metric not in (*_TIMES, *_CACHED, "cost"):
        return None
    if before is None or after is None or not (before.calls and after.calls):
        return []
    from pytest_tokenbudget.explain.cost_and_time import cache_shares, cost_shares, time_shares

    if metric == "cost":
        return cost_shares(found, (before, after), values, unnamed=unnamed)
    if metric in _CACHED:
        return cache_shares(before, after, values)
    return time_shares(before, after, values, own_code=metric != "model_time") or None


def _with_moves(shares: list[Share]) -> list[Share]:
    """Say of a stage that appeared or vanished where its work came from or went to: it moved, and was not added or saved."""
    found = []
    for share in shares:
        if share.part == "stage":
            others: dict[str, Fraction] = {}
            for other in shares:
                if other.stage != share.stage:
                    others[other.stage] = others.get(other.stage, Fraction(0)) + other.delta
            against = {stage: delta for stage, delta in others.items() if delta * share.delta < 0}
            if abs(sum(against.values(), Fraction(0))) >= abs(share.delta) / 2:
                where = " and ".join(clean_name(stage) for stage in sorted(against))
                text = f"{share.text}, moved {'from' if share.delta > 0 else 'to'} {where}"
                found.append(replace(share, text=text))
                continue
        found.append(share)
    return found


def _unread(before: StageComposition, after: StageComposition, values: _Values, part: str) -> list[Share]:
    """Calls times their size, where no request could be read."""
    if not (before.calls and after.calls):
        return []
    each = [value / side.calls for value, side in zip(values, (before, after), strict=True)]
    by_calls = (after.calls - before.calls) * (each[0] + each[1]) / 2
    own = values[1] - values[0] - by_calls
    text = f"{say_change(each[0], each[1])} a call"
    shares = [Share("calls", "", by_calls, say_instead(after.calls, before.calls, "call")), Share(part, "", own, text)]
    return [share for share in shares if share.delta]


def _rest(metric: str, stage: str, rest: Fraction, totals: _Totals, values: _Values) -> Share:
    """Give what the compositions do not tell; of a stage that only one side has, that it appeared or vanished."""
    for total, value, word in zip(totals, values, ("appeared", "vanished"), strict=True):
        if stage and total is None and not value:
            return Share("stage", stage, rest, f"{clean_name(stage)} {word}", stage)
    text = "not told by the compositions, which are those of one sample"
    if None in totals:
        text = "no composition is known of one side"
    elif metric == "fresh_input_tokens":
        text = "prefixes that calls of several stages share"
    part = ADDITIVE[metric].rest if metric in ADDITIVE else "framing" if metric in _CACHED else "model"
    return Share(part, "", rest, text, stage)


def _causes(metric: str, shares: list[Share], values: _Values) -> tuple[Cause, ...]:
    name = split_key(metric)[1]
    is_count = name in (*ADDITIVE, *_CACHED) or is_tool_metric(name)
    shares = sorted(shares, key=lambda share: (-abs(share.delta), share.stage, share.part, share.name))
    total = values[1] - values[0]
    deltas: list[int] | list[float]
    if is_count and values[0].denominator == values[1].denominator == 1:
        deltas = round_whole([share.delta for share in shares], int(total))
    else:
        shares = _merge_negligible(shares)
        deltas = round_floats([share.delta for share in shares], total)
    causes = [
        Cause(metric, share.stage, share.part, clean_name(share.name), delta, share.words)
        for share, delta in zip(shares, deltas, strict=True)
        if delta
    ]
    return tuple(sorted(causes, key=lambda cause: (-abs(cause.delta), cause.stage, cause.part, cause.name)))


def _merge_negligible(shares: list[Share]) -> list[Share]:
    """Give what is no more than the rounding of the two values to the largest share, which is the first."""
    kept = [share for share in shares if abs(share.delta) > NEGLIGIBLE_SHARE * abs(shares[0].delta)]
    dust = sum((share.delta for share in shares[len(kept) :]), Fraction(0))
    return [replace(kept[0], delta=kept[0].delta + dust), *kept[1:]] if kept else []


def explain_gates(
    gates: Sequence[GateResult], entry: BaselineEntry | None, samples: Sequence[Sample]
) -> tuple[Cause, ...]:
    """The causes of every gate that is not within its bounds, or is suspected not to be."""
    causes: dict[tuple[str, str, str], Cause] = {}
    if entry is None:
        return ()
    for gate in gates:
        if gate.value is None or gate.baseline is None or not _calls_for_causes(gate):
            continue
        stage, name = split_key(gate.metric)
        timed: Sequence[Cause] | None = None
        if name in OPEN_TIMES:
            from pytest_tokenbudget.explain.cost_and_time import latency_causes

            timed = latency_causes(Metric(stage, name), entry, samples)
        for cause in timed or explain(
            name,
            stage,
            entry.composition,
            samples[-1].composition,
            before_value=gate.baseline,
            after_value=gate.value,
        ):
            causes.setdefault((cause.metric, f"{cause.stage}:{cause.part}", cause.name + cause.text), cause)
    return tuple(causes.values())


def _calls_for_causes(gate: GateResult) -> bool:
    """Tell whether it is outside its bounds, or undecided and suspected: what chance does is not explained."""
    if gate.verdict == "inconclusive":
        above = gate.value is not None and gate.allowed is not None and gate.value > gate.allowed
        return above and (gate.p is None or gate.p < SCREENING_LEVEL)
    return gate.verdict not in ("ok", "new")


def notes(before: Compositions, after: Compositions) -> tuple[str, ...]:
    """Notes on what changed between two compositions of a test, the most important first.

    Returns:
        One sentence a note, with the stage in front where there are several. Empty where nothing changed.
    """
    found = leaves("", before, after)
    ranked: list[tuple[int, str]] = []
    for leaf in found:
        if leaf.before is None or leaf.after is None:
            continue
        place = f"{clean_name(leaf.stage)}: " if len(found) > 1 else ""
        ranked += [(rank, place + note) for rank, note in _ranked(leaf.before, leaf.after)]
    return tuple(dict.fromkeys([note for _, note in sorted(ranked, key=lambda item: item[0])]))


def _ranked(before: StageComposition, after: StageComposition) -> Iterator[tuple[int, str]]:
    behind = behind_breaks(after) - behind_breaks(before)
    broken = find_break(after, before)
    if broken is not None and behind * _NOTED_BREAK >= after.input_tokens > 0:
        yield 0, f"cache prefix broken: {broken.text}"
    if before.models != after.models:
        yield 1, f"model {say_models(before, after)}"
    if before.failed_attempts != after.failed_attempts:
        yield 2, say_instead(after.failed_attempts, before.failed_attempts, "failed attempt")
    if (moved := _first_moved(before, after)) is not None:
        yield 3, f"the prompt's first pieces stand in another order, from {say_part(moved.part, moved.name)} on"
    others = list(_same_size_other_text(before, after))
    if others:
        rest = f" and {len(others) - _SHOWN_NAMES} more" if len(others) > _SHOWN_NAMES else ""
        yield 4, f"same size, other text: {', '.join(others[:_SHOWN_NAMES])}{rest}"


def _first_moved(before: StageComposition, after: StageComposition) -> PartTotal | None:
    """Find the first system prompt or tool schema that stands elsewhere although all of them say the same."""
    then, now = [
        {
            (part.part, part.name, part.digest): part
            for part in side.parts
            if part.part in ("system", "tools") and part.digest
        }
        for side in (before, after)
    ]
    if then.keys() != now.keys():
        return None
    return next((now[here] for here, there in zip(now, then, strict=True) if here != there), None)


def _same_size_other_text(before: StageComposition, after: StageComposition) -> Iterator[str]:
    unmoved = before.input_tokens == after.input_tokens
    for pair in pairs(before, after):
        was, now = pair.before, pair.after
        if was is None or now is None or was.digest == now.digest or not (was.digest and now.digest):
            continue
        if (was.calls, was.distinct) != (now.calls, now.distinct):
            continue
        # Where the input as a whole has its size, a part's share of it may have been rounded to another number.
        if was.tokens == now.tokens or (unmoved and is_similar(mean_size(was), mean_size(now))):
            yield say_part(now.part, now.name)
