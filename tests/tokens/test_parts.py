"""The small parts of counting: shares, image formulas, profiles."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.records.composition import split
from pytest_tokenbudget.records.prompt import Image, Message, Prompt, Text, Tool
from pytest_tokenbudget.tokens.counter import Calibration
from pytest_tokenbudget.tokens.media import anthropic_image, google_image, mistral_image, openai_image
from pytest_tokenbudget.tokens.profiles import families, profile_of


@given(total=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_shares_add_up_and_are_within_one_of_their_quota(total, weights):
    """Largest remainder: no share is further than a unit from its exact part."""
    shares = split(total, weights)
    assert sum(shares) == total
    if sum(weights):
        assert all(
            abs(share - total * weight / sum(weights)) < 1 + 1e-6 for share, weight in zip(shares, weights, strict=True)
        )


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_a_total_that_is_the_sum_gives_the_weights_back(weights):
    """What the provider counted as the local count did is not moved."""
    assert split(sum(weights), weights) == weights


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), None, 765),  # the guide's first example: 4 tiles
        ("gpt-4o", (2048, 4096), "high", 1105),  # its second: 6 tiles
        ("gpt-4o", (4096, 8192), "low", 85),  # its third
        ("gpt-4.1-mini", (1024, 1024), None, 1659),  # 1,024 patches times 1.62
        ("gpt-4.1-mini", (1800, 2400), None, 2353),  # shrunk to 33 x 44 patches, 1,452 times 1.62
        ("gpt-5", (1024, 1024), None, 630),  # 70 and 4 tiles of 140
        ("gpt-5.2", (1920, 1080), None, 1810),  # shrunk to 1,508 patches of 1.2 (measured)
        ("gpt-5.5", (1920, 1080), None, 2448),  # 60 x 34 patches, none too many
        ("gpt-5.5", (2560, 1440), None, 4320),
        ("gpt-5.5", (2560, 1440), "high", 2931),
    ],
)
def test_openais_images_count_as_its_guide_computes_them(model, size, detail, tokens):
    """The examples of "Images and vision", "Calculating costs"."""
    assert openai_image(Image(*size, detail), model) == tokens


def test_images_of_other_makers_follow_their_published_formulas():
    """Anthropic: about width x height / 750; Google: 258 for a small one, 258 a tile for a large one; Mistral: rows."""
    assert anthropic_image(Image(1000, 1000), "claude-haiku-4-5") == 1296
    assert anthropic_image(Image(1024, 1024), "claude-haiku-4-5") == 1369
    assert anthropic_image(Image(1920, 1080), "claude-haiku-4-5") <= 1568
    assert anthropic_image(Image(1920, 1080), "claude-opus-4-7") == 2691
    assert mistral_image(Image(330, 291)) == 143
    assert google_image(Image(300, 300), "gemini-2.5-flash") == 258
    assert google_image(Image(1536, 768), "gemini-2.5-flash") > 258
    assert google_image(Image(300, 300), "gemini-3-pro") == 1_120


@pytest.mark.parametrize(
    ("provider", "api", "model", "family"),
    [
        ("anthropic", "anthropic.messages", "claude-sonnet-4-20250514", "Claude 4.0, 4.1"),
        ("aws.bedrock", "bedrock.converse", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "Claude 4.5, 4.6"),
        ("openrouter", "openai.chat", "anthropic/claude-haiku-4.5", "Claude 4.5, 4.6"),
        ("anthropic", "anthropic.messages", "claude-3-5-haiku-latest", "Claude 3, 3.5"),
        ("gcp.vertex_ai", "google.generate_content", "gemini-2.5-flash", "Gemini on Vertex, 1.5, 2.0"),
        ("gcp.gemini", "google.generate_content", "gemini-3-flash-preview", "Gemini 3"),
        ("mistral_ai", "mistral.chat", "mistral-small-latest", "Mistral Small"),
        ("x_ai", "openai.responses", "grok-4", "Grok 4, reasoning"),
        ("x_ai", "openai.responses", "grok-4.3", "Grok 4.3 and later"),
        ("deepseek", "openai.chat", "deepseek-chat", "DeepSeek"),
        ("cohere", "cohere.chat_v2", "command-a-03-2025", "Command A, R7B"),
        ("aws.bedrock", "bedrock.converse", "us.amazon.nova-micro-v1:0", "Nova"),
        ("groq", "openai.chat", "qwen/qwen3-32b", "Qwen"),
        ("groq", "openai.chat", "meta-llama/llama-4-scout", "Llama"),
        ("anthropic", "anthropic.messages", "claude-next", "Claude Sonnet 5 on"),
        ("anthropic", "anthropic.messages", "next-model", "default"),
        ("ollama", "ollama.chat", "phi4", "default"),
        ("ollama", "openai.chat", "granite4:tiny", "default"),
        ("ollama", "ollama.chat", "glm-4.6", "GLM"),
        ("mistral_ai", "mistral.chat", "some-model", "default"),
        ("groq", "openai.chat", "supernova-1", "default"),
        ("cohere", "cohere.chat_v1", "", "Command A, R7B"),
        ("someone", "openai.chat", "something", "default"),
    ],
)
def test_a_models_family_is_found_by_its_name(provider, api, model, family):
    """Through gateways and regions, as a word of its own; never by the name of a provider or an API."""
    assert profile_of(provider, api, model).name == family


def test_every_family_says_what_it_was_fitted_on():
    """A profile without a number of requests would be a guess."""
    assert all(profile.n > 0 for profile in families() if profile.name != "default")


def test_numbers_cost_a_token_a_digit_where_the_vocabulary_splits_them(counter):
    """Gemini reads 12345678 as eight tokens, GPT-4o as three."""
    number, word = "12345678", "seven"

    def tokens(text):
        prompt = Prompt("google.generate_content", "gemini-3-flash", (Message("user", (Text(text),), None, "user"),))
        return counter.count_prompt(prompt, provider="gcp.gemini").tokens

    assert tokens(number) - tokens(word) == 7


def test_tools_that_may_not_be_called_cost_nothing_where_the_provider_drops_them(counter):
    """DeepSeek and Mistral leave them out with ``tool_choice`` ``none``, Anthropic does not."""
    tool = Tool("look", "Looks.", {"type": "object"}, {"name": "look", "description": "Looks."})

    def tokens(model, provider, **fields):
        prompt = Prompt("x", model, (Message("user", (Text("hi"),), None, "user"),), **fields)
        return counter.count_prompt(prompt, provider=provider).tokens

    for model, provider, dropped in (("deepseek-chat", "deepseek", True), ("claude-sonnet-4-5", "anthropic", False)):
        without = tokens(model, provider)
        assert (tokens(model, provider, tools=(tool,), tool_choice="none") == without) is dropped
        assert tokens(model, provider, tools=(tool,)) > without


def test_a_ratio_beyond_belief_is_not_applied():
    """Four times more is another prompt and no other tokenizer."""
    seen = Calibration()
    seen.observe("p", "m", reported=110, counted=100)
    seen.observe("p", "m", reported=130, counted=100)
    seen.observe("p", "wild", reported=5_000, counted=100)
    seen.observe("p", "none", reported=0, counted=100)
    assert seen.ratio("p", "m") == Fraction(6, 5)
    assert seen.ratio("p", "wild") is None
    assert seen.ratio("p", "none") is None
