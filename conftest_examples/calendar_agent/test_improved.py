"""The improved agent has targets: its worker reads 30 % less and takes 25 % less time, and the calendar ends the same.

Nor may it talk longer: one gate beside the target.

The reference `before` was recorded from the first agent, with the same test:

    CALENDAR_AGENT=first pytest test_improved.py --tokenbudget-reference=before
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from agent import CalendarAgent
from improved import ImprovedAgent
from model import TURNS

from pytest_tokenbudget import token_budget


@pytest.fixture
def agent(client: Any, calendar: Any) -> CalendarAgent:
    first = os.environ.get("CALENDAR_AGENT") == "first"
    return (CalendarAgent if first else ImprovedAgent)(client, calendar)


@token_budget(
    {"output_tokens": "10%"},
    reduce={"worker.input_tokens": "30%", "worker.latency": "25%", "worker.latency.p95": "25%"},
    against="before",
)
def test_does_the_same_with_less(agent: CalendarAgent, calendar: Any, budget: Any) -> None:
    """The same three turns; an outcome that differs from the reference's fails the test."""
    for said in TURNS:
        assert agent.ask(said)["changed"]
    budget.outcome("calendar", calendar.everything())
