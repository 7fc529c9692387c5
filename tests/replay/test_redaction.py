"""What a project redacts is in no cassette, however it was written; and what is still secret is refused."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import stat
import time

import pytest
from secret_shapes import SECRETS

from pytest_tokenbudget.errors import CassetteError, SettingsError
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.recording import record, save
from pytest_tokenbudget.replay.redaction import Redactor, bare_url, compile_patterns, documents, kept_headers
from pytest_tokenbudget.tokens.counter import Counter

URL = "https://api.example.com/v1/chat/completions"
USAGE = {"prompt_tokens": 12345678, "completion_tokens": 7, "total_tokens": 12345685}
KEY = SECRETS["OpenAI, of a project"]


def interaction(*, body=None, chunks=(b'{"choices": []}',), **more):
    times = tuple(0.1 * (number + 1) for number in range(len(chunks)))
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]} if body is None else body
    return Interaction(api="openai.chat", url=URL, model="gpt-4o", body=asked, chunks=chunks, times=times, **more)


def stream(*events):
    return (*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events), b"data: [DONE]\n\n")


def said(*pieces, field="content", **more):
    return [{"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {field: piece}, **more}]} for piece in pieces]


def written(tmp_path, one, *patterns, **options):
    path = tmp_path / "run.jsonl"
    save(path, [one], compile_patterns(patterns), **options)
    return path.read_text(), read_cassette(path)[0]


@pytest.mark.parametrize(
    "pieces",
    [("sk-", KEY[3:]), (KEY[:12], KEY[12:]), tuple(KEY), ("the key: ", *re.findall("..", KEY), ".")],
    ids=["after the prefix", "within", "letter by letter", "two by two"],
)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_a_key_that_is_split_over_a_stream_is_refused(tmp_path, pieces, field):
    """Also where the provider reports usage, so that nobody else gathers the text."""
    chunks = stream(*said(*pieces, field=field), {"choices": [], "usage": USAGE})
    with pytest.raises(CassetteError, match="the answer of call 1 holds what looks like a key") as caught:
        written(tmp_path, interaction(chunks=chunks))
    assert KEY[9:] not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_key_in_pieces_of_tool_arguments_is_refused(tmp_path):
    """Arguments of two calls that are written at once are told apart by their index."""
    pieces = ['{"api', '_key": "', KEY[:20], KEY[20:], '"}']
    events = []
    for piece in pieces:
        for index, text in ((0, piece), (1, "x")):
            call = {"index": index, "function": {"arguments": text}}
            events.append({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    with pytest.raises(CassetteError, match="looks like a key"):
        written(tmp_path, interaction(chunks=stream(*events)))


@pytest.mark.parametrize(
    "where",
    [
        {"stage": f"worker {KEY}"},
        {"model": KEY},
        {"tool_calls": (KEY,)},
        {"headers": (("content-type", f"a; key={KEY}"),)},
        {"url": f"{URL}/{KEY}"},
        {"body": {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": f"a\t{KEY}"}]}]}},
        {"body": {"model": "m", "tools": [{"name": "a", "parameters": {KEY: {"type": "string"}}}]}},
        {"body": {"model": "m", "messages": [], "metadata": {"api_key": SECRETS["Azure OpenAI"][9:]}}},
        {"chunks": (b'{"choices": [], "x": "\\u00a0' + KEY.encode() + b'"}',)},
        {"chunks": (b": a comment " + KEY.encode() + b"\n\n", b'data: {"choices": []}\n\n')},
        {"chunks": (b"\xff\xfe" + KEY.encode(),)},
    ],
    ids=lambda where: next(iter(where)),
)
def test_a_key_is_refused_wherever_it_stands(tmp_path, where):
    """In the names, the URL, the request, its keys, the answer and between its events; and a finding can be allowed."""
    one = interaction(**{key: value for key, value in where.items() if key in ("body", "chunks")})
    one = Interaction(**{**{name: getattr(one, name) for name in one.__slots__}, **where})
    with pytest.raises(CassetteError, match="looks like a key") as caught:
        written(tmp_path, one)
    allowed = re.search(r"tokenbudget_allow_secret = (\S+)", str(caught.value))[1]
    written(tmp_path, one, allowed=frozenset({allowed}))


REQUEST = {
    "model": "gpt-4o",
    "user": 4711471147,
    "messages": [
        {"role": "user", "content": 'Jürgen "Joe" Müller\nC:\\home, ' + "and more. " * 10},
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f", "arguments": '{"who": "J\\u00fcrgen", "n": 4711471147}'}}],
        },
        {"role": "user", "content": "Jürgen"},
    ],
    "tools": [{"name": "write_Jürgen", "parameters": {"Jürgen": {"type": "string"}, "x": {"enum": ["Jürgen"]}}}],
}
PATTERNS = ("J(ü|\\\\u00fc)rgen", r"4711\d+", 'Joe" Müller\\nC:\\\\home')


def test_patterns_are_redacted_in_decoded_values(tmp_path):
    """What JSON escapes, keys, numbers, several lines, JSON in tool arguments, and the names of the call."""
    answer = {
        "model": "model-Jürgen",
        "choices": [{"message": {"content": "J\u00fcrgen", "tool_calls": [{"function": {"name": "write_Jürgen"}}]}}],
        "account": 47110000,
        "usage": {"prompt_tokens": 47110000},
    }
    one = interaction(body=REQUEST, chunks=(json.dumps(answer).encode(),), stage="Jürgen", tool_calls=("write_Jürgen",))
    text, back = written(tmp_path, one, *PATTERNS)
    for secret in ("rgen", "Joe", "4711471147", "home"):
        assert secret not in text
    assert back.body["user"] == 0
    assert json.loads(back.body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {
        "who": "[redacted]",
        "n": 0,
    }
    assert back.body["messages"][2] == {"role": "user", "content": "[redacted]"}
    assert (back.stage, back.tool_calls, back.redacted) == ("[redacted]", ("write_[redacted]",), True)
    said_now = json.loads(b"".join(back.chunks))
    assert said_now["account"] == 0
    assert said_now["usage"] == {"prompt_tokens": 47110000}
    assert Redactor(compile_patterns(PATTERNS)).value(REQUEST) == back.body


@pytest.mark.parametrize("cuts", [1, 7, 40, 10_000])
def test_patterns_are_redacted_across_the_pieces_of_a_stream(tmp_path, cuts):
    """A match that several events share is replaced in the first, however the network cut the events."""
    events = [*said("My number is ac", "ct-1", "23", "4, really"), *said('{"a": "acct', "-9", '9"}', field="arguments")]
    body = b"".join(stream(*events, {"choices": [], "usage": USAGE}))
    chunks = tuple(body[at : at + cuts] for at in range(0, len(body), cuts))
    text, back = written(tmp_path, interaction(chunks=chunks), r"acct-\d+")
    assert "acct" not in text
    values = [value for _, _, value in documents(b"".join(back.chunks).decode())]
    deltas = [value["choices"][0]["delta"] for value in values if value["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "My number is [redacted], really"
    assert json.loads("".join(delta.get("arguments", "") for delta in deltas)) == {"a": "[redacted]"}
    assert values[-1]["usage"] == USAGE
    assert list(back.times) == sorted(back.times)
    assert back.times[-1] == pytest.approx(0.1 * len(chunks))


def test_what_cannot_be_redacted_is_refused(tmp_path):
    """A pattern that matches JSON's own syntax, or in a body that is no text."""
    with pytest.raises(CassetteError, match="still holds what"):
        written(tmp_path, interaction(chunks=(b'{"ssn": 5}',)), r'"ssn": 5')
    inner = base64.b64encode(json.dumps({"text": "acct-12"}).encode()).decode()
    payload = json.dumps({"bytes": inner}).encode()
    frame = (len(payload) + 16).to_bytes(4, "big") + bytes(8) + payload + bytes(4)
    frame += (18).to_bytes(4, "big") + bytes(8) + b"\xff\xfe" + bytes(4)
    headers = (("content-type", "application/vnd.amazon.eventstream"),)
    with pytest.raises(CassetteError, match="still holds what"):
        written(tmp_path, interaction(chunks=(frame,), headers=headers), r"acct-\d+")
    with pytest.raises(SettingsError, match="no regular expression"):
        compile_patterns(["("])


