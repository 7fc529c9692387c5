"""Says what changed without a size of its own: a broken cache prefix, another model or order, other text of the same size."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tokenbudget.explain.additive import leaves
from pytest_tokenbudget.explain.cache_prefix import behind_breaks, find_break
from pytest_tokenbudget.explain.growth import is_similar, mean_size, pairs
from pytest_tokenbudget.explain.phrases import clean_name, say_instead, say_part
from pytest_tokenbudget.explain.shares import say_models
from pytest_tokenbudget.records.composition import Compositions, PartTotal, StageComposition

_SHOWN_NAMES = 5

_NOTED_BREAK = 50
"""A broken prefix is noted where it costs at least one part in so many of the stage's input."""


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
    return tuple(dict.fromkeys(note for _, note in sorted(ranked, key=lambda item: item[0])))


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
    was, now = (
        [part for part in side.parts if part.part in ("system", "tools") and part.digest] for side in (before, after)
    )
    order_then, order_now = ([(part.part, part.name, part.digest) for part in side] for side in (was, now))
    if sorted(order_then) != sorted(order_now):
        return None
    return next((part for part, then, here in zip(now, order_then, order_now, strict=True) if then != here), None)


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
