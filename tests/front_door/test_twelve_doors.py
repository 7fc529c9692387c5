"""The same calendar agent behind twelve doors: the report equals one ledger, and ten of them are replayed offline."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ledger_server import Asked, Entry, Ledger, LedgerServer, Reply, ToolCall
from own_process import POST, run_in_own_process

for name in ("uvicorn", "starlette.testclient", "celery", "grpc", "websockets.sync.server"):
    pytest.importorskip(name, reason=f"{name} is not installed")
google = pytest.importorskip(
    "google.ai.generativelanguage_v1beta.types", reason="google-ai-generativelanguage is absent"
)
for name in ("node", "curl"):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)

AGENT = (
    POST
    + """
import os
import sys

TOOLS = [{"type": "function", "function": {"name": "calendar_write", "parameters": {"type": "object", "properties": {}}}}]


def book(room="blue"):
    messages = [{"role": "user", "content": f"Book the {room} room for Monday."}]
    while True:
        body = {"model": "gpt-4o", "messages": messages, "tools": TOOLS}
        said = post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)["choices"][0]["message"]
        if not said.get("tool_calls"):
            return said["content"]
        messages.append(said)
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in said["tool_calls"]]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    import asyncio

    said = (await asyncio.to_thread(book)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
)

NODE = """
const tools = [{ type: "function", function: { name: "calendar_write", parameters: { type: "object", properties: {} } } }];
const messages = [{ role: "user", content: "Book the blue room for Monday." }];
for (;;) {
  const answer = await fetch(process.env.OPENAI_BASE_URL + "/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages, tools }),
  });
  const said = (await answer.json()).choices[0].message;
  if (!said.tool_calls) break;
  messages.push(said);
  for (const call of said.tool_calls) messages.push({ role: "tool", tool_call_id: call.id, content: "done" });
}
"""

DOORS = """
import json, multiprocessing, os, socket, subprocess, sys, threading, time, urllib.request
from concurrent.futures import ProcessPoolExecutor
import pytest
from pytest_tokenbudget import token_budget
from calendar_agent import app, book

# Not the time: what a thread or a process waits for outside cannot be seen by the virtual clock, and is held for real.
budget = token_budget({"input_tokens": "0", "output_tokens": "0", "calls": "0"}, replay=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port):
    for _ in range(500):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the service did not start")


@budget
def test_a_thread():
    thread = threading.Thread(target=book)
    thread.start()
    thread.join()


@budget
def test_b_uvicorn_thread():
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=(port := free_port()), log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ask(port) == b"Booked."
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def service():
    child = subprocess.Popen([sys.executable, "calendar_agent.py", str(port := free_port())])
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.02)
    yield port
    child.terminate()
    child.wait()


@budget
def test_c_uvicorn_process(service):
    assert ask(service) == b"Booked."


@budget
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_d_process(way):
    child = multiprocessing.get_context(way).Process(target=book)
    child.start()
    child.join()
    assert child.exitcode == 0


@budget
def test_e_pool():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(book).result() == "Booked."


@budget
def test_f_celery():
    from celery import Celery

    worker = Celery("calendar")
    worker.conf.task_always_eager = True
    assert worker.task(book, name="book").delay().get() == "Booked."


@budget
def test_g_test_client():
    from starlette.testclient import TestClient

    assert TestClient(app).get("/").text == "Booked."


@budget
def test_h_node(llm_proxy):
    with llm_proxy.environment():
        subprocess.run(["node", "agent.mjs"], check=True)


@budget
def test_i_curl(llm_proxy):
    for content in "Book the blue room for Monday.", "Is it booked?":
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]})
        url = llm_proxy.url_for("openai") + "/chat/completions"
        subprocess.run(["curl", "-sS", url, "-H", "content-type: application/json", "-d", body], check=True)


@token_budget("10%")
def test_j_grpc():
    import grpc
    from google.ai.generativelanguage_v1beta import GenerativeServiceClient
    from google.ai.generativelanguage_v1beta.services.generative_service.transports import GenerativeServiceGrpcTransport

    channel = grpc.insecure_channel(os.environ["GRPC"])
    client = GenerativeServiceClient(transport=GenerativeServiceGrpcTransport(channel=channel))
    for text in "Book the blue room for Monday.", "Is it booked?":
        client.generate_content({"model": "models/gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": text}]}]})


@token_budget("10%")
def test_k_websocket():
    from websockets.sync.client import connect

    with connect(f"ws://{os.environ['SOCKET']}/v1/responses") as ws:
        for text in "Book the blue room for Monday.", "Is it booked?":
            ws.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": text}))
            while json.loads(ws.recv())["type"] != "response.completed":
                pass
"""


