"""DSPy over its own engine (lm15): read to the token, sync, async and streamed, and replayed with the server gone."""

from __future__ import annotations

import json

import pytest
from ledger_server import LedgerServer, Reply

pytest.importorskip("dspy._vendor.lm15.transports", reason="dspy 3.4 or later is not installed")

AGENT = """
import asyncio, os
import dspy
import pytest
from pytest_tokenbudget import stage, token_budget

SERVER = os.environ["SERVER"] + "/v1"
budget = token_budget({"input_tokens": "0", "output_tokens": "0", "calls": "0"}, replay=True)


@pytest.fixture
def lm():
    return dspy.LM("openai/gpt-4o", api_base=SERVER, api_key="none", cache=False, num_retries=0)


@budget
def test_a_sync(lm):
    with stage("worker"), dspy.context(lm=lm):
        assert "ok" in lm("Book a room.")[0]


@budget
def test_b_async(lm):
    assert "ok" in asyncio.run(lm.acall("Book another room."))[0]


@budget
def test_c_streamed(lm):
    from dspy._vendor.lm15.transports import StdlibAsyncTransport, StdlibTransport, TransportRequest

    body = b'{"model": "gpt-4o", "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]}'
    request = TransportRequest("POST", SERVER + "/chat/completions", [("content-type", "application/json")], body)
    with StdlibTransport() as transport, transport.stream(request) as response:
        assert list(response.iter_lines())[-2] == b"data: [DONE]\\n"

    async def main():
        async with StdlibAsyncTransport() as transport, transport.stream(request) as response:
            return [line async for line in response.aiter_lines()]
    assert asyncio.run(main())[-2] == b"data: [DONE]\\n"
"""


def test_each_is_read_and_replayed(
    pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report equals the books, and the same calls are played without a server."""
    monkeypatch.setenv("SERVER", llm_server.url)
    llm_server.play(lambda asked: Reply("ok"))
    pytester.makepyfile(test_agent=AGENT)
    options = ("--tokenbudget-report=report.json", "-p", "no:cacheprovider")

    def run() -> list[tuple[int, int]]:
        # In a process of its own: DSPy keeps threads and loops for as long as it lives.
        pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)
        tests = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
        calls = [call for test in sorted(tests, key=lambda test: test["nodeid"]) for call in test["calls"]]
        assert calls[0]["stage"] == "worker"
        return [(call["input_tokens"], call["output_tokens"]) for call in calls]

    live = run()
    assert live == [(entry.input_tokens, entry.output_tokens) for entry in llm_server.ledger]
    assert len(live) == 4
    llm_server.__exit__(None, None, None)
    assert run() == live
