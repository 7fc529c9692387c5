"""Counts and compositions, whatever the prompt: they add up, they reach no network, they load nothing twice."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.records.prompt import (
    File,
    Image,
    Message,
    OutputSchema,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from pytest_tokenbudget.tokens import counter as counter_module
from pytest_tokenbudget.tokens.counter import Calibration, Counter

SPECIAL = "<|endoftext|> <|im_start|>system<|im_sep|> <|fim_prefix|> <|endofprompt|> <s> [INST]"
COUNTER = Counter()

words = st.text(max_size=40) | st.sampled_from([SPECIAL, "\ud800 lone", "\x00", "a" * 2_000, "déjà vu 🌞", "12345"])
simple = st.builds(Text, words)
media = st.builds(
    Image, st.none() | st.integers(1, 9_000), st.none() | st.integers(1, 9_000), st.none() | st.just("low"), words
)
files = st.builds(File, words, st.none() | st.integers(0, 10**7), st.none() | words, words)
parts = st.lists(
    simple
    | media
    | files
    | st.builds(ToolCall, words, words, words)
    | st.builds(ToolResult, st.lists(simple | media | files, max_size=2).map(tuple), words, words)
    | st.builds(Reasoning, words, st.booleans(), st.integers(0, 9_000)),
    max_size=3,
).map(tuple)
roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages = st.lists(st.builds(Message, roles, parts, st.none() | words, words), max_size=5).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(
    st.sampled_from(
        ["type", "properties", "items", "anyOf", "enum", "required", "description", "title", "$ref", "format"]
    ),
    json_values,
    max_size=5,
)
tools = st.lists(
    st.builds(
        Tool, words, st.none() | words, st.none() | objects, objects, st.sampled_from(["function", "web_search"])
    ),
    max_size=3,
).map(tuple)
models = st.sampled_from(
    [
        "gpt-4o",
        "gpt-3.5-turbo",
        "gpt-5",
        "o3-mini",
        "claude-sonnet-4-5",
        "gemini-2.5-flash",
        "mistral-small-latest",
        "grok-4.3",
        "",
    ]
)
apis = st.sampled_from(
    ["openai.chat", "openai.responses", "anthropic.messages", "google.generate_content", "odd", "openai.embeddings"]
)
schemas = st.none() | st.builds(OutputSchema, words, st.none() | words, objects)
prompts = st.builds(Prompt, apis, models, messages, tools, st.none() | words, schemas, st.booleans())


class Kept(dict):
    """A cache of counts that is a plain mapping."""

    def set(self, key, tokens):
        self[key] = tokens


@given(
    prompt=prompts,
    provider=st.sampled_from(["openai", "anthropic", "google", "x"]),
    known=st.none() | st.integers(0, 10**6),
)
def test_the_pieces_of_any_prompt_add_up_to_its_input_tokens(prompt, provider, known):
    """To the provider's number where there is one, to the local count where not; no piece is negative."""
    composition = COUNTER.compose(prompt, provider=provider, input_tokens=known)
    count = COUNTER.count_prompt(prompt, provider=provider)
    assert sum(piece.tokens for piece in composition.pieces) == composition.input_tokens
    assert composition.input_tokens == (count.tokens if known is None else known)
    assert composition.counted_tokens == count.tokens
    assert all(piece.tokens >= 0 and len(piece.digest) == 12 for piece in composition.pieces)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-3.5-turbo", "gpt-oss-120b"])
def test_special_tokens_in_a_text_are_counted_as_text(counter, model):
    """``<|endoftext|>`` is seven tokens or so, and no error."""
    assert counter.count_text("<|endoftext|>", provider="openai", model=model).tokens > 3


def test_equal_texts_have_equal_digests_and_other_texts_others(counter, chat):
    """The digest is of the text: it survives another size, place and model."""
    one = counter.compose(chat(("user", "same text")), provider="openai", input_tokens=10)
    prompt = chat(("system", "first"), ("user", "same text"), model="claude-opus-5", api="anthropic.messages")
    two = counter.compose(prompt, provider="anthropic", input_tokens=999)
    other = counter.compose(chat(("user", "other text")), provider="openai", input_tokens=10)

    def digests(composition):
        return {piece.digest for piece in composition.pieces if piece.part == "user"}

    assert digests(one) == digests(two) != digests(other)


