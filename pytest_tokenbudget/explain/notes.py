"""What changed without a size of its own: a broken cache prefix, another model, another order, other text of the same size."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tokenbudget.explain.growth import similar, size
from pytest_tokenbudget.explain.phrases import title
from pytest_tokenbudget.explain.prefix import behind_breaks, find_break
from pytest_tokenbudget.explain.stages import DERIVED, Compositions, leaves
from pytest_tokenbudget.explain.tokens_read import models_text, pairs
from pytest_tokenbudget.explain.words import instead, plain
from pytest_tokenbudget.records.composition import StageComposition

_SHOWN_NAMES = 5

NOTABLE = 50
"""A broken prefix is noted where it costs at least a fiftieth of the stage's input."""


def notes(before: Compositions, after: Compositions) -> tuple[str, ...]:
    """Notes on what changed between two compositions of a test, the most important first.

    Args:
        before: Compositions by stage path before; the whole test's stands under ``""``.
        after: Likewise, now.

    Returns:
        One sentence a note, with the stage in front where there are several. Empty where nothing changed.
    """
    found = leaves("", before, after)
    ranked: list[tuple[int, str]] = []
    for leaf in found:
        if leaf.before is None or leaf.after is None:
            continue
        place = f"{plain(leaf.stage)}: " if len(found) > 1 else ""
        ranked += [(rank, place + note) for rank, note in _ranked(leaf.before, leaf.after)]
    return tuple(dict.fromkeys(note for _, note in sorted(ranked, key=lambda item: item[0])))


def stage_notes(before: StageComposition, after: StageComposition) -> tuple[str, ...]:
    """The notes on one stage."""
    return tuple(note for _, note in sorted(_ranked(before, after), key=lambda item: item[0]))


def _ranked(before: StageComposition, after: StageComposition) -> Iterator[tuple[int, str]]:
    behind = behind_breaks(after) - behind_breaks(before)
    broken = find_break(after, before)
    if broken is not None and behind * NOTABLE >= after.input_tokens > 0:
        yield 0, f"cache prefix broken: {broken.text}"
    if before.models != after.models:
        yield 1, f"model {models_text(before, after)}"
    if before.attempts != after.attempts:
        yield 2, f"{instead(after.attempts, before.attempts, 'failed attempt')}"
    if before.prefix != after.prefix and sorted(before.prefix) == sorted(after.prefix):
        first = next(i for i, pair in enumerate(after.prefix) if pair != before.prefix[i])
        yield 3, f"the prompt's first pieces stand in another order, from {_label(after.prefix[first][0])} on"
    others = list(_same_size_other_text(before, after))
    if others:
        rest = f" and {len(others) - _SHOWN_NAMES} more" if len(others) > _SHOWN_NAMES else ""
        yield 4, f"same size, other text: {', '.join(others[:_SHOWN_NAMES])}{rest}"


def _same_size_other_text(before: StageComposition, after: StageComposition) -> Iterator[str]:
    unmoved = before.input_tokens == after.input_tokens
    for pair in pairs(before, after):
        was, now = pair.before, pair.after
        if was is None or now is None or not _other_text(was.digest, now.digest):
            continue
        if (was.calls, was.distinct) != (now.calls, now.distinct):
            continue
        # where the input as a whole has its size, a part's share of it may have been rounded to another number
        if was.tokens == now.tokens or (unmoved and similar(size(was), size(now))):
            yield _label(f"{now.part}:{now.name}" if now.name else now.part)


def _other_text(before: str, after: str) -> bool:
    """Whether two digests are known to be of different texts."""
    (was, *inside_before), (now, *inside_after) = before.split(DERIVED), after.split(DERIVED)
    return bool(was and now) and was != now and inside_before == inside_after


def _label(label: str) -> str:
    """``tools:search`` as it is shown."""
    part, _, name = label.partition(":")
    return title(part, name)
