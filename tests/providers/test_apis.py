"""Each API, streamed and not, is read as its provider means it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from wire_samples import PLAIN, Sample
from wire_streams import STREAMS

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Usage

ALL = {
    **{f"{name} whole": sample for name, sample in PLAIN.items()},
    **{f"{name} stream": s for name, s in STREAMS.items()},
}


def reading_of(sample: Sample) -> ReadExchange:
    found = read(sample.exchange, builtin_formats())
    assert isinstance(found, ReadExchange)
    return found


@pytest.mark.parametrize("sample", ALL.values(), ids=ALL.keys())
def test_reads_tokens_model_tools_and_reason(sample: Sample):
    """Usage is in the normal form, tools stand in order, the finish reason has OpenTelemetry's word."""
    reading = reading_of(sample).reading
    assert reading.api == sample.api
    assert reading.usage == Usage(*sample.tokens)
    assert (reading.model, reading.finish_reason, reading.tool_calls) == (sample.model, sample.finish, sample.tools)
    assert (reading.error, reading.problems) == (None, ())


@pytest.mark.parametrize("sample", STREAMS.values(), ids=STREAMS.keys())
def test_says_where_content_begins(sample: Sample):
    """The offset lies behind the event that first carries text, reasoning or a tool call, and not behind the next."""
    reading = reading_of(sample).reading
    body = sample.exchange.chunks[0]
    at = reading.first_content_at
    assert reading.stream
    assert at is not None
    assert at > body.index(sample.content_after or b"")
    if sample.content_after:
        assert body[:at].count(sample.content_after) == 1


@pytest.mark.parametrize("sample", PLAIN.values(), ids=PLAIN.keys())
def test_an_answer_in_one_document_has_no_first_token(sample: Sample):
    """Without a stream there is no time to the first token."""
    found = reading_of(sample)
    assert (found.ttft, found.reading.first_content_at, found.reading.stream) == (None, None, False)


@pytest.mark.parametrize("sample", ALL.values(), ids=ALL.keys())
def test_knows_what_was_asked(sample: Sample):
    """Each format gives the prompt of its request, with the text that the user wrote."""
    prompt = reading_of(sample).classified.prompt()
    assert prompt is not None
    assert prompt.api == sample.api
    texts = [part.text for message in prompt.messages for part in message.parts if hasattr(part, "text")]
    assert any("Weather" in text for text in texts)


def test_server_side_tools_are_counted_apart():
    """Tools that the provider ran itself are named, and are no tool calls of the client."""
    assert reading_of(PLAIN["responses"]).reading.server_tool_calls == ("web_search",)
    assert reading_of(PLAIN["messages"]).reading.server_tool_calls == ("web_search",)


def test_text_is_kept_where_the_provider_counts_nothing():
    """Without usage, all that the model wrote is there to be counted: reasoning, tool names and arguments too."""
    sample = STREAMS["chat"]
    body = sample.exchange.chunks[0].replace(json.dumps("usage").encode(), b'"spent"')
    found = read(replace(sample.exchange, chunks=(body,)), builtin_formats())
    assert isinstance(found, ReadExchange)
    assert found.reading.usage == Usage()
    assert found.reading.output_text == 'weather{"city":"Oslo"}forecast{}'
