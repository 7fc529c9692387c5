"""Requests that cost money and are no calls of a language model: listed, priced where the answer says so, else unknown."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def httpx_is_there() -> None:
    """The traffic is made with httpx."""
    pytest.importorskip("httpx", reason="the traffic is made with httpx")


ANSWERS = """
import httpx
from pytest_tokenbudget import stage

CHAT = {"model": "gpt-4o", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
IMAGE = {"data": [], "usage": {"input_tokens": 50, "output_tokens": 4000, "total_tokens": 4050}}
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}

def answer(request):
    answers = {"/v1/chat/completions": CHAT, "/v1/images/generations": IMAGE, "/v1/moderations": {"results": []}}
    return httpx.Response(200, json=answers.get(request.url.path, {}))

client = httpx.Client(transport=httpx.MockTransport(answer), base_url="https://api.openai.com")
"""


def test_what_has_no_price_makes_the_cost_unknown(project: Any) -> None:
    """Not 0: a limit on the cost would be held by what nobody priced. The calls are counted as ever."""
    project.write(
        ANSWERS
        + """
@token_budget("10%")
def test_agent():
    client.post("/v1/chat/completions", json=ASK)
    with stage("draw"):
        client.post("/v1/images/generations", json={"model": "gpt-image-1", "prompt": "a cat"})
        client.post("https://bedrock-agent-runtime.us-east-1.amazonaws.com/agents/A/agentAliases/B/sessions/C/text", json={"inputText": "x"})
    client.close()
"""
    )
    result = project.run()
    result.assert_outcomes(passed=1)
    test = project.test
    assert (len(test["calls"]), test["total"]["calls"], test["total"]["cost"]) == (1, 1, None)
    image, agent = test["paid"]
    assert (image["api"], image["model"], image["stage"]) == ("openai.images", "gpt-image-1", "draw")
    assert (image["input_tokens"], image["output_tokens"], image["cost"]) == (50, 4000, None)
    assert (agent["api"], agent["provider"], agent["input_tokens"]) == ("bedrock.agents", "aws.bedrock", None)
    notes = [message for message in test["messages"] if "known, not priced" in message]
    assert [note.split(" cost money")[0] for note in notes] == [
        "1 request to bedrock.agents (aws.bedrock)",
        "1 request to openai.images (gpt-image-1)",
    ]


def test_what_is_free_costs_nothing_and_says_nothing(project: Any) -> None:
    """OpenAI gives its moderation away; a request that failed is none."""
    project.write(
        ANSWERS
        + """
@token_budget("10%")
def test_agent():
    client.post("/v1/chat/completions", json=ASK)
    client.post("/v1/moderations", json={"model": "omni-moderation-latest", "input": "Hi"})
    client.close()
"""
    )
    project.run().assert_outcomes(passed=1)
    test = project.test
    assert [(one["api"], one["cost"]) for one in test["paid"]] == [("openai.moderations", 0)]
    assert test["total"]["cost"] > 0
    assert not any("known, not priced" in message for message in test["messages"])


def test_a_test_that_makes_nothing_else_is_told_what_it_made(project: Any) -> None:
    """No model call was seen; the requests that were are named."""
    project.write(
        ANSWERS
        + """
@token_budget("10%")
def test_agent():
    client.post("/v1/images/generations", json={"model": "gpt-image-1", "prompt": "a cat"})
    client.close()
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NO CALLS*", "*1 request to openai.images (gpt-image-1)*"])
