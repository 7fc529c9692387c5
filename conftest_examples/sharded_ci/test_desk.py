"""Tests that two CI jobs share: each runs a part, and `tokenbudget merge` makes one baseline of what both accepted."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from pytest_tokenbudget import token_budget
from pytest_tokenbudget.ext import text

SYSTEM = "You are the desk of a shop. Answer in one sentence."
QUESTIONS = {
    "chair": "Where is my chair?",
    "lamp": "Can I return a lamp?",
    "hours": "When are you open?",
    "refund": "When do I get my money back?",
}


def answer(client: openai.OpenAI, question: str) -> str:
    """Answer one question."""
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    reply = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
    return reply.choices[0].message.content or ""


@token_budget("10%")
@pytest.mark.parametrize("about", QUESTIONS)
def test_answers(about: str, scripted_llm: Any) -> None:
    scripted_llm.add(text(f"Here is all about the {about}."))
    client = openai.OpenAI(api_key="unused", base_url=scripted_llm.base_url)
    assert about in answer(client, QUESTIONS[about])
