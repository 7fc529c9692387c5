"""Beside tools that give old answers: the request of now is counted, and the usage that was recorded is not trusted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

WORDS = 4000
CALL = """
import asyncio, functools, json
import httpx

BODY = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": PROMPT}}]}}
LIVE = {url!r}
WORDS = 4000
URL = "https://api.example.com/v1/chat/completions"


def post(url=URL):
    return httpx.post(url, json=BODY)


async def post_with_aiohttp(url=URL):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(url=url, json=BODY) as response:
        return await response.json()


class Retrying(httpx.BaseTransport):
    def handle_request(self, request):
        response = httpx.HTTPTransport().handle_request(request)
        response.read()
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)


@functools.cache
def bedrock():
    import boto3

    return boto3.client(
        "bedrock-runtime", "us-east-1", endpoint_url=LIVE, aws_access_key_id="none", aws_secret_access_key="none"
    )


def converse():
    bedrock().converse(modelId="m", messages=[{{"role": "user", "content": [{{"text": PROMPT}}]}}])


def invoke():
    body = {{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, **BODY}}
    bedrock().invoke_model(modelId="anthropic.claude-3", body=json.dumps(body))["body"].read()
"""
ANSWER = (
    '{"model": "gpt-4o", "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],'
    ' "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}'
)
VCR = """
import vcr

def with_requests():
    import requests
    assert requests.post(LIVE + "/v1/chat/completions", json=BODY, stream=True).json()["usage"]

def with_aiohttp():
    asyncio.run(post_with_aiohttp(LIVE + "/v1/chat/completions"))

def behind_a_transport():
    with httpx.Client(transport=Retrying()) as client:
        client.post(LIVE + "/v1/chat/completions", json=BODY)

@pytest.mark.parametrize("agent", [with_requests, with_aiohttp, behind_a_transport, converse, invoke, post])
@token_budget("off")
def test_agent(agent, monkeypatch):
    with vcr.use_cassette(f"{agent.__name__}.yaml"):
        agent(LIVE + "/v1/chat/completions") if agent is post else agent()
    with stage("played"), vcr.use_cassette(f"{agent.__name__}.yaml"):
        monkeypatch.setitem(globals(), "PROMPT", "word " * WORDS)
        monkeypatch.setitem(BODY["messages"][0], "content", "word " * WORDS)
        agent(LIVE + "/v1/chat/completions") if agent is post else agent()
"""
MOCKS = {
    "respx": """
import respx

@respx.mock
@token_budget("10%", samples=1)
def test_agent():
    respx.post(URL).respond(200, content=ANSWER)
    post()
""",
    "pytest_httpx": """
@token_budget("10%", samples=1)
def test_agent(httpx_mock):
    httpx_mock.add_response(content=ANSWER)
    post()
""",
    "httpx": """
@token_budget("10%", samples=1)
def test_agent():
    answer = lambda request: httpx.Response(200, content=ANSWER)
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        client.post(URL, json=BODY)
""",
    "responses": """
import requests, responses

@token_budget("10%", samples=1)
def test_agent():
    with responses.RequestsMock() as mock:
        mock.post(URL, body=ANSWER)
        requests.post(URL, json=BODY)
""",
    "aioresponses": """
import aioresponses

@token_budget("10%", samples=1)
def test_agent():
    with aioresponses.aioresponses() as mock:
        mock.post(URL, body=ANSWER)
        asyncio.run(post_with_aiohttp())
""",
    "requests_mock": """
import requests, requests_mock as mocks

@token_budget("10%", samples=1)
def test_agent():
    adapter = mocks.Adapter()
    adapter.register_uri("POST", URL, text=ANSWER)
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.post(URL, json=BODY)
""",
    "requests_mock.mocker": """
import requests

@token_budget("10%", samples=1)
def test_agent(requests_mock):
    requests_mock.post(URL, text=ANSWER)
    requests.post(URL, json=BODY)
""",
    "pook": """
