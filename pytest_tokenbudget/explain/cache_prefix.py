"""Finds where the cache prefix breaks within a stage, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.explain.growth import FIXED
from pytest_tokenbudget.explain.phrases import say_part, say_tokens
from pytest_tokenbudget.explain.shares import Share, calls_share, merge_shares, split_parts, with_drift
from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.wording import counted


@dataclass(frozen=True, slots=True)
class Break:
    """A piece that differs from call to call in front of others that do not.

    Attributes:
        part: The part that differs first.
        name: Tool name, else ``""``.
        contents: Its different contents.
        calls: Calls that carry it.
        of_calls: Calls of the stage.
        behind: Tokens of unchanged contents that stand behind such a piece, over all calls.
    """

    part: str
    name: str
    contents: int
    calls: int
    of_calls: int
    behind: int

    @property
    def text(self) -> str:
        """Say what breaks and what it costs."""
        what = say_part(self.part, self.name)
        if self.part not in FIXED:
            how = f"an earlier message is changed, moved or dropped ({what})"
        elif self.contents > 1:
            contents, calls = counted(self.contents, "content"), counted(self.calls, "call")
            how = f"{what} differs from call to call ({contents} in {calls})"
        else:
            how = f"{what} stands in {self.calls:,} of {counted(self.of_calls, 'call')}"
        return f"{how}: {say_tokens(self.behind)} unchanged tokens behind it cannot come from a cache"


def behind_breaks(composition: StageComposition) -> int:
    """Tokens that an earlier call had carried and that yet stand behind its common prefix with any earlier call.

    Framing is alike in many places, so that much of it stands behind a prefix although nothing is broken: 0 where framing
    can be all that there is.
    """
    behind = sum([part.behind_tokens for part in composition.parts])
    framing = sum([part.repeated_tokens for part in composition.parts if part.part == "framing"])
    return behind if behind > framing else 0


def find_break(composition: StageComposition, other: StageComposition | None = None) -> Break | None:
    """The part that breaks the prefix, ``None`` where none is broken.

    A part that every call should carry alike (system prompt, tool schema) and that some calls carry otherwise, or not at
    all, breaks it; of several such parts the one that the other side did not have so, then the one that stands first in
    the prompt. Where there is none, a message of the history was changed, moved or dropped: the largest such part is named.
    """
    behind = behind_breaks(composition)
    if not behind or not composition.parts:
        return None
    place = {(part.part, part.name): index for index, part in enumerate(composition.parts)}
    unsteady_there = {(p.part, p.name) for p in other.parts if _is_unsteady(p, other)} if other is not None else set()

    def rank(part: PartTotal) -> tuple[bool, bool, int, int]:
        key = (part.part, part.name)
        unsteady = _is_unsteady(part, composition)
        return not unsteady, key in unsteady_there, place[key] if unsteady else 0, -part.tokens

    history = [part for part in composition.parts if part.part not in FIXED and part.distinct > 1]
    fixed = [part for part in composition.parts if _is_unsteady(part, composition)]
    worst = min(fixed or history or composition.parts, key=rank)
    return Break(worst.part, worst.name, worst.distinct, worst.calls, composition.calls, behind)


def _is_unsteady(part: PartTotal, composition: StageComposition) -> bool:
    """Tell whether a part that every call should carry alike is not so."""
    return part.part in ("system", "tools") and (part.distinct > 1 or part.calls < composition.calls)


def fresh_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the input that no cache can serve.

    Such input is of two kinds: contents that no earlier call had carried, by part; and unchanged ones behind a piece that
    differs from call to call, which go to that piece.
    """
    more_framing = _framing_behind(after) - _framing_behind(before)
    calls, shares, drift = split_parts(before, after, new=True, more_framing=more_framing)
    broken, by_calls = _break_shares(before, after)
    calls.append(("behind a broken prefix", by_calls))
    shares = with_drift([calls_share(before, after, calls), *shares], drift, before, after)
    # The break is said first: of a part that breaks the prefix it is what matters, not how many tokens it has itself.
    kept = merge_shares([*broken, *shares])
    texts = {(share.part, share.name): share.text for share in broken}
    return [replace(share, text=texts.get((share.part, share.name), share.text)) for share in kept if share.delta]


def _framing_behind(composition: StageComposition) -> int:
    """Framing behind a prefix that nothing breaks."""
    return 0 if behind_breaks(composition) else sum(part.behind_tokens for part in composition.parts)


def _break_shares(before: StageComposition, after: StageComposition) -> tuple[list[Share], Fraction]:
    """Give the share of breaks of the prefix, split from the share of the number of calls (Shapley for the product)."""
    was, now = behind_breaks(before), behind_breaks(after)
    if was == now:
        return [], Fraction(0)
    further = (max(1, before.calls - 1), max(1, after.calls - 1))
    each = Fraction(was, further[0]) + Fraction(now, further[1])
    by_calls = (further[1] - further[0]) * each / 2 if was and now else Fraction(0)
    own = now - was - by_calls
    found, other = (after, before) if own > 0 else (before, after)
    broken = find_break(found, other) or find_break(other, found)
    if broken is None:
        return [Share("framing", "", own, "input behind the common prefix of the calls")], by_calls
    text = broken.text if own > 0 else f"no longer so: {broken.text}"
    return [Share(broken.part, broken.name, own, text)], by_calls
