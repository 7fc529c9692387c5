"""The smallest useful budget: one SDK, one test, and a cassette, so that a pull request pays nothing."""

import os

import openai

from pytest_tokenbudget import token_budget


def answer(question: str) -> str:
    """The whole agent."""
    client = openai.OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "not needed for a replay"))
    messages = [{"role": "system", "content": "Answer in one short sentence."}, {"role": "user", "content": question}]
    reply = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
    return reply.choices[0].message.content or ""


@token_budget("10%", replay=True)
def test_answers_in_one_sentence() -> None:
    assert answer("What is a token?").count(".") == 1
