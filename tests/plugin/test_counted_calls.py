"""Calls whose tokens nobody reports: by what they are counted."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_server import Reply
from wire_prompts import prompt_for

from pytest_tokenbudget.tokens.counter import Counter

TEXT = "Where is my lamp? It was to be here on Monday. " * 20


def _test(model: str) -> str:
    return f'@token_budget("10%")\ndef test_agent(ask):\n    ask({TEXT!r}, model={model!r})\n'


def _expected(model: str, provider: str) -> int:
    prompt = prompt_for("openai.chat", {"model": model, "messages": [{"role": "user", "content": TEXT}]}, model)
    assert prompt is not None
    return Counter().count_prompt(prompt, provider=provider).tokens


@pytest.mark.parametrize(
    ("asked", "answered", "counts_as"),
    [
        ("prod-chat", "gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o", "prod-chat", "gpt-4o"),
        ("our-desk", "qwen3-32b", "qwen3-32b"),
        ("prod-chat", "", "prod-chat"),
    ],
)
def test_the_model_that_answers_counts_where_the_requested_name_says_nothing(
    asked: str, answered: str, counts_as: str, project: Any
) -> None:
    """A deployment's name is no model's; the answer's is."""
    project.server.play(lambda _: Reply("ok", fault="no_usage", model=answered or asked))
    project.write(_test(asked))
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    (call,) = project.test["calls"]
    assert call["input_source"] == "counted"
    assert call["input_tokens"] == _expected(counts_as, call["provider"])


def test_what_ollama_serves_is_no_llama_for_that() -> None:
    """A provider's name is no model's."""
    assert _expected("phi4", "ollama") == _expected("phi4", "elsewhere") != _expected("llama3.1:8b", "ollama")
    assert _expected("codellama", "ollama") == _expected("meta-llama/Llama-3.3-70B", "elsewhere")
