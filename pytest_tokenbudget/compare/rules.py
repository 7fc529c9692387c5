"""How rules and quantities are written: ``"10%"``, ``"+200"``, ``"10% +200"``, ``"30s"``, ``"$0.02"``."""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite

from pytest_tokenbudget.records.gate import Rule

_NUMBER = r"\d[\d_]*(?:\.\d+)?|\.\d+"
_PERCENT = re.compile(rf"\+?\s*({_NUMBER})\s*%")
_QUANTITY = re.compile(rf"(\$)?\s*({_NUMBER})\s*(us|µs|ms|s|min|k|M|USD|tokens)?")
_UNIT_SCALE: dict[str, dict[str, Fraction]] = {
    "s": {
        "us": Fraction(1, 10**6),
        "µs": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
    },
    "USD": {"USD": Fraction(1)},
    "tokens": {"tokens": Fraction(1), "k": Fraction(1000), "M": Fraction(10**6)},
    "count": {"k": Fraction(1000), "M": Fraction(10**6)},
}
RULE_FORMS = '"10%", 0.10, "+200", "10% +200", "0" or "off"'


def parse_rule(value: object, *, unit: str) -> Rule:
    """Parse a rule of ``max_increase``.

    Args:
        value: ``"10%"``, ``0.10``, ``"+200"`` (absolute slack in the metric's unit), ``"10% +200"`` (both must be
            passed), ``"0"`` or ``"off"``.
        unit: Unit of the metric: ``tokens``, ``count``, ``s`` or ``USD``.

    Returns:
        The rule.

    Raises:
        ValueError: If it is none of these; the message says what is allowed.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is no rule; write {RULE_FORMS}")
    if isinstance(value, (int, float, Fraction)):
        return Rule(_fraction_of_number(value))
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no rule; write {RULE_FORMS}")
    text = value.strip()
    if text == "off":
        return Rule(off=True)
    if text in ("0", "+0", "0%", "+0%"):
        return Rule()
    fraction, slack, rest = Fraction(0), Fraction(0), text
    if match := _PERCENT.match(rest):
        fraction = Fraction(match[1].replace("_", "")) / 100
        rest = rest[match.end() :].strip()
        if not rest:
            return Rule(fraction)
    if not rest.startswith("+"):
        raise ValueError(f"{value!r} is no rule; write {RULE_FORMS}")
    slack = parse_quantity(rest[1:].strip(), unit=unit)
    return Rule(fraction, slack)


def _fraction_of_number(value: float | Fraction) -> Fraction:
    if not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no rule; write {RULE_FORMS}")
    if isinstance(value, int) and value != 0:
        raise ValueError(f'{value!r} would mean +{value * 100} %; write "{value}%" or "+{value}"')
    return value if isinstance(value, Fraction) else Fraction(str(value))


def parse_quantity(value: object, *, unit: str) -> Fraction:
    """Parse an absolute value of a metric: ``12000``, ``"30s"``, ``"1500ms"``, ``"$0.02"``, ``"12k"``.

    Args:
        value: What the user wrote.
        unit: Unit of the metric: ``tokens``, ``count``, ``s`` or ``USD``; another metric's unit is an error.

    Returns:
        The value in the metric's unit, exact.

    Raises:
        ValueError: If it cannot be understood or has the wrong unit.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        raise ValueError(f"{value!r} is no quantity in {unit}")
    if not isinstance(value, str):
        if not isfinite(value) or value < 0:
            raise ValueError(f"{value!r} is no quantity in {unit}: it must be finite and not negative")
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no quantity in {unit}")
    dollar, number, suffix = match[1], Fraction(match[2].replace("_", "")), match[3]
    if dollar and unit != "USD":
        raise ValueError(f"{value!r} is an amount of money, the metric's unit is {unit}")
    if suffix is None:
        return number
    scale = _UNIT_SCALE.get(unit, {}).get(suffix)
    if scale is None:
        raise ValueError(f"{value!r} has the unit {suffix}, the metric's unit is {unit}")
    return number * scale


def parse_reduction(value: object) -> Fraction:
    """Parse a wanted reduction: ``"30%"`` or ``0.30``, more than 0 and at most all of it.

    Raises:
        ValueError: If it is neither.
    """
    fraction: Fraction | None = None
    if isinstance(value, Fraction):
        fraction = value
    elif isinstance(value, float) and isfinite(value):
        fraction = Fraction(str(value))
    elif isinstance(value, str) and (match := re.fullmatch(rf"-?\s*({_NUMBER})\s*%", value.strip())):
        fraction = Fraction(match[1].replace("_", "")) / 100
    elif isinstance(value, str) and re.fullmatch(r"0?\.\d+", value.strip()):
        fraction = Fraction(value.strip())
    if fraction is None or not 0 < fraction <= 1:
        raise ValueError(f'{value!r} is no reduction; write "30%" or 0.30')
    return fraction
