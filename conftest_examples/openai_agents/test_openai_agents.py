"""An agent of the OpenAI Agents SDK with a budget: a tool, and a scripted model that answers both of its calls."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("agents", reason="pip install openai-agents")

import agents
import openai

from pytest_tokenbudget import stage, token_budget
from pytest_tokenbudget.replay.replies import text, tool_call


@agents.function_tool
def find_order(number: str) -> str:
    """Finds an order by its number and tells its state."""
    return f"order {number}: sent on Monday"


def build_agent(client: openai.AsyncOpenAI) -> agents.Agent[Any]:
    """A desk that looks up orders."""
    agents.set_tracing_disabled(True)
    model = agents.OpenAIChatCompletionsModel("gpt-4.1-mini", client)
    return agents.Agent("desk", instructions="You are the desk of a shop.", tools=[find_order], model=model)


@pytest.fixture
def agent(scripted_llm: Any) -> agents.Agent[Any]:
    """The agent, whose model is scripted: it looks the order up, then it answers."""
    scripted_llm.add(tool_call("find_order", number="17"), text("It was sent on Monday."))
    return build_agent(openai.AsyncOpenAI(api_key="unused", base_url=scripted_llm.base_url))


@token_budget("10%")
def test_finds_an_order(agent: agents.Agent[Any]) -> None:
    with stage("desk"):
        assert "Monday" in str(agents.Runner.run_sync(agent, "Where is order 17?").final_output)