def test_only_what_clients_act_on_is_kept_of_headers_and_urls():
    """No user, no key, no signature, no organization."""
    assert bare_url("https://u:p@h.example/v1/x?key=AIza&api-version=1&X-Amz-Signature=1#f") == (
        "https://h.example/v1/x?api-version=1"
    )
    headers = (("Set-Cookie", "a"), ("openai-organization", "org-1"), ("Content-Type", "text/plain"))
    assert kept_headers(headers) == (("content-type", "text/plain"),)


def test_only_the_owner_may_read_a_cassette(tmp_path):
    """Mode 0600; a link is replaced, not what it points to; a name may be as long as the file system takes."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path = tmp_path / f"{'x' * 240}.jsonl"
    path.symlink_to(elsewhere)
    save(path, [interaction()])
    assert elsewhere.read_text() == "mine"
    assert not path.is_symlink()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def _exchange(body, **more):
    headers = (("content-type", "application/json"), ("content-encoding", "gzip"))
    request = json.dumps({"model": "gpt-4o", "messages": []}).encode()
    return Exchange(
        "x",
        "POST",
        URL,
        request_body=request,
        status=200,
        response_headers=headers,
        chunks=(body,),
        encoded=True,
        **more,
    )


def test_a_cassette_has_a_limit(tmp_path):
    """What passes it is not written and not read; a compressed answer is not unpacked any further."""
    large = interaction(body={"model": "m", "messages": [{"role": "user", "content": "word " * 10_000}]})
    with pytest.raises(CassetteError, match="would have 50,504 bytes"):
        save(tmp_path / "run.jsonl", [large], limit=10_000)
    save(tmp_path / "run.jsonl", [large])
    with pytest.raises(CassetteError, match="tokenbudget_cassette_limit = 20000"):
        read_cassette(tmp_path / "run.jsonl", limit=10_000)
    bomb = gzip.compress(bytes(100_000_000))
    began = time.process_time()
    with pytest.raises(CassetteError, match="the answer of call 1 has more than 1 MB"):
        record([_exchange(bomb * 20, chunk_times=(1.0,))], builtin_formats(), Counter(), limit=1_000_000)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("growing", [True, False], ids=["growing history", "window of ten"])
def test_recording_takes_time_in_proportion_to_what_was_sent(tmp_path, growing):
    """Each message is looked at once: twice the bytes take about twice the time, also where the history grows."""

    def recording(calls):
        said_before = [
            {"role": "user", "content": f"{number}: " + "a few words of it. " * 5} for number in range(calls)
        ]
        bodies = [
            {"model": "m", "messages": said_before[0 if growing else max(0, at - 10) : at + 1]} for at in range(calls)
        ]
        size = sum(len(json.dumps(body)) for body in bodies)
        ones = [interaction(body=json.loads(json.dumps(body))) for body in bodies]
        began = time.process_time()
        save(tmp_path / "run.jsonl", ones, compile_patterns([r"acct-\d+"]))
        return (time.process_time() - began) / (size if not growing else calls)

    recording(20)
    short = min(recording(100) for _ in range(3))
    assert recording(400) < 3 * short
