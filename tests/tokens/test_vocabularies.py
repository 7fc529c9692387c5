"""Which encoding a model has, and vocabularies by configuration."""

import json

import pytest

from pytest_tokenbudget.errors import TokenizerError
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.counts import bare_model
from pytest_tokenbudget.tokens.vocabularies import encoding_of, fingerprint, load


@pytest.mark.parametrize(
    ("model", "encoding", "exact"),
    [
        ("gpt-4o-2024-08-06", "o200k_base", True),
        ("gpt-5.6-sol", "o200k_base", True),
        ("o3", "o200k_base", True),
        ("ft:gpt-4o-mini:acme::1", "o200k_base", True),
        ("gpt-4", "cl100k_base", True),
        ("gpt-4-0613", "cl100k_base", True),
        ("gpt-3.5-turbo-0125", "cl100k_base", True),
        ("gpt-35-turbo", "cl100k_base", True),
        ("text-embedding-3-small", "cl100k_base", True),
        ("openai/gpt-4.1-mini", "o200k_base", True),
        ("openai.gpt-oss-20b-1:0", "o200k_harmony", True),
        ("text-davinci-003", "p50k_base", True),
        ("claude-sonnet-4-5", "o200k_base", False),
        ("", "o200k_base", False),
    ],
)
def test_a_models_name_decides_its_encoding(model, encoding, exact):
    """With or without vendor and date; what is not OpenAI's has a stand-in."""
    choice = encoding_of(model)
    assert (choice.name, choice.exact) == (encoding, exact)


def test_openais_own_registry_agrees():
    """Every model that tiktoken knows but the oldest has the same encoding here."""
    registry = pytest.importorskip("tiktoken.model", reason="tiktoken is not installed")
    for model, encoding in registry.MODEL_TO_ENCODING.items():
        if encoding in ("o200k_base", "cl100k_base", "o200k_harmony", "p50k_base", "p50k_edit"):
            assert encoding_of(model).name == encoding.replace("_edit", "_base"), model
    for prefix, encoding in registry.MODEL_PREFIX_TO_ENCODING.items():
        assert encoding_of(f"{prefix}-x" if prefix == "ft:gpt-4" else f"{prefix}x").name == encoding, prefix


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929-v1:0"),
        ("openai/gpt-4o", "gpt-4o"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("GPT-4o", "gpt-4o"),
    ],
)
def test_gateways_regions_and_vendors_are_no_part_of_a_models_name(model, bare):
    """Only the name's end says which model it is."""
    assert bare_model(model) == bare


@pytest.fixture
def tokenizer_json(tmp_path):
    """A word-level ``tokenizer.json`` with a special token."""
    tokenizers = pytest.importorskip("tokenizers", reason="the extra 'tokenizers' is not installed")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "hello": 1, "there": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(["<|end|>"])
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def test_a_configured_tokenizer_file_counts_its_models(tokenizer_json):
    """By the file's path or its folder, for the models that the pattern names, whatever their case."""
    for source in (tokenizer_json, tokenizer_json.parent):
        counter = Counter(encodings=[("deepseek-*", str(source))])
        count = counter.count_text("hello there hello", provider="deepseek", model="DeepSeek-chat")
        assert (count.tokens, count.encoding, count.estimated) == (3, str(source), False)
        assert counter.count_text("hello", provider="openai", model="gpt-4o").encoding == "o200k_base"


def test_special_tokens_are_text_for_a_configured_tokenizer_too(tokenizer_json):
    """A server's answer that holds them must not count as less."""
    assert load(str(tokenizer_json), configured=True)(["<|end|>"]) == [3]


def test_a_tokenizer_file_that_changes_invalidates_its_counts(tokenizer_json):
    """Counts are kept under the file's size and time."""
    before = fingerprint(str(tokenizer_json))
    tokenizer_json.write_text(tokenizer_json.read_text() + " ")
    assert fingerprint(str(tokenizer_json)) != before


def test_a_configured_vocabulary_that_is_not_there_is_named(tmp_path):
    """The error names what was configured and says what to write."""
    counter = Counter(encodings=[("deepseek-*", "nowhere/tokenizer.json")])
    with pytest.raises(TokenizerError, match=r"nowhere/tokenizer\.json") as caught:
        counter.count_text("hello", provider="deepseek", model="deepseek-chat")
    assert "rootdir" in caught.value.remedy


def test_a_damaged_tokenizer_file_is_named(tmp_path):
    """Not the library's own error."""
    pytest.importorskip("tokenizers", reason="the extra 'tokenizers' is not installed")
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": 1}))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        load(str(path), configured=True)(["x"])


@pytest.mark.usefixtures("no_network")
def test_an_encoding_that_would_be_downloaded_is_refused_unless_asked_for(monkeypatch, tmp_path):
    """Configuring ``p50k_base`` is no leave to download; the remedy says how to give it."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(TokenizerError) as caught:
        load("p50k_base", configured=True)
    assert "tiktoken:p50k_base" in caught.value.remedy


def test_a_damaged_file_in_tiktokens_cache_is_not_used(monkeypatch, tmp_path):
    """tiktoken would delete it and download another."""
    import hashlib

    url = b"https://openaipublic.blob.core.windows.net/encodings/p50k_base.tiktoken"
    (tmp_path / hashlib.sha1(url, usedforsecurity=False).hexdigest()).write_bytes(b"damaged")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    count = Counter().count_text("hello", provider="openai", model="text-davinci-003")
    assert count.estimated
    assert count.encoding.startswith("o200k_base")
