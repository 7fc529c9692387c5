"""Models over WebSockets: each response is a call, read like that of the HTTP API; nothing of it is replayed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from reported import run_reported

websockets = pytest.importorskip("websockets.sync.server", reason="websockets is not installed")

USAGE = {
    "input_tokens": 40,
    "output_tokens": 7,
    "total_tokens": 47,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 2},
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "calendar_read",
    "arguments": "{}",
    "status": "completed",
}


def serve(connection: Any) -> None:
    """Speak OpenAI's Responses and Realtime, and Gemini Live, as far as a test needs them."""
    path = connection.request.path
    for text in connection:
        message = json.loads(text)
        if "Bidi" in path:
            if "setup" in message:
                connection.send(json.dumps({"setupComplete": {}}))
            else:
                connection.send(json.dumps({"serverContent": {"modelTurn": {"parts": [{"text": "Booked."}]}}}))
                usage = {"promptTokenCount": 30, "responseTokenCount": 5, "totalTokenCount": 35}
                connection.send(json.dumps({"serverContent": {"turnComplete": True}, "usageMetadata": usage}))
        elif message.get("type") == "response.create":
            realtime = "realtime" in path
            response = {
                "id": "resp_1",
                "object": "response",
                "created_at": 1,
                "model": "gpt-4o",
                "status": "completed",
                "output": [CALL],
                "usage": USAGE,
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
            }
            connection.send(
                json.dumps(
                    {
                        "type": "response.created",
                        "response": {**response, "status": "in_progress", "usage": None, "output": []},
                        "sequence_number": 0,
                    }
                )
            )
            delta = {
                "item_id": "m",
                "output_index": 0,
                "content_index": 0,
                "delta": "Bo",
                "logprobs": [],
                "sequence_number": 1,
            }
            connection.send(json.dumps({"type": "response.output_text.delta", **delta}))
            last = "response.done" if realtime else "response.completed"
            connection.send(json.dumps({"type": last, "response": response, "sequence_number": 2}))


@pytest.fixture
def socket_server() -> Iterator[str]:
    """The server's address."""
    with websockets.serve(serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


BODY = """
import asyncio, json, os
import pytest
from pytest_tokenbudget import stage, token_budget
SERVER = os.environ["SERVER"]
CREATE = json.dumps({"type": "response.create", "model": "gpt-4o", "input": [{"role": "user", "content": "Book a room."}]})

@token_budget("10%")
def test_responses():
    from websockets.sync.client import connect
    with stage("worker"), connect(f"ws://{SERVER}/v1/responses") as ws:
        for _ in range(2):
            ws.send(CREATE)
            while json.loads(ws.recv())["type"] != "response.completed":
                pass

@token_budget("10%")
def test_sdk():
    import openai
    async def main():
        client = openai.AsyncOpenAI(api_key="none", base_url=f"http://{SERVER}/v1", websocket_base_url=f"ws://{SERVER}/v1")
        async with client.responses.connect() as connection:
            await connection.response.create(model="gpt-4o", input="Book a room.")
            async for event in connection:
                if event.type == "response.completed":
                    break
    asyncio.run(main())

@token_budget("10%")
def test_realtime():
    import aiohttp
    async def main():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{SERVER}/v1/realtime?model=gpt-realtime") as ws:
            await ws.send_json({"type": "session.update", "session": {"instructions": "Be brief."}})
            await ws.send_json({"type": "response.create"})
            async for message in ws:
                if json.loads(message.data)["type"] == "response.done":
                    break
    asyncio.run(main())

@token_budget("10%")
def test_live():
    from websockets.asyncio.client import connect
    async def main():
        async with connect(f"ws://{SERVER}/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent") as ws:
            await ws.send(json.dumps({"setup": {"model": "models/gemini-2.0-flash-live"}}))
            await ws.recv()
            await ws.send(json.dumps({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Book."}]}], "turnComplete": True}}))
            async for message in ws:
                if "turnComplete" in message:
                    break
    asyncio.run(main())
"""

WEBSOCKET_CLIENT = """
@token_budget("10%")
def test_responses():
    import websocket
    ws = websocket.create_connection(f"ws://{SERVER}/v1/responses")
    with stage("worker"):
        ws.send(CREATE)
        while json.loads(ws.recv())["type"] != "response.completed":
            pass
    ws.close()

@token_budget("10%")
def test_realtime():
    import websocket
    def opened(app):
        app.send(json.dumps({"type": "response.create"}))
    def received(app, text):
        if json.loads(text)["type"] == "response.done":
            app.close()
    url = f"ws://{SERVER}/v1/realtime?model=gpt-realtime"
    websocket.WebSocketApp(url, on_open=opened, on_message=received).run_forever()
"""


def test_the_library_websocket_client(
    pytester: pytest.Pytester, socket_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections and its apps, which many examples of Realtime use."""
    pytest.importorskip("websocket._core", reason="websocket-client is not installed")
    monkeypatch.setenv("SERVER", socket_server)
    pytester.makepyfile(test_agent=BODY.partition("@token_budget")[0] + WEBSOCKET_CLIENT)
    result, tests = run_reported(pytester)
    result.assert_outcomes(passed=2)
    calls = [
        (call["stage"], call["input_tokens"], call["output_tokens"], call["tool_calls"])
        for test in tests.values()
        for call in test["calls"]
    ]
    assert sorted(calls) == [("main", 40, 7, ["calendar_read"]), ("worker", 40, 7, ["calendar_read"])]


def test_each_response_is_a_call(
    pytester: pytest.Pytester, socket_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage, tool calls, time to the first token and stage, by websockets, the SDK and aiohttp."""
    monkeypatch.setenv("SERVER", socket_server)
    pytester.makepyfile(test_agent=BODY)
    result, tests = run_reported(pytester)
    result.assert_outcomes(passed=4)
    calls = {
        name: [
            (call["stage"], call["input_tokens"], call["output_tokens"], call["tool_calls"]) for call in test["calls"]
        ]
        for name, test in tests.items()
    }
    assert calls == {
        "test_responses": [("worker", 40, 7, ["calendar_read"])] * 2,
        "test_sdk": [("main", 40, 7, ["calendar_read"])],
        "test_realtime": [("main", 40, 7, ["calendar_read"])],
        "test_live": [("main", 30, 5, [])],
    }
    assert all(call["ttft"] is not None for test in tests.values() for call in test["calls"])


def test_a_scripted_run_refuses_it(
    pytester: pytest.Pytester, socket_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the agent swallows the error, since no model call may leave."""
    monkeypatch.setenv("SERVER", socket_server)
    pytester.makepyfile(
        test_agent="""
import json, os
from pytest_tokenbudget import token_budget

@token_budget("10%")
def test_agent(scripted_llm):
    from websockets.sync.client import connect
    with connect(f"ws://{os.environ['SERVER']}/v1/responses") as ws:
        try:
            ws.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "hello"}))
        except Exception:
            pass
"""
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a call over a WebSocket*was refused*"])