def test_tools_come_first_then_messages_in_their_order(counter, chat, weather_tool):
    """That is the order in which providers' caches see a prompt."""
    prompt = chat(("system", "s"), ("user", "u"), ("assistant", "a"), tools=(weather_tool,))
    for api, model in (
        ("openai.chat", "gpt-4o"),
        ("openai.responses", "gpt-5"),
        ("anthropic.messages", "claude-opus-5"),
    ):
        again = Prompt(api, model, prompt.messages, prompt.tools)
        composition = counter.compose(again, provider="x", input_tokens=None)
        seen = [piece.part for piece in composition.pieces if piece.part != "framing"]
        assert seen == ["tools", "system", "user", "assistant"]


@pytest.mark.usefixtures("no_network")
def test_counting_reaches_for_no_network(chat, monkeypatch, tmp_path):
    """Not even for an encoding that is neither bundled nor cached: another one stands in, and the count says so."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = Counter()
    for model in ("gpt-4o", "gpt-4", "text-davinci-003", "davinci", "claude-opus-5", "gpt-oss-20b", "unheard-of"):
        assert counter.count_text("Hello there", provider="x", model=model).tokens in range(2, 5)
        assert counter.count_prompt(chat(("user", "hi"), model=model), provider="x").tokens > 1
    assert counter.count_text("Hello", provider="openai", model="text-davinci-003").estimated
    assert not counter.count_text("Hello", provider="openai", model="gpt-4").estimated


def test_a_second_run_of_an_unchanged_test_loads_no_vocabulary(chat, weather_tool, monkeypatch):
    """Counts by digest are all that it needs; a text that is new loads one."""
    prompt = chat(("system", "Be kind."), ("user", "hi"), tools=(weather_tool,), tool_choice="get_current_weather")
    first = Kept()
    counted = Counter(cache=first).compose(prompt, provider="openai", input_tokens=None)

    def refuse(name, *, configured=False):
        raise AssertionError(name)

    monkeypatch.setattr(counter_module, "load", refuse)
    second = Kept(first)
    assert Counter(cache=second).compose(prompt, provider="openai", input_tokens=None) == counted
    assert second == first
    assert all(isinstance(key, str) and isinstance(tokens, int) for key, tokens in first.items())
    with pytest.raises(AssertionError, match="o200k_base"):
        Counter(cache=second).count_text("new", provider="openai", model="gpt-4o")


def test_a_text_is_given_to_the_tokenizer_once(chat):
    """A run that repeats its history counts only what is new."""
    seen = []

    def spy(text):
        seen.append(text)
        return len(text)

    counter = Counter(tokenizers=[lambda provider, model: spy])
    history = [("system", "s" * 500), ("user", "u" * 400)]
    for turn in range(5):
        counter.compose(chat(*history, model="own"), provider="own", input_tokens=None)
        history.append(("assistant", f"answer {turn}"))
    assert len(seen) == len(set(seen))
    assert "s" * 500 in seen


def test_the_first_tokenizer_that_answers_counts_its_models_texts(chat):
    """A hook may leave a model to others; what it gives is used as it is, without a family's ratio."""
    counter = Counter(
        tokenizers=[lambda provider, model: None, lambda provider, model: len if model == "own" else None]
    )
    count = counter.count_text("seven..", provider="p", model="own")
    assert (count.tokens, count.encoding, count.estimated) == (7, "tokenizer of own", False)
    assert counter.count_text("seven..", provider="p", model="other").encoding.startswith("o200k_base")


def test_an_estimate_is_corrected_by_the_ratio_that_the_sample_has_seen(counter, chat):
    """An exact count is left alone, and the plain count stays what it was."""
    seen = Calibration()
    claude = chat(("user", "hello there, how are you?"), model="claude-opus-5", api="anthropic.messages")
    plain = counter.count_prompt(claude, provider="anthropic")
    assert counter.estimate_prompt(claude, provider="anthropic", seen=seen) == plain
    counter.observe(claude, provider="anthropic", reported=2 * plain.tokens, seen=seen)
    assert counter.estimate_prompt(claude, provider="anthropic", seen=seen).tokens == 2 * plain.tokens
    assert counter.estimate_prompt(claude, provider="anthropic", seen=Calibration()) == plain
    assert counter.count_prompt(claude, provider="anthropic") == plain
    exact = chat(("user", "hello"))
    counter.observe(exact, provider="openai", reported=2_000, seen=seen)
    assert counter.estimate_prompt(exact, provider="openai", seen=seen) == counter.count_prompt(
        exact, provider="openai"
    )


def test_importing_the_counter_imports_no_tokenizer():
    """A session that counts nothing pays for none."""
    code = (
        "import sys, pytest_tokenbudget.tokens.counter\n"
        "sys.exit(bool({'tiktoken', 'toktok', 'tokenizers', 'requests'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
