"""Shows the words that changed: a diff of a tool's schema or of a system prompt, where the texts of both sides are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import unified_diff

from pytest_tokenbudget.explain.phrases import clean_name
from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.prompt import PromptText
from pytest_tokenbudget.wording import plain

SHOWN_TEXTS = 3
"""Texts that are shown of a test, those of its largest causes."""

MOST_LINES = 60
"""Lines of a diff that are kept."""

LONGEST_LINE = 160
"""Characters of a line; a longer one is broken where a sentence ends, else anywhere."""

WITHHELD = ("… its words are not shown: they hold what looks like a key",)
"""Stands for the diff of a text that no cassette may hold."""

_MOST_COMPARED = 1000
"""Lines that are compared of a text, after what both begin and end with: comparing takes up to the square of it."""

_Key = tuple[str, str, str]

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=\\n)")
"""Ends of sentences, at which a long line is broken; ``\\n`` is how JSON writes the end of a line within a description."""


def with_text_diffs(
    causes: Sequence[Cause], before: Iterable[PromptText], after: Iterable[PromptText]
) -> tuple[Cause, ...]:
    """Give the largest causes the diff of the text that changed."""
    then, now = _by_key(before), _by_key(after)
    stages = {key[0] for key in then} & {key[0] for key in now}
    diffs: dict[_Key, tuple[str, ...]] = {}
    for cause in sorted(causes, key=lambda one: (not one.metric.endswith("input_tokens"), -abs(one.delta))):
        key = (cause.stage, cause.part, cause.name)
        if len(diffs) == SHOWN_TEXTS:
            break
        if cause.part not in ("system", "tools") or key in diffs or cause.stage not in stages:
            continue
        # What one side alone has (a new tool) is all new; what may not be shown has no text on a side that knows it.
        sides = then.get(key, ("",)), now.get(key, ("",))
        if lines := diff_lines(*_changed_texts(*sides)) if all(sides) else WITHHELD:
            diffs[key] = lines
    return tuple(
        replace(cause, diff=diffs[key]) if (key := (cause.stage, cause.part, cause.name)) in diffs else cause
        for cause in causes
    )


def _by_key(texts: Iterable[PromptText]) -> dict[_Key, tuple[str, ...]]:
    return {(one.stage, one.part, clean_name(one.name)): one.texts for one in texts}


def _changed_texts(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    """Choose the first text that each side alone has; a side that has none of its own gives nothing."""
    gone = next((text for text in before if text not in after), "")
    new = next((text for text in after if text not in before), "")
    return gone, new


def diff_lines(before: str, after: str) -> tuple[str, ...]:
    """Compare two texts: lines of a unified diff without its head, with one line around each change.

    Each line is one line of visible characters. Of a long diff the beginning is kept, and its last line says how much is
    left out.
    """
    then, now = _without_common_ends(list(_lines(before)), list(_lines(after)))
    compared = unified_diff(then[:_MOST_COMPARED], now[:_MOST_COMPARED], n=1, lineterm="")
    # The head names files, and numbers of lines would be those of the broken ones: neither tells anything here.
    found = ["@@" if line.startswith("@@") else line for line in list(compared)[3:]]
    shown = [line[:1] + plain(line[1:].expandtabs(2), limit=LONGEST_LINE + 2) for line in found[:MOST_LINES]]
    left_out = len(found) - len(shown) + max(0, len(then) - _MOST_COMPARED) + max(0, len(now) - _MOST_COMPARED)
    return (*shown, f"… {left_out:,} more lines") if left_out else tuple(shown)


def _without_common_ends(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Leave out what both begin and end with, but for one line."""
    shortest = min(len(before), len(after))
    start = next((at for at in range(shortest) if before[at] != after[at]), shortest)
    rest = shortest - start
    end = next((at for at in range(rest) if before[-1 - at] != after[-1 - at]), rest)
    start, end = max(0, start - 1), max(0, end - 1)
    return before[start : len(before) - end], after[start : len(after) - end]


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        for sentence in _SENTENCE_END.split(line):
            yield from (sentence[at : at + LONGEST_LINE] for at in range(0, len(sentence), LONGEST_LINE))
