"""Clients that are not httpx are answered locally too, with responses and errors of their own."""

from __future__ import annotations

import asyncio
import json

import pytest

from pytest_tokenbudget.capture.local_answer import LocalAnswer
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.script import ScriptedModel, cut, error, text, timeout, unreachable

URL = "https://api.example.com/v1/chat/completions"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}
REPLIES = (
    text("One.", duration=2.0),
    text("A longer answer that is streamed.", ttft=0.5, duration=3.0),
    error(429, retry_after=3, duration=0.25),
    timeout(after=9.0),
    unreachable(),
    cut(text("Lost, all of it, on the way."), after_chunks=2),
)
ENDS = ["complete", "complete", "complete", "failed", "failed", "cut"]
SECONDS = [2.0, 3.0, 0.25, 9.0, 0.0, 0.0]


def _said(answer):
    return answer["choices"][0]["message"]["content"]


def _checked(recorder):
    exchanges = recorder.exchanges()
    assert [one.end for one in exchanges] == ENDS
    assert [one.ended - one.started for one in exchanges] == SECONDS
    assert exchanges[1].chunk_times[0] - exchanges[1].started == 0.5
    assert len(set(exchanges[1].chunk_times)) > 2
    assert {one.answered_by for one in exchanges} == {"script"}
    return exchanges


def test_requests(played):
    """requests: bodies, pieces of a stream, hooks, statuses and its own errors."""
    requests = pytest.importorskip("requests", reason="requests is not installed")
    hooked = []
    with VirtualClock() as clock:
        recorder = played(ScriptedModel(REPLIES, clock=clock), clock)
        answer = requests.post(URL, json=CHAT, hooks={"response": lambda response, **_: hooked.append(response)})
        assert _said(answer.json()) == "One."
        assert hooked == [answer]
        with requests.post(URL, json=STREAM, stream=True) as answer:
            assert list(answer.iter_lines(decode_unicode=True))[-2] == "data: [DONE]"
        answer = requests.post(URL, json=CHAT)
        assert (answer.status_code, answer.reason, answer.headers["Retry-After"]) == (429, "Too Many Requests", "3")
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(URL, json=CHAT)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.post(URL, json=CHAT)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.post(URL, json=STREAM, stream=True).content  # noqa: B018
        _checked(recorder)


def test_aiohttp(played):
    """aiohttp: the same, and ``raise_for_status``."""
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def run():
        async with aiohttp.ClientSession() as session:
            async with session.post(URL, json=CHAT) as answer:
                assert _said(await answer.json()) == "One."
            async with session.post(URL, json=STREAM) as answer:
                assert [line async for line in answer.content][-2] == b"data: [DONE]\n"
            with pytest.raises(aiohttp.ClientResponseError, match="429"):
                await session.post(URL, json=CHAT, raise_for_status=True)
            with pytest.raises(TimeoutError):
                await session.post(URL, json=CHAT)
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.post(URL, json=CHAT)
            async with session.post(URL, json=STREAM) as answer:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
        with pytest.raises(RuntimeError, match="closed"):
            await session.post(URL, json=CHAT)

    with VirtualClock() as clock:
        recorder = played(ScriptedModel(REPLIES, clock=clock), clock)
        asyncio.run(run())
        exchanges = recorder.exchanges()
        assert [one.end for one in exchanges[:2]] == ENDS[:2]
        assert [one.ended - one.started for one in exchanges] == [*SECONDS, 0.0][: len(exchanges)]
        assert exchanges[1].chunk_times[0] - exchanges[1].started == 0.5


class _Given:
    """Gives one answer to whatever is asked."""

    def __init__(self, answer):
        self._answer = answer

    def answer(self, outgoing):
        return self._answer


CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
    "metrics": {"latencyMs": 1},
}


def test_botocore(played, monkeypatch):
    """boto3's Bedrock client reads a local answer, and gets botocore's own errors."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    from botocore.config import Config
    from botocore.exceptions import ReadTimeoutError

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("bedrock-runtime", region_name="us-east-1", config=config)
    asked = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    played(_Given(LocalAnswer(200, (("content-type", "application/json"),), (json.dumps(CONVERSE).encode(),))))
    assert client.converse(**asked)["usage"]["inputTokens"] == 3
    played.stop()
    played(_Given(LocalAnswer(0, (), (), fault="read_timeout")))
    with pytest.raises(ReadTimeoutError):
        client.converse(**asked)
    client.close()
