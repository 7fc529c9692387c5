"""Says numbers, names and changes in words. Names of tools and stages are hostile text."""

from __future__ import annotations

from fractions import Fraction

from pytest_tokenbudget import wording
from pytest_tokenbudget.explain.growth import FIXED, is_similar, mean_size
from pytest_tokenbudget.records.composition import PartTotal
from pytest_tokenbudget.wording import counted

LONGEST_NAME = 60
"""Characters of a name that are shown."""


def clean_name(name: str) -> str:
    """Give a name as it may stand in a text, cut to length."""
    return wording.plain(name, limit=LONGEST_NAME)


def say_tokens(value: Fraction | float | int) -> str:
    """A number of tokens with thousands separators, rounded to a whole one from 10 on and to a tenth below."""
    exact = Fraction(value)
    if exact.denominator == 1 or abs(exact) >= 10:
        return f"{round(exact):,}"
    return f"{float(exact):.1f}".removesuffix(".0")


def say_change(before: Fraction | int, after: Fraction | int) -> str:
    """``2,310 -> 3,350``."""
    return f"{say_tokens(before)} -> {say_tokens(after)}"


def say_in_calls(number: int) -> str:
    """``in 1 call``, ``in each of 3 calls``."""
    return "in 1 call" if number == 1 else f"in each of {number:,} calls"


def say_instead(after: int, before: int, word: str) -> str:
    """``4 calls instead of 3``."""
    return f"{counted(after, word)} instead of {before:,}"


def say_seconds(value: Fraction) -> str:
    """A time: ``4.1 s``, ``21 ms``, ``240 µs``."""
    number = float(value)
    if abs(number) >= 1:
        return f"{number:,.1f} s"
    return f"{number * 1000:,.0f} ms" if abs(number) >= 0.002 or not number else f"{number * 1e6:,.0f} µs"


_PARTS = {
    "system": ("the system prompt", "", "of system prompt"),
    "tools": ("a tool schema", "", "of tool schemas"),
    "user": ("a user message", "message", "of user messages"),
    "assistant": ("an assistant message", "message", "of assistant messages"),
    "tool_results": ("a tool result", "result", "of tool results"),
    "images": ("an image", "image", "of images"),
    "files": ("a file", "file", "of files"),
    "framing": ("the framing", "", "of framing"),
    "output": ("", "", "of answers"),
    "reasoning": ("", "", "of reasoning"),
}
"""Of each part: what it is where it has no name, one of its contents, and what more calls consist of."""

_NAMED = {"tools": "the schema of {}", "tool_results": "a result of {}"}


def say_detail(part: str) -> str:
    """A part as it stands in ``4 calls instead of 3: 3,350 of tool schemas``."""
    return _PARTS[part][2]


def say_part(part: str, name: str) -> str:
    """A part as it stands in a sentence: ``the schema of search``."""
    return _NAMED.get(part, part).format(clean_name(name)) if name else _PARTS[part][0]


def say_own_change(before: PartTotal | None, after: PartTotal | None) -> str:
    """Say how a part of the input changed, the number of calls left out."""
    present = after or before
    if present is None:
        return ""
    named = f"{clean_name(present.name)}{': ' if present.part == 'tool_results' else ' '}" if present.name else ""
    if before is None:
        return f"{named}added: {_say_carried(present)}"
    if after is None:
        return f"{named}removed: {_say_carried(present)}"
    return named + (_say_fixed(before, after) if present.part in FIXED else _say_gathered(before, after))


def _say_carried(part: PartTotal) -> str:
    if part.part not in FIXED and part.distinct > 1:
        return f"{counted(part.distinct, _PARTS[part.part][1])}, {say_tokens(part.tokens)} tokens in {counted(part.calls, 'call')}"
    return f"{say_tokens(mean_size(part))} {say_in_calls(part.calls)}"


def _say_fixed(before: PartTotal, after: PartTotal) -> str:
    sizes = say_change(mean_size(before), mean_size(after))
    if before.calls == after.calls:
        return f"{sizes} {say_in_calls(after.calls)}"
    if say_tokens(mean_size(before)) == say_tokens(mean_size(after)):
        return f"{say_tokens(mean_size(after))} each, in {say_instead(after.calls, before.calls, 'call')}"
    return f"{sizes} a call, in {say_instead(after.calls, before.calls, 'call')}"


def _say_gathered(before: PartTotal, after: PartTotal) -> str:
    contents = counted(after.distinct, _PARTS[after.part][1])
    sums = say_change(before.tokens, after.tokens)
    sizes = say_change(_mean(before), _mean(after))
    if _is_sent_twice(before, after):
        return f"the same {contents} {_say_direction(before, after)} often in each call, {sums}"
    if after.distinct != before.distinct:
        said = say_instead(after.distinct, before.distinct, _PARTS[after.part][1])
        return said if is_similar(_mean(before), _mean(after)) else f"{said}, {sizes} each"
    if not is_similar(_mean(before), _mean(after)):
        if after.distinct == 1:
            return _say_fixed(before, after)
        return f"{contents}, {sizes} each, the largest {say_change(before.largest, after.largest)}"
    if before.calls != after.calls:
        return f"{contents} carried in {say_instead(after.calls, before.calls, 'call')}, {sums}"
    return f"the same {contents} {_say_direction(before, after)} often, {sums}"


def _say_direction(before: PartTotal, after: PartTotal) -> str:
    return "more" if after.tokens > before.tokens else "less"


def _is_sent_twice(before: PartTotal, after: PartTotal) -> bool:
    """Tell whether as many contents of the same size cost at least half as much again, or that much less."""
    if before.distinct != after.distinct or before.calls != after.calls:
        return False
    low, high = sorted((_mean(before), _mean(after)))
    return is_similar(Fraction(before.largest), Fraction(after.largest)) and 2 * high >= 3 * low > 0


def _mean(part: PartTotal) -> Fraction:
    """Tokens of a content at its first sending, on average."""
    return Fraction(part.tokens - part.repeated_tokens, part.distinct) if part.distinct else Fraction(0)
