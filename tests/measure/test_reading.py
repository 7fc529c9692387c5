"""Exchanges of a sample become calls; what a provider said of some of them corrects the counts of the others."""

import json

import pytest

from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.tokens.counter import Counter


@pytest.fixture(scope="module")
def reader():
    return Reader(builtin_formats(), Counter(), PriceBook(), lambda exchange, call, prompt: exchange.stage)


def asked(text, reported, status=200):
    """A call of Claude's; ``reported``: the provider's number, ``None`` where it sends no usage."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    answer = {
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": "ok"}],
    }
    if reported is not None:
        answer["usage"] = {"input_tokens": reported, "output_tokens": 1}
    return Exchange(
        client="test",
        method="POST",
        url="https://api.anthropic.com/v1/messages",
        request_body=json.dumps(body).encode(),
        status=status,
        response_headers=(("content-type", "application/json"),),
        chunks=(json.dumps(answer).encode(),),
        chunk_times=(0.0,),
    )


def tokens(reader, *exchanges):
    calls = reader.read_all(exchanges, origin=0.0).calls
    return [call.usage.input_tokens for call in calls]


def test_a_count_is_corrected_by_what_the_provider_said_of_the_samples_other_calls(reader):
    """Whether those came before or after it."""
    (plain,) = tokens(reader, asked("a question of some length, or so", None))
    twice = asked("a question of some length, or so", 2 * plain)
    silent = asked("a question of some length, or so", None)
    assert tokens(reader, twice, silent) == tokens(reader, silent, twice) == [2 * plain, 2 * plain]


def test_another_sample_corrects_nothing(reader):
    """What a test is found to read does not depend on the tests that ran before it."""
    before = tokens(reader, asked("the same question", None))
    tokens(reader, asked("the same question", 5_000), asked("another", 5_000))
    assert tokens(reader, asked("the same question", None)) == before


def test_a_failed_attempt_corrects_nothing_and_is_not_counted(reader):
    """It has no input tokens, and nothing that it says counts as the provider's."""
    (plain,) = tokens(reader, asked("the same question", None))
    assert tokens(reader, asked("the same question", 9_999, status=500), asked("the same question", None)) == [
        None,
        plain,
    ]
