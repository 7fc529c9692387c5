"""Draws bars and lines of text, coloured on a terminal, in signs that its encoding has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from pytest_tokenbudget.report.figures import for_terminal
from pytest_tokenbudget.report.table import Line, Tone

Colour = Literal["bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: dict[Colour, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_TONES: dict[Tone, Colour] = {"bad": "red", "good": "green", "doubtful": "yellow", "faint": "dim"}
_BLOCKS, _BLOCKS_ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_BAR, _BAR_ASCII = ("█", "▒"), ("#", ":")
"""The character of a full bar, and that of a shaded one."""


def coloured() -> bool:
    """Tell whether to colour standard output: a terminal's, unless NO_COLOR (https://no-color.org); always with FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def paint(text: str, colour: Colour) -> str:
    """Text in a colour, where standard output shows colours."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if text and coloured() else text


def paint_line(line: Line) -> str:
    """A line of a report's section, the part that has a tone in its colour."""
    colour = _TONES.get(line.tone)
    toned = line.toned or line.text
    return line.text.removesuffix(toned) + (paint(toned, colour) if colour else toned)


def write_lines(lines: Iterable[str]) -> None:
    """Print lines. Characters that the encoding of standard output lacks become its substitutes, and no error."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        print(for_terminal(line, encoding).encode(encoding, "replace").decode(encoding))


def bar(share: float, width: int, *, again: float = 0.0) -> str:
    """A bar.

    A share from 0 to 1 of the width; what is more than 0 is one character at the least. The part ``again`` of it is shaded.
    """
    length = max(1, round(width * share)) if share > 0 else 0
    shaded = min(length, round(length * again))
    full, shade = _BAR if _has_blocks() else _BAR_ASCII
    return full * (length - shaded) + shade * shaded


def sparkline(values: Sequence[float]) -> str:
    """Values as a row of blocks. A range below a fiftieth of the values is drawn flat, not as if they had jumped."""
    if not values:
        return ""
    blocks = _BLOCKS if _has_blocks() else _BLOCKS_ASCII
    low, high = min(values), max(values)
    span = max(high - low, max(abs(low), abs(high)) / 50)
    if not span:
        return blocks[0] * len(values)
    return "".join(blocks[min(7, int(8 * (value - low) / span))] for value in values)


def _has_blocks() -> bool:
    try:
        "".join((_BLOCKS, *_BAR)).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
