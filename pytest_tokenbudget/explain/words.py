"""Numbers and names as they stand in the text of a cause. Names of tools and stages are hostile text."""

from __future__ import annotations

from fractions import Fraction

from pytest_tokenbudget import wording
from pytest_tokenbudget.wording import counted

LONGEST_NAME = 60
"""Characters of a name that are shown."""


def plain(name: str) -> str:
    """A name as it may stand in a text, cut to length."""
    return wording.plain(name, limit=LONGEST_NAME)


def amount(value: Fraction | float | int) -> str:
    """A number of tokens with thousands separators, rounded to a whole one from 10 on and to a tenth below."""
    exact = Fraction(value)
    if exact.denominator == 1 or abs(exact) >= 10:
        return f"{round(exact):,}"
    return f"{float(exact):.1f}".removesuffix(".0")


def moved(before: Fraction | int, after: Fraction | int) -> str:
    """``2,310 -> 3,350``."""
    return f"{amount(before)} -> {amount(after)}"


def each(number: int) -> str:
    """``in 1 call``, ``in each of 3 calls``."""
    return "in 1 call" if number == 1 else f"in each of {number:,} calls"


def instead(after: int, before: int, word: str) -> str:
    """``4 calls instead of 3``."""
    return f"{counted(after, word)} instead of {before:,}"


def seconds(value: Fraction) -> str:
    """A time: ``4.1 s``, ``21 ms``."""
    number = float(value)
    return f"{number:,.1f} s" if abs(number) >= 1 else f"{number * 1000:,.0f} ms"


def dollars(value: Fraction) -> str:
    """A price of a million tokens: ``$0.27``."""
    return f"${float(value):,.2f}"
