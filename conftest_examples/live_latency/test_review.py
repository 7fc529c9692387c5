"""A live test whose latency is gated. What the code decides is judged on one run; what the provider does is told, and fails nothing."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from provider import serve
from review import review

from pytest_tokenbudget import token_budget


@pytest.fixture(scope="session")
def client() -> Iterator[openai.OpenAI]:
    """A client of the stand-in; a real one would be ``openai.OpenAI()``."""
    with serve() as base_url:
        yield openai.OpenAI(api_key="unused", base_url=base_url)


@token_budget({"input_tokens": "10%", "calls": "0", "latency": "30%"})
def test_reviews_a_text(client: openai.OpenAI) -> None:
    assert len(review(client, "The chair was sent on Monday.")) == 3
