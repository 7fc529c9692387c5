"""Requests to an app in the same process: a hop to the model where the app asks one, the call itself where it does not."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_server import LedgerServer
from reported import run_reported

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("starlette.testclient", reason="starlette is not installed")

APP = """
import os
import httpx
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from pytest_tokenbudget import token_budget

SERVER = os.environ["SERVER"]
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
CANNED = (
    b'{"model": "gpt-4o", "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],'
    b' "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
)


async def gateway(request):
    body, answer = await request.body(), CANNED
    async with httpx.AsyncClient(base_url=SERVER) as client:
        for _ in range(int(request.headers.get("x-calls", "1"))):
            answer = (await client.post("/v1/chat/completions", content=body)).content
    return Response(answer, media_type="application/json")


app = Starlette(routes=[Route(path, gateway, methods=["POST"]) for path in ("/v1/chat/completions", "/agent")])


def ask(path="/v1/chat/completions", calls=1):
    assert TestClient(app).post(path, json=BODY, headers={"x-calls": str(calls)}).status_code == 200
"""


@pytest.fixture
def run(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run tests of the app; gives the outcome and the report's tests by name."""
    monkeypatch.setenv("SERVER", llm_server.url)

    def run(tests: str, *options: str) -> tuple[pytest.RunResult, dict[str, Any]]:
        pytester.makepyfile(test_app=APP + tests)
        return run_reported(pytester, *options)

    return run


def test_each_model_call_counts_once(run: Any, llm_server: LedgerServer) -> None:
    """An app that asks its model is no call itself, by whatever path and transport; one that asks none is the call."""
    result, tests = run("""
@token_budget("off")
def test_a_hop():
    ask()

@token_budget("off")
def test_an_unknown_path():
    ask("/agent", calls=2)

@token_budget("off", limit={"calls": 1}, stop_at={"calls": 1})
def test_too_many():
    ask(calls=2)

@token_budget("off", limit={"calls": 1}, stop_at={"calls": 1})
def test_as_many_as_allowed():
    ask(calls=1)

@token_budget("off")
def test_no_hop():
    ask(calls=0)

@token_budget("off")
def test_an_sdk_over_asgi():
    import asyncio, openai

    async def agent():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app/v1") as client:
            return await client.post("/chat/completions", json=BODY)

    assert asyncio.run(agent()).status_code == 200
""")
    result.assert_outcomes(passed=5, failed=1)
    told = llm_server.ledger[0].input_tokens
    read = {
        name: [(call["input_source"], call["input_tokens"]) for call in test["calls"]] for name, test in tests.items()
    }
    hop = ("provider", told)
    assert read == {
        "test_a_hop": [hop],
        "test_an_unknown_path": [hop, hop],
        "test_too_many": [hop, hop],
        "test_as_many_as_allowed": [hop],
        "test_no_hop": [("counted", 8)],
        "test_an_sdk_over_asgi": [hop],
    }
    assert len(llm_server.ledger) == 7


def test_hops_are_replayed_and_scripted(run: Any, llm_server: LedgerServer) -> None:
    """The app runs in a replay too, and the answers of its model are played; a script answers the model alone."""
    tests = """
import pytest

@pytest.mark.parametrize("calls", [0, 1, 2])
@token_budget("10%", replay=True)
def test_app(calls):
    ask(calls=calls)

@token_budget("off")
def test_script(scripted_llm):
    scripted_llm.add("one", "two")
    ask(calls=2)
"""
    result, recorded = run(tests)
    result.assert_outcomes(passed=4)
    assert len(llm_server.ledger) == 3
    result, played = run(tests, "--tokenbudget-traffic=replay")
    result.assert_outcomes(passed=4)
    assert len(llm_server.ledger) == 3
    counted = {name: len(test["calls"]) for name, test in played.items()}
    assert counted == {"test_app[0]": 1, "test_app[1]": 1, "test_app[2]": 2, "test_script": 2}
    assert {test["traffic"] for name, test in played.items()} == {"replay", "scripted"}
    assert recorded["test_app[2]"]["total"]["input_tokens"] == played["test_app[2]"]["total"]["input_tokens"]


def test_a_server_that_passes_the_question_on_is_noted(run: Any) -> None:
    """Behind a real socket both requests count, and a note says so; the app's other path is no call, and needs no note."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    _, tests = run("""
import socket, threading, time
import pytest, uvicorn

@pytest.fixture
def gateway_url():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()

@token_budget("off")
def test_a_model_path(gateway_url):
    assert httpx.post(gateway_url + "/v1/chat/completions", json=BODY).status_code == 200

@token_budget("off")
def test_another_path(gateway_url):
    assert httpx.post(gateway_url + "/agent", json=BODY).status_code == 200

@token_budget("off")
def test_two_in_a_row(gateway_url):
    assert httpx.post(gateway_url + "/v1/chat/completions", json=BODY, headers={"x-calls": "0"}).status_code == 200
    assert httpx.post(SERVER + "/v1/chat/completions", json=BODY).status_code == 200
""")
    noted = {name: any("counts twice" in note for note in test["messages"]) for name, test in tests.items()}
    assert noted == {"test_a_model_path": True, "test_another_path": False, "test_two_in_a_row": False}
    assert {name: len(test["calls"]) for name, test in tests.items()} == {
        "test_a_model_path": 2,
        "test_another_path": 1,
        "test_two_in_a_row": 2,
    }
