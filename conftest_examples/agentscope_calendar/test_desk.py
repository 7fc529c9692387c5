"""A calendar agent on AgentScope and deepseek-chat with a budget for each of its stages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("agentscope", reason="pip install agentscope")

from desk import CalendarDesk, build_model

from pytest_tokenbudget import token_budget
from pytest_tokenbudget.ext import text, tool_call


@token_budget("10%", limit={"worker.calls": 3})
def test_books_a_meeting(scripted_llm: Any) -> None:
    scripted_llm.add(text("create"), stage="router")
    scripted_llm.add(
        tool_call("calendar_read", day="2026-03-17"),
        tool_call("calendar_write", day="2026-03-17", title="Review", start="14:30", minutes=30),
        text("The review is on Tuesday at 14:30."),
        stage="worker",
    )
    scripted_llm.add(text({"reply": "The review is on Tuesday at 14:30.", "changed": True}), stage="finalize")
    desk = CalendarDesk(build_model(scripted_llm.base_url))
    answer = asyncio.run(desk.ask("Book a review of 30 minutes on Tuesday at 14:30."))
    assert answer["changed"]
    assert desk.events == {"2026-03-17": ["14:30 Review (30 min)"]}
