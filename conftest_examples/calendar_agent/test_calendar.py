"""An agent test like any other; one line gives it a budget."""

from __future__ import annotations

from typing import Any

import pytest
from agent import CalendarAgent
from model import TURNS

from pytest_tokenbudget import token_budget


@pytest.fixture
def agent(client: Any, calendar: Any) -> CalendarAgent:
    return CalendarAgent(client, calendar)


@token_budget("10%")
def test_books_moves_and_cancels(agent: CalendarAgent, calendar: Any, budget: Any) -> None:
    """Three turns about the same lunch: nothing gated may grow by more than 10 %."""
    for said in TURNS:
        assert agent.ask(said)["changed"]
    (lunch,) = [event for event in calendar.everything() if event["title"] == "Lunch with Ana"]
    assert (lunch["start"], lunch["status"]) == ("2026-03-17T13:00", "cancelled")
    budget.outcome("calendar", calendar.everything())
