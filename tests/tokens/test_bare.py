"""Embeddings and the completions of old: texts that no template surrounds."""

import pytest
from wire_prompts import prompt_for


@pytest.mark.parametrize(
    ("api", "body", "tokens"),
    [
        ("openai.embeddings", {"model": "text-embedding-3-small", "input": "Hello, world!"}, 4),
        ("openai.embeddings", {"model": "text-embedding-3-small", "input": ["Hello, world!", "Hello, world!"]}, 8),
        ("openai.embeddings", {"model": "text-embedding-3-small", "input": [[9906, 11, 1917], [0]]}, 4),
        ("openai.completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}, 4),
        ("openai.completions", {"model": "davinci-002", "prompt": ["Tell me a joke about opentelemetry"]}, 8),
    ],
)
def test_a_bare_text_costs_its_own_tokens_and_nothing_else(counter, api, body, tokens):
    """No message, no answer that is primed; ids in place of a text count as they are."""
    count = counter.count_prompt(prompt_for(api, body), provider="openai")
    assert (count.tokens, count.estimated) == (tokens, False)


def test_a_text_for_another_makers_embedding_is_an_estimate_without_framing(counter):
    """Its tokens are those of the text in the stand-in, by the family's ratio."""
    count = counter.count_prompt(
        prompt_for("cohere.embed", {"model": "embed-v4.0", "texts": ["Ruby"]}), provider="cohere"
    )
    assert count.estimated
    assert count.tokens == 1


def test_what_the_provider_counted_of_an_empty_prompt_is_still_somewhere(counter):
    """A prompt without a text has one piece that holds the provider's number."""
    prompt = prompt_for("openai.embeddings", {"model": "text-embedding-3-small", "input": ""})
    composition = counter.compose(prompt, provider="openai", input_tokens=7)
    assert [piece.tokens for piece in composition.pieces] == [7]
