"""The sentence for what a part of the input did by itself."""

from __future__ import annotations

from fractions import Fraction

from pytest_tokenbudget.explain.growth import FIXED, similar, size
from pytest_tokenbudget.explain.words import amount, each, instead, moved, plain
from pytest_tokenbudget.records.composition import PartTotal
from pytest_tokenbudget.wording import counted

_CONTENT = {
    "user": "message",
    "assistant": "message",
    "tool_results": "result",
    "images": "image",
    "files": "file",
}
_TITLE = {"tools": "the schema of {}", "tool_results": "a result of {}"}
_UNNAMED = {
    "system": "the system prompt",
    "tools": "a tool schema",
    "user": "a user message",
    "assistant": "an assistant message",
    "tool_results": "a tool result",
    "images": "an image",
    "files": "a file",
    "framing": "the framing",
}
_DETAIL = {
    "system": "of system prompt",
    "tools": "of tool schemas",
    "user": "of user messages",
    "assistant": "of assistant messages",
    "tool_results": "of tool results",
    "images": "of images",
    "files": "of files",
    "framing": "of framing",
    "output": "of answers",
    "reasoning": "of reasoning",
}


def detail(part: str) -> str:
    """A part as it stands in ``4 calls instead of 3: 3,350 of tool schemas``."""
    return _DETAIL.get(part, part)


def title(part: str, name: str) -> str:
    """A part as it stands in a sentence: ``the schema of search``."""
    return _TITLE.get(part, part).format(plain(name)) if name else _UNNAMED.get(part, part)


def own_text(before: PartTotal | None, after: PartTotal | None) -> str:
    """What a part of the input did, the number of calls left aside.

    Args:
        before: Its totals before, ``None`` where it was absent.
        after: Its totals now, ``None`` where it is absent.
    """
    present = after or before
    if present is None:
        return ""
    named = f"{plain(present.name)}{': ' if present.part == 'tool_results' else ' '}" if present.name else ""
    if before is None:
        return f"{named}added: {_carried(present)}"
    if after is None:
        return f"{named}removed: {_carried(present)}"
    return named + (_fixed(before, after) if present.part in FIXED else _gathered(before, after))


def _carried(part: PartTotal) -> str:
    if part.part not in FIXED and part.distinct > 1:
        return f"{counted(part.distinct, _CONTENT[part.part])}, {amount(part.tokens)} tokens in {counted(part.calls, 'call')}"
    return f"{amount(size(part))} {each(part.calls)}"


def _fixed(before: PartTotal, after: PartTotal) -> str:
    sizes = moved(size(before), size(after))
    if before.calls == after.calls:
        return f"{sizes} {each(after.calls)}"
    if amount(size(before)) == amount(size(after)):
        return f"{amount(size(after))} each, in {instead(after.calls, before.calls, 'call')}"
    return f"{sizes} a call, in {instead(after.calls, before.calls, 'call')}"


def _gathered(before: PartTotal, after: PartTotal) -> str:
    contents = counted(after.distinct, _CONTENT[after.part])
    sums = moved(before.tokens, after.tokens)
    sizes = moved(_mean(before), _mean(after))
    if _sent_twice(before, after):
        return f"the same {contents} {_more(before, after)} often in each call, {sums}"
    if after.distinct != before.distinct:
        said = instead(after.distinct, before.distinct, _CONTENT[after.part])
        return said if similar(_mean(before), _mean(after)) else f"{said}, {sizes} each"
    if not similar(_mean(before), _mean(after)):
        if after.distinct == 1:
            return _fixed(before, after)
        return f"{contents}, {sizes} each, the largest {moved(before.largest, after.largest)}"
    if before.calls != after.calls:
        return f"{contents} carried in {instead(after.calls, before.calls, 'call')}, {sums}"
    return f"the same {contents} {_more(before, after)} often, {sums}"


def _more(before: PartTotal, after: PartTotal) -> str:
    return "more" if after.tokens > before.tokens else "less"


def _sent_twice(before: PartTotal, after: PartTotal) -> bool:
    """Whether as many contents of the same size cost at least half as much again, or that much less."""
    if before.distinct != after.distinct or before.calls != after.calls:
        return False
    low, high = sorted((_mean(before), _mean(after)))
    return similar(Fraction(before.largest), Fraction(after.largest)) and 2 * high >= 3 * low > 0


def _mean(part: PartTotal) -> Fraction:
    """Tokens of a content at its first sending, on average."""
    return Fraction(part.tokens - part.repeated_tokens, part.distinct) if part.distinct else Fraction(0)
