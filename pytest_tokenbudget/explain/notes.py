"""What changed without changing a number, and what a reader should know besides."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_tokenbudget.explain.words import plain, title
from pytest_tokenbudget.records.composition import StageComposition


def notes(before: Mapping[str, StageComposition], after: Mapping[str, StageComposition]) -> tuple[str, ...]:
    """Notes on a change.

    Args:
        before: Compositions by stage path, of the baseline.
        after: Compositions by stage path, now.

    Returns:
        For each stage: another model, a cache prefix that breaks earlier, texts of the same size that differ.
    """
    lines: list[str] = []
    for path in sorted({*before} & {*after}):
        if path:
            lines += [f"{plain(path)}: {text}" for text in _stage(before[path], after[path])]
    return tuple(lines)


def _stage(before: StageComposition, after: StageComposition) -> list[str]:
    lines = []
    if before.models != after.models and before.models and after.models:
        lines.append(f"the model changed: {_names(before.models)} -> {_names(after.models)}")
    broken = _broken_prefix(before, after)
    if broken:
        lines.append(f"the cache prefix breaks at the {broken}")
    same = _same_size(before, after)
    if same:
        lines.append(f"same size, other text: {', '.join(same)}")
    return lines


def _names(models: tuple[str, ...]) -> str:
    return ", ".join(map(plain, models))


def _broken_prefix(before: StageComposition, after: StageComposition) -> str | None:
    """The first part that differs from call to call now, where the cache could serve far more before."""
    if before.calls < 2 or after.calls < 2 or not before.input_tokens or not after.input_tokens:
        return None
    served = [1 - side.fresh_input_tokens / side.input_tokens for side in (before, after)]
    if served[1] > served[0] / 2:
        return None
    changing = {(part.part, part.name) for part in after.parts if part.distinct > 1}
    for label, _ in after.prefix:
        part, _, name = label.partition(":")
        if (part, name) in changing:
            return title(part, name)
    return None


def _same_size(before: StageComposition, after: StageComposition) -> list[str]:
    then = {(part.part, part.name): part for part in before.parts}
    return [
        title(part.part, part.name)
        for part in after.parts
        if (old := then.get((part.part, part.name))) is not None
        and (old.tokens, old.calls) == (part.tokens, part.calls)
        and old.digest != part.digest
    ]