import pook

@token_budget("10%", samples=1)
def test_agent():
    with pook.use():
        pook.post(URL, reply=200, response_body=ANSWER)
        post()
""",
    "moto": """
import moto, boto3

@token_budget("10%", samples=1)
def test_agent(monkeypatch):
    with moto.mock_aws():
        client = boto3.client("bedrock-runtime", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, **BODY}
        client.invoke_model(modelId="anthropic.claude-3", body=json.dumps(body))["body"].read()
""",
}
FIXTURES_OF = {"pytest_httpx": ("pytest_httpx",), "requests_mock.mocker": ("requests_mock",)}
"""The plugins whose fixtures are used."""


def _write(project: Any, source: str, prompt: str) -> None:
    head = f"PROMPT = {prompt}\nANSWER = {ANSWER!r}\n"
    project.write(head + CALL.format(url=project.server.url) + source)


def test_vcrpy(project: Any) -> None:
    """What vcrpy records has the provider's number; what it plays is counted, whichever client and transport asks."""
    for module in ("vcr", "requests", "aiohttp", "boto3", "httpx"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    _write(project, VCR, '"hello"')
    # YAML cannot be loaded twice in a process.
    project.run(subprocess=True).assert_outcomes(passed=6)
    recorded, played = [], []
    for test in project.report["tests"]:
        first, *then = test["calls"]
        recorded.append(first)
        played += then
    assert {call["input_source"] for call in recorded} == {"provider"}
    told = [entry.input_tokens for entry in project.server.ledger]
    assert sorted(call["input_tokens"] for call in recorded) == sorted(told)
    assert {(call["input_source"], call["output_source"]) for call in played} == {("counted", "provider")}
    assert all(call["input_tokens"] > WORDS for call in played)


@pytest.mark.parametrize("module", MOCKS)
def test_a_mock(project: Any, module: str) -> None:
    """A prompt that grew fails with a count of its own, whatever the canned answer tells."""
    if find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    if module == "aioresponses" and "stream_writer" in _parameters("aiohttp", "ClientResponse"):
        pytest.skip("aioresponses does not know this aiohttp")
    plugins = FIXTURES_OF.get(module, ())
    _write(project, MOCKS[module], '"hello"')
    project.run(subprocess=module == "moto", plugins=plugins).assert_outcomes(passed=1)
    (call,) = project.test["calls"]
    assert call["input_source"] == "counted"
    assert call["input_tokens"] < 20
    _write(project, MOCKS[module], f'"word " * {WORDS}')
    project.run(subprocess=module == "moto", plugins=plugins).assert_outcomes(failed=1)
    assert project.gate("input_tokens")["verdict"] == "regression"
    assert project.gate("input_tokens")["value"] >= WORDS


def _parameters(module: str, name: str) -> Any:
    from importlib import import_module
    from inspect import signature

    return signature(getattr(import_module(module), name).__init__).parameters


def test_what_a_request_does_not_show_is_said(project: Any) -> None:
    """The provider adds to the input for tools that it runs and for state that it keeps; a count here cannot know."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    project.write("""
import httpx

ANSWER = {
    "id": "resp_2", "object": "response", "model": "gpt-4o", "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}],
    "usage": {"input_tokens": 404500, "output_tokens": 1, "total_tokens": 404501},
}

@token_budget("off")
def test_agent():
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWER))) as client:
        body = {"model": "gpt-4o", "input": "hello", "previous_response_id": "resp_1", "tools": [{"type": "web_search"}]}
        client.post("https://api.example.com/v1/responses", json=body)
""")
    project.run().assert_outcomes(passed=1)
    (call,) = project.test["calls"]
    assert call["input_source"] == "counted"
    (note,) = [message for message in project.test["messages"] if "a mock answered" in message]
    assert "web_search, previous_response_id: a limit on it says little" in note


PATCHES = """
import httpx, pytest, socket
from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.watch import bypasses

