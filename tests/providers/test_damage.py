"""Whatever a server sends, reading does not raise."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_damage import mutated
from wire_samples import PLAIN, exchange
from wire_streams import STREAMS

from pytest_tokenbudget.providers.classify import ReadExchange, classify, read
from pytest_tokenbudget.providers.http_message import request_of
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.exchange import Unattributed

FORMATS = builtin_formats()
CHAT = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def unharmed(made) -> None:
    """Read an exchange and its prompt: a reading, traffic that is listed with an honest reason, or nothing."""
    found = read(made, FORMATS)
    if isinstance(found, ReadExchange):
        found.classified.prompt()
        json.dumps(found.reading.output_text)
        for tokens in (found.reading.usage.input_tokens, found.reading.usage.output_tokens):
            assert tokens is None or (type(tokens) is int and tokens >= 0)
    elif isinstance(found, Unattributed):
        assert "failed" not in found.reason, found


@pytest.mark.parametrize("seed", range(8))
def test_two_thousand_damaged_bodies_do_no_harm(seed: int):
    """A quick, seeded part of ``benchmarks/wire_fuzz.py``."""
    chance = random.Random(seed)
    samples = [*PLAIN.values(), *STREAMS.values()]
    for _ in range(250):
        unharmed(mutated(chance.choice(samples).exchange, chance))


@given(st.sampled_from(["chat", "responses", "messages", "google", "converse", "cohere", "invoke"]), st.data())
def test_any_json_in_any_place_does_no_harm(name: str, data):
    """A value of any type in any place of the answer and of the request is read as unknown."""
    made = PLAIN[name].exchange
    answer = json.loads(made.chunks[0])
    request = json.loads(made.request_body or b"{}")
    for document in (answer, request):
        place, key = document, data.draw(st.sampled_from(sorted(document)))
        while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
        place[key] = data.draw(ANY_JSON)
    unharmed(replace(made, chunks=(json.dumps(answer).encode(),), request_body=json.dumps(request).encode()))


@given(st.sampled_from(sorted(STREAMS)), st.binary(max_size=200))
def test_any_bytes_do_no_harm(name: str, body: bytes):
    """Noise instead of an answer."""
    unharmed(replace(STREAMS[name].exchange, chunks=(body,)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"[1, 2]",
        b'"text"',
        b"<html>502</html>",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"usage":' * 50_000,
        b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"choices":[],"usage":{"prompt_tokens":' + b"9" * 6_000 + b"}}",
        b'{"choices":[],"usage":{"prompt_tokens":NaN,"completion_tokens":-1}}',
        b'{"choices":[],"usage":{"prompt_tokens":1e400,"completion_tokens":"7"}}',
        b'{"choices":[],"usage":{"prompt_tokens":true,"completion_tokens":1.5}}',
        b'{"choices":{"0":1},"usage":[1]}',
        b"data: [DONE]\n\n",
        b"data: nonsense\n\n",
        b"data: 1,2\n\ndata: 3\n\n",
    ],
    ids=range(19),
)
@pytest.mark.parametrize("stream", [False, True])
def test_hostile_bodies_have_unknown_tokens_and_a_reason(body: bytes, stream: bool):
    """Nothing that is no number of tokens becomes one; what could not be read is said, except in an empty choice list."""
    found = read(exchange(CHAT, {**ASK, "stream": stream}, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.usage == Usage()
    assert found.reading.problems or b"choices" in body


def test_a_huge_integer_spoils_only_itself():
    """Python refuses integers of thousands of digits; the rest of the document is still read."""
    body = b'{"id":' + b"9" * 6_000 + b',"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    found = read(exchange(CHAT, ASK, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.usage == Usage(3, 4)


def test_one_broken_event_spoils_only_itself():
    """The events around it are read, and it is said that one was not."""
    good = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    body = good + b'data: {"choices": oh no}\n\n' + good
    found = read(exchange(CHAT, {**ASK, "stream": True}, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.output_text, found.reading.problems) == ("aa", ("1 events are not JSON",))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_another_unicode_is_read(encoding: str):
    """Clients look at the first bytes, and so do we."""
    body = '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'.encode(encoding)
    found = read(exchange(CHAT, ASK, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.usage == Usage(3, 4)


def test_blanks_around_an_events_data_change_nothing():
    """The standard takes away one blank behind the colon; JSON does not mind more."""
    body = b'data:   {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\ndata: [DONE] \n\n'
    found = read(exchange(CHAT, {**ASK, "stream": True}, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.usage, found.reading.problems) == (Usage(3, 4), ())


def test_an_error_inside_a_choice_is_the_calls():
    """OpenRouter answers 200 and puts the provider's failure into the choice."""
    choice = {"finish_reason": "error", "error": {"code": 502, "message": "bad gateway"}, "message": {"content": ""}}
    found = read(exchange(CHAT, ASK, json.dumps({"choices": [choice]}).encode()), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.error, found.reading.finish_reason) == ("502: bad gateway", "error")


def test_duplicated_keys_keep_the_last():
    """As every JSON parser of the clients does."""
    body = b'{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens":3,"completion_tokens":4}}'
    found = read(exchange(CHAT, ASK, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.usage == Usage(3, 4)


def test_a_reading_survives_lone_surrogates():
    """Text that cannot be encoded is kept as it is."""
    body = b'{"choices":[{"message":{"content":"\\ud83d"}}]}'
    found = read(exchange(CHAT, ASK, body), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.output_text == "\ud83d"


def test_a_failed_exchange_is_a_call_without_answer():
    """A timeout has no status and no body; the request tells what was asked."""
    found = read(exchange(CHAT, ASK, b"", status=None, end="failed", error="ReadTimeout"), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.model, found.reading.usage, found.reading.problems) == ("m", Usage(), ())


@pytest.mark.parametrize(
    "url", ["http://[::1/v1/chat/completions", "http://h:99999999/v1/chat/completions", "v1/chat/completions"]
)
def test_damaged_urls_are_read_by_their_path(url: str):
    """A URL that the standard library refuses is no reason to miss a call."""
    made = replace(exchange(CHAT, ASK, b'{"choices":[]}'), url=url)
    assert isinstance(read(made, FORMATS), ReadExchange)


class _Broken:
    api = "mine.broken"

    def recognises(self, request):
        return True

    def read(self, request, exchange):
        raise KeyError(request.path)

    def prompt(self, request):
        raise RuntimeError(request.path)


def test_a_format_that_raises_recognises_nothing():
    """Before there is an answer nobody can be told: the next format is asked."""

    class Raises(_Broken):
        def recognises(self, request):
            raise KeyError(request.path)

    request = request_of(exchange(CHAT, ASK, b""))
    assert classify(request, [Raises(), *FORMATS]).api == "openai.chat"
    assert classify(request, [Raises()]).kind == "unknown"


def test_a_format_that_raises_is_named():
    """A user's broken format does not break the test: its traffic is listed with the reason."""
    found = read(exchange(CHAT, ASK, b"{}"), [_Broken()])
    assert isinstance(found, Unattributed)
    assert found.reason == "mine.broken failed: KeyError"
