"""How rules and quantities are written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.compare.rules import parse_quantity, parse_reduction, parse_rule
from pytest_tokenbudget.records.gate import Rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("10%", Rule(Fraction(1, 10))),
        ("+10%", Rule(Fraction(1, 10))),
        ("2.5 %", Rule(Fraction(1, 40))),
        (0.10, Rule(Fraction(1, 10))),
        (0, Rule()),
        ("0", Rule()),
        ("0%", Rule()),
        ("+200", Rule(slack=Fraction(200))),
        ("10% +200", Rule(Fraction(1, 10), Fraction(200))),
        ("10%+200", Rule(Fraction(1, 10), Fraction(200))),
        ("+1_000", Rule(slack=Fraction(1000))),
        ("off", Rule(off=True)),
    ],
)
def test_rule_is_read_exactly(text: object, rule: Rule) -> None:
    """Every form of a rule becomes exact fractions."""
    assert parse_rule(text, unit="tokens") == rule


def test_slack_of_a_time_takes_time_units() -> None:
    """An absolute slack is written in the metric's unit."""
    assert parse_rule("10% +500ms", unit="s") == Rule(Fraction(1, 10), Fraction(1, 2))


@pytest.mark.parametrize(
    "text", ["", "ten", "10", "-5%", "10%%", "+", "10% 200", True, None, 5, -0.1, float("nan"), [], "+5s"]
)
def test_other_texts_are_no_rules(text: object) -> None:
    """What is no rule is refused with what is allowed."""
    with pytest.raises(ValueError, match=r"write|unit|mean|no quantity"):
        parse_rule(text, unit="tokens")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("30s", "s", 30),
        ("1500ms", "s", Fraction(3, 2)),
        ("2min", "s", 120),
        ("$0.02", "USD", Fraction(1, 50)),
        (0.02, "USD", Fraction(1, 50)),
        ("12k", "tokens", 12000),
        (12_000, "tokens", 12000),
        ("12_000", "count", 12000),
    ],
)
def test_quantity_is_read_in_the_metrics_unit(text: object, unit: str, value: Fraction) -> None:
    """Units are understood and become exact values."""
    assert parse_quantity(text, unit=unit) == value


@pytest.mark.parametrize(
    ("text", "unit"), [("30s", "tokens"), ("$1", "s"), ("1ms", "USD"), ("x", "s"), (-1, "s"), (True, "count")]
)
def test_wrong_unit_is_refused(text: object, unit: str) -> None:
    """A quantity in another metric's unit is an error, never a guess."""
    with pytest.raises(ValueError, match=unit):
        parse_quantity(text, unit=unit)


@pytest.mark.parametrize(
    ("text", "fraction"), [("30%", Fraction(3, 10)), (0.3, Fraction(3, 10)), ("-30%", Fraction(3, 10))]
)
def test_reduction_is_read(text: object, fraction: Fraction) -> None:
    """A reduction is a share of the reference."""
    assert parse_reduction(text) == fraction


@pytest.mark.parametrize("text", ["0%", "101%", 0.0, 1.5, "much", None, float("nan"), float("inf"), True])
def test_impossible_reduction_is_refused(text: object) -> None:
    """Nothing, or more than all of it, is no reduction."""
    with pytest.raises(ValueError, match="no reduction"):
        parse_reduction(text)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_shown_rule_is_read_back(share: int, slack: int) -> None:
    """A rule reads the same as it is shown."""
    rule = Rule(Fraction(share, 1000), Fraction(slack))
    assert parse_rule(str(rule), unit="tokens") == rule