SEND, CONNECT, SOCKET = httpx.Client.send, socket.socket.connect, socket.socket


@pytest.fixture(scope="class")
def for_a_class():
    before = httpx.Client.send

    def send(self, request, **options):
        return before(self, request, **options)

    httpx.Client.send = send
    yield
    httpx.Client.send = before


@pytest.fixture
def guarded(monkeypatch):
    # As pytest-socket does: another class, and what is put back is what stood there when it was imported.
    class Guarded(socket.socket):
        pass

    socket.socket = Guarded
    yield
    socket.socket = SOCKET
    SOCKET.connect = CONNECT


@pytest.fixture
def mocked(monkeypatch):
    def send(self, request, **options):
        return httpx.Response(200, text=ANSWER, request=request)

    monkeypatch.setattr(httpx.Client, "send", send)


def ask_both(bypassed=()):
    post(LIVE + "/v1/chat/completions")
    host, _, port = LIVE.rpartition("/")[2].partition(":")
    with socket.socket() as connection:
        connection.connect((host, int(port)))
    assert [one.count for one in ACTIVE.recorders[-1].connections.noted()] == [1]
    assert bypasses() == bypassed


@token_budget("off")
def test_first():
    ask_both()


@token_budget("off")
class TestGroup:
    @pytest.mark.parametrize("number", range(2))
    def test_wrapped(self, for_a_class, number):
        # It was put over ours in the first one's own time, and does not say what it calls.
        ask_both(() if number else ("Client.send was replaced by test_agent",))


@token_budget("off")
def test_guarded(guarded):
    ask_both()


@token_budget("off")
def test_bypassed(mocked):
    post(LIVE + "/v1/chat/completions")


@token_budget("off")
def test_last():
    ask_both()


def test_unmarked():
    assert (httpx.Client.send, socket.socket.connect) == (SEND, CONNECT)
"""


def test_patches_of_tests_that_follow_each_other(project: Any) -> None:
    """Each test is seen as if it ran alone, whoever puts what in the place of watched methods and takes it away when."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    _write(project, PATCHES, '"hello"')
    project.run("--tokenbudget=report", subprocess=True).assert_outcomes(passed=7)
    seen = {test["nodeid"].rpartition("::")[2]: len(test["calls"]) for test in project.report["tests"]}
    assert seen.pop("test_bypassed") == 0
    assert seen == dict.fromkeys(("test_first", "test_wrapped[0]", "test_wrapped[1]", "test_guarded", "test_last"), 1)


TRACED = """
import httpx

TRACED_REQUESTS = []


@pytest.fixture(scope="module", autouse=True)
def tracer():
    # As tracers undo themselves: only what they still find as they left it.
    before = httpx.Client.send

    def send(self, request, **options):
        TRACED_REQUESTS.append(request)
        return before(self, request, **options)

    httpx.Client.send = send
    yield
    if httpx.Client.send is send:
        httpx.Client.send = before


@token_budget("off")
@pytest.mark.parametrize("number", (1, 2))
def test_traced(number):
    httpx.post(URL, json={"model": "gpt-4o", "messages": []})
    assert len(TRACED_REQUESTS) == number
"""
NOT_TRACED = """
import httpx
from test_agent import TRACED_REQUESTS


@token_budget("off")
def test_alone():
    TRACED_REQUESTS.clear()
    httpx.post(URL, json={"model": "gpt-4o", "messages": []})
    assert not TRACED_REQUESTS
"""


def test_what_a_module_put_in_place_is_undone_before_the_next_one(project: Any) -> None:
    """Nothing of ours stands in front of it when fixtures of the module are torn down."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    url = f"URL = {project.server.url + '/v1/chat/completions'!r}\n"
    project.write(url + TRACED)
    project.write(url + NOT_TRACED, name="test_next")
    project.run("test_agent.py", "test_next.py").assert_outcomes(passed=3)
    assert [len(test["calls"]) for test in project.report["tests"]] == [1, 1, 1]
