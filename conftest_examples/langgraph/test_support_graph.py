"""A LangGraph agent with a budget; the scripted model looks an order up, opens a return, and answers."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langgraph", reason="pip install langgraph langchain-openai")
pytest.importorskip("langchain_openai", reason="pip install langgraph langchain-openai")

from support_graph import answer, build_graph

from pytest_tokenbudget import token_budget
from pytest_tokenbudget.ext import text, tool_call


@token_budget("10%", limit={"worker.calls": 3})
def test_returns_a_chair(scripted_llm: Any) -> None:
    scripted_llm.add(text("order"), stage="router")
    scripted_llm.add(
        tool_call("find_order", number="17"),
        tool_call("open_return", number="17", reason="a leg is broken"),
        text("The return R-17 is open."),
        stage="worker",
    )
    assert "R-17" in answer(build_graph(scripted_llm.base_url), "My chair of order 17 has a broken leg.")


@token_budget("10%")
def test_declines_what_is_no_order(scripted_llm: Any) -> None:
    scripted_llm.add(text("other"), stage="router")
    scripted_llm.add(text("I only know about orders."), stage="decline")
    assert "orders" in answer(build_graph(scripted_llm.base_url), "What is the weather in Madrid?")