def answer(asked: Asked) -> Reply:
    """The model: it writes to the calendar, then says so."""
    last = asked.body["messages"][-1]
    calls = () if last["role"] == "tool" or "tools" not in asked.body else (ToolCall("calendar_write"),)
    return Reply("" if calls else "Booked.", tool_calls=calls)


def _book(ledger: Ledger, api: str, read: int) -> None:
    ledger.append(Entry(api, "", "", read, 5, 0, 0, 0, 200, False, True))


@pytest.fixture
def grpc_server(llm_server: LedgerServer) -> Iterator[str]:
    """Google's service, which writes into the same ledger."""
    import grpc

    def generate(request: Any, context: Any) -> Any:
        _book(llm_server.ledger, "grpc", request.ByteSize())
        usage = {"prompt_token_count": request.ByteSize(), "candidates_token_count": 5}
        candidate = {"content": {"role": "model", "parts": [{"text": "Booked."}]}, "finish_reason": "STOP"}
        return google.GenerateContentResponse.pb(
            google.GenerateContentResponse({"candidates": [candidate], "usage_metadata": usage})
        )

    read = google.GenerateContentRequest.pb().FromString
    method = grpc.unary_unary_rpc_method_handler(generate, read, lambda message: message.SerializeToString())
    service = "google.ai.generativelanguage.v1beta.GenerativeService"
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"GenerateContent": method})])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield address
    server.stop(None).wait()


@pytest.fixture
def socket_server(llm_server: LedgerServer) -> Iterator[str]:
    """OpenAI's Responses over a WebSocket, with the same ledger."""
    from websockets.sync.server import serve

    def respond(connection: Any) -> None:
        for text in connection:
            _book(llm_server.ledger, "websocket", len(text))
            usage = {"input_tokens": len(text), "output_tokens": 5, "total_tokens": len(text) + 5}
            response = {"id": "r", "model": "gpt-4o", "status": "completed", "output": [], "usage": usage}
            connection.send(json.dumps({"type": "response.completed", "response": response}))

    with serve(respond, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_twelve_doors(
    pytester: pytest.Pytester,
    llm_server: LedgerServer,
    grpc_server: str,
    socket_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve of twelve equal the ledger to the token; ten are replayed with the server gone, to the same tokens."""
    for variable, value in {
        "OPENAI_BASE_URL": llm_server.url + "/v1",
        "GRPC": grpc_server,
        "SOCKET": socket_server,
    }.items():
        monkeypatch.setenv(variable, value)
    llm_server.play(answer)
    pytester.makepyfile(calendar_agent=AGENT, test_doors=DOORS)
    (pytester.path / "agent.mjs").write_text(NODE)
    pytester.syspathinsert()
    options = ("--tokenbudget-report=report.json", "-p", "no:cacheprovider", "-W", "ignore")

    # In a process of its own: a pool cannot pickle what another session in this one has imported anew.
    run_in_own_process(pytester, *options).assert_outcomes(passed=12)
    live = _totals(pytester)
    ledger = llm_server.ledger
    assert live == [
        (2, sum(entry.input_tokens for entry in pair), sum(entry.output_tokens for entry in pair))
        for pair in (ledger[at : at + 2] for at in range(0, 24, 2))
    ]

    llm_server.__exit__(None, None, None)
    run_in_own_process(pytester, *options, "-k", "not grpc and not websocket").assert_outcomes(passed=10)
    assert _totals(pytester) == live[:10]
    assert len(ledger) == 24


def _totals(pytester: pytest.Pytester) -> list[tuple[int, int, int]]:
    tests = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
    totals = [test["total"] for test in sorted(tests, key=lambda test: test["nodeid"])]
    return [(total["calls"], total["input_tokens"], total["output_tokens"]) for total in totals]
