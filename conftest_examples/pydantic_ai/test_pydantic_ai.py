"""An agent of Pydantic AI with a budget. The agent does not know of it; the stage comes from the fixture below."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'pydantic-ai-slim[openai]'")

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from pytest_tokenbudget import stage, token_budget
from pytest_tokenbudget.replay.replies import text, tool_call


def build_agent(base_url: str) -> Agent:
    """A desk that looks up orders."""
    model = OpenAIChatModel("gpt-4.1-mini", provider=OpenAIProvider(base_url=base_url, api_key="unused"))
    agent = Agent(model, instructions="You are the desk of a shop. Look an order up before you speak of it.")

    @agent.tool_plain
    def find_order(number: str) -> str:
        """Finds an order by its number and tells its state."""
        return f"order {number}: sent on Monday"

    return agent


@pytest.fixture
def agent(scripted_llm: Any) -> Agent:
    """The agent, whose model is scripted: it looks the order up, then it answers."""
    scripted_llm.add(tool_call("find_order", number="17"), text("It was sent on Monday."))
    return build_agent(scripted_llm.base_url)


@token_budget("10%")
def test_finds_an_order(agent: Agent) -> None:
    with stage("desk"):
        assert "Monday" in agent.run_sync("Where is order 17?").output
