"""An agent that looks things up: what it found makes up most of what it reads, and that is what the budget holds.

The model is scripted, so that the example needs no key. The search is real: the three best of the documents below.
"""

from __future__ import annotations

from typing import Any

import openai
import pytest

from pytest_tokenbudget import stage, token_budget
from pytest_tokenbudget.replay.replies import text, tool_call

DOCUMENTS = [
    "A chair can be returned within thirty days if it is clean. The refund is paid to the card of the order.",
    "A lamp comes with a bulb. Bulbs can not be returned once they were used, lamps within thirty days.",
    "Orders above fifty euro are sent free of charge. Parcels take two days, furniture takes a week.",
    "The shop is open from ten to seven. On Sundays the desk answers mail only.",
]
BEST = 2
"""Documents that a search returns. Try 4: the budget fails, and names the results of the search."""

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches the shop's rules.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


def search(query: str) -> str:
    """The documents that share most words with the query."""
    words = set(query.lower().split())
    ranked = sorted(DOCUMENTS, key=lambda document: -len(words & set(document.lower().split())))
    return "\n".join(ranked[:BEST])


def answer(client: openai.OpenAI, question: str) -> str:
    """Look up, then answer from what was found."""
    messages: list[Any] = [
        {"role": "system", "content": "Answer from the shop's rules. Search before you answer."},
        {"role": "user", "content": question},
    ]
    with stage("rag"):
        while True:
            reply = client.chat.completions.create(model="gpt-4.1-mini", messages=messages, tools=[SEARCH])
            message = reply.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": search(question)} for call in message.tool_calls
            ]


@pytest.fixture
def client(scripted_llm: Any) -> openai.OpenAI:
    """An ordinary client whose model is scripted: it searches twice, then it answers."""
    found = tool_call("search", query="return a chair")
    scripted_llm.add(found, tool_call("search", query="refund"), text("Yes, within thirty days."))
    return openai.OpenAI(api_key="unused", base_url=scripted_llm.base_url)


@token_budget({"rag.input_tokens": "10%"}, limit={"rag.calls": 3})
def test_answers_from_the_rules(client: openai.OpenAI) -> None:
    """What the searches return may not grow by more than a tenth, nor may there be more calls."""
    assert "thirty days" in answer(client, "Can I return a chair?")
