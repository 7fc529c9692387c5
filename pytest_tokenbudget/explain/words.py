"""Causes in words."""

from __future__ import annotations

from pytest_tokenbudget.records.composition import PartTotal, StageComposition

_CONTROL = {code: None for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_NAMES = {
    "system": "system prompt",
    "tools": "tool schema",
    "user": "user messages",
    "assistant": "assistant messages",
    "tool_results": "tool results",
    "images": "images",
    "files": "files",
    "framing": "framing",
}


def plain(name: str) -> str:
    """A tool's or stage's name, which comes from outside, without control characters and not too long."""
    cleaned = name.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")
    return cleaned if len(cleaned) <= 80 else cleaned[:79] + "…"


def title(part: str, name: str) -> str:
    """How a part is called: ``calendar_write``, ``results of calendar_read``, ``system prompt``."""
    if part == "tools" and name:
        return plain(name)
    if part == "tool_results" and name:
        return f"results of {plain(name)}"
    return _NAMES.get(part, part)


def part_text(before: PartTotal | None, after: PartTotal | None) -> str:
    """What became of a part: ``calendar_write 2,310 -> 3,350 in each of 3 calls``."""
    known = after or before
    assert known is not None
    name = title(known.part, known.name)
    if before is None or after is None:
        return f"{name} {'added' if before is None else 'removed'}, {each(known)}"
    then, now = size(before), size(after)
    if then == now:
        return f"{name} in {count(after.calls)} instead of {before.calls:,}"
    return f"{name} {then:,} -> {now:,} in {'each of ' if after.calls > 1 else ''}{count(min(before.calls, after.calls))}"


def size(part: PartTotal) -> int:
    """Its tokens in a call that carries it."""
    return round(part.tokens / part.calls) if part.calls else 0


def each(part: PartTotal) -> str:
    """``1,040 in each of 3 calls``."""
    return f"{size(part):,} in {'each of ' if part.calls > 1 else ''}{count(part.calls)}"


def count(calls: int) -> str:
    """``3 calls``."""
    return "1 call" if calls == 1 else f"{calls:,} calls"


def calls_text(before: StageComposition, after: StageComposition) -> str:
    """``4 calls instead of 3``."""
    return f"{count(after.calls)} instead of {before.calls:,}"
