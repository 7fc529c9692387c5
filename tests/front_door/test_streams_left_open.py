"""Streams whose consumer goes away after the last event, while the server keeps the connection open: each is one whole call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from reported import run_reported

WORD = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Booked."}}]}
STOP = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"id": "c", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 7}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Stream)
        self.over = threading.Event()


class _Stream(BaseHTTPRequestHandler):
    """Sends all events of an answer, and not the end of its body."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in (WORD, STOP, USAGE, "[DONE]"):
            data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.server.over.wait(60)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def open_streams() -> Iterator[str]:
    """The server's URL."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.over.set()
        server.shutdown()
        thread.join()


HTTPX = """
import {module} as httpx

async def lines():
    client = httpx.AsyncClient()
    response = await client.send(client.build_request("POST", URL, json=ASK), stream=True)
    async for line in response.aiter_lines():
        yield line
"""
CLIENTS = {
    "httpx": HTTPX.replace("{module}", "httpx"),
    "httpx2": HTTPX.replace("{module}", "httpx2"),
    "aiohttp": """
import aiohttp

async def lines():
    session = aiohttp.ClientSession()
    response = await session.post(URL, json=ASK)
    async for line in response.content:
        yield line.decode().strip()
""",
}
ENDINGS = {
    # The loop is closed without its generators being ended, which is what many a `main` does.
    "closed": """
async def main():
    async for line in lines():
        if line == "data: [DONE]":
            break

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
""",
    # It waits for what never comes, and is cancelled in that.
    "cancelled": """
async def main():
    done = asyncio.Event()
    async def read():
        async for line in lines():
            if line == "data: [DONE]":
                done.set()
    reading = asyncio.create_task(read())
    await done.wait()
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])

asyncio.run(main())
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_was_whole_is_a_call(
    pytester: pytest.Pytester, open_streams: str, client: str, ending: str
) -> None:
    """Its usage was read, so it is no failed attempt, and it ended with its last event."""
    pytest.importorskip(client)
    body = f"import asyncio\n{CLIENTS[client]}\n{ENDINGS[ending]}".replace("\n", "\n    ")
    pytester.makepyfile(
        test_agent="from pytest_tokenbudget import token_budget\n"
        f'URL = "{open_streams}/v1/chat/completions"\n'
        'ASK = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Book a room."}]}\n\n'
        f'@token_budget("10%")\ndef test_agent():\n    {body}\n'
    )
    left = ("ResourceWarning", "RuntimeWarning", "pytest.PytestUnraisableExceptionWarning")
    result, tests = run_reported(pytester, *(f"-Wignore::{kind}" for kind in left))
    result.assert_outcomes(passed=1)
    (test,) = tests.values()
    assert [(call["error"], call["input_tokens"], call["output_tokens"]) for call in test["calls"]] == [(None, 40, 7)]
