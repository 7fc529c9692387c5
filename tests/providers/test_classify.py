"""One function says what a request is, whoever asks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pytest_tokenbudget.providers.classify import UNKNOWN_BODY, body_limit, classify, serves_models
from pytest_tokenbudget.providers.http_message import parse_request
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import Endpoint, WireFormat, has, holds

FORMATS = builtin_formats()
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
INPUT = {"model": "m", "input": "Hi"}
JSON = (("content-type", "application/json"),)
ZIP = (("content-type", "application/zip"),)


def kind(method: str, url: str, body: dict | None = None, headers: tuple = (), formats: tuple = FORMATS) -> str:
    """What a request is."""
    sent = None if body is None else json.dumps(body).encode()
    url = url if "://" in url else f"https://gateway.example{url}"
    return classify(parse_request(method, url, headers, sent), formats).kind


@pytest.mark.parametrize(
    ("method", "url", "body", "expected"),
    [
        ("POST", "/v1/chat/completions", ASK, "call"),
        ("POST", "/v1/embeddings", INPUT, "call"),
        ("POST", "/v1/responses", {**INPUT, "background": True}, "call"),
        ("GET", "/v1/responses/resp_1", None, "auxiliary"),
        ("POST", "/v1/responses/resp_1/cancel", {}, "auxiliary"),
        ("POST", "/v1/responses/input_tokens", INPUT, "auxiliary"),
        ("POST", "/v1/messages/count_tokens", ASK, "auxiliary"),
        ("POST", "/v1beta/models/g:countTokens", {"contents": [{}]}, "auxiliary"),
        ("POST", "/v1/publishers/anthropic/models/count-tokens:rawPredict", ASK, "auxiliary"),
        ("POST", "/model/m/count-tokens", {"input": {}}, "auxiliary"),
        ("GET", "/v1/models", None, "auxiliary"),
        ("GET", "/v1/models/gpt-9", None, "auxiliary"),
        ("POST", "/v1/files", None, "auxiliary"),
        ("POST", "/v1beta/cachedContents", {"model": "g", "contents": [{}]}, "auxiliary"),
        ("POST", "/v1/vector_stores", {"name": "x"}, "auxiliary"),
        ("POST", "/v1/conversations", {"items": []}, "auxiliary"),
        ("POST", "/api/pull", {"model": "m", "input": "f"}, "auxiliary"),
        ("GET", "/v1/threads/t/runs/r", None, "auxiliary"),
        ("GET", "/v1/predictions/p", None, "auxiliary"),
        ("POST", "/v1/images/generations", {"model": "m", "prompt": "x"}, "paid"),
        ("POST", "/v1/audio/speech", INPUT, "paid"),
        ("POST", "/v1/audio/transcriptions", None, "paid"),
        ("POST", "/v1/moderations", INPUT, "paid"),
        ("POST", "/v2/rerank", {"model": "r", "query": "q", "documents": []}, "paid"),
        ("POST", "/v1/threads/t/runs", {"assistant_id": "a"}, "paid"),
        ("POST", "/v1/models/meta/llama-9/predictions", {"input": {"prompt": "x"}}, "paid"),
        ("POST", "/agents/A/agentAliases/B/sessions/C/text", {"inputText": "x"}, "paid"),
        ("POST", "/runtimes/arn%3Aaws%3Ax/invocations", {"prompt": "x"}, "paid"),
        ("POST", "/retrieveAndGenerate", {"input": {"text": "x"}}, "paid"),
        ("POST", "/api/v1/services/aigc/text2image/image-synthesis", {"model": "w", "input": {"prompt": "x"}}, "paid"),
        ("POST", "/v1/batches", {"input_file_id": "f"}, "batch"),
        ("POST", "/v1/messages/batches", {"requests": [{}]}, "batch"),
        ("POST", "/v1beta/models/g:batchGenerateContent", {"batch": {}}, "batch"),
        ("POST", "/v1/realtime/sessions", {"model": "m"}, "realtime"),
        ("GET", "wss://api.openai.com/v1/realtime?model=m", None, "realtime"),
        ("POST", "/v9/brain", ASK, "unknown"),
        ("POST", "/v9/models/m/brain", {"contents": [{"x": 1}]}, "unknown"),
        ("POST", "/v1/traces", INPUT, "other"),
        ("POST", "/mcp", {"jsonrpc": "2.0", **INPUT}, "other"),
        ("POST", "/search", {"query": "weather"}, "other"),
        ("GET", "/", None, "other"),
        ("GET", "/v1/chat/completions", None, "other"),
        ("POST", "/v1/threads/t/messages", {"role": "user", "content": "Hi"}, "auxiliary"),
    ],
)
def test_each_request_has_one_kind(method, url, body, expected):
    """By path and body, behind any host."""
    assert kind(method, url, body) == expected


def test_a_websocket_of_a_realtime_api_is_told_by_its_upgrade():
    """The same path without it is a page."""
    headers = (("Upgrade", "websocket"),)
    assert kind("GET", "https://api.openai.com/v1/realtime", headers=headers) == "realtime"
    assert kind("GET", "https://app.example/realtime") == "other"


class Mine(WireFormat):
    """A format of a project."""

    api = "mine.chat"
    endpoints = (
        Endpoint("call", r"/think$", when=holds("question")),
        Endpoint("auxiliary", r"/minds$", methods=()),
        Endpoint("paid", r"/draw$", when=has("picture")),
    )
    hosts = (("mine.example", "mine"),)


@pytest.mark.parametrize(
    ("url", "body", "expected"),
    [
        ("/think", {"question": "why"}, "call"),
        ("/think", {"answer": "so"}, "other"),
        ("/minds", {"x": 1}, "auxiliary"),
        ("/draw", {"picture": "x"}, "paid"),
        ("/draw", None, "paid"),
    ],
)
def test_a_project_declares_its_api_in_the_same_words(url, body, expected):
    """Where a body cannot be read, ``has`` leaves the word to the path and ``holds`` does not."""
    assert kind("POST", url, body, formats=(Mine(), *FORMATS)) == expected


def test_the_provider_is_the_host_or_the_maker():
    """A project's hosts count like the built-in ones."""
    for url, provider in (("https://eu.mine.example/think", "mine"), ("http://127.0.0.1/think", "mine")):
        request = parse_request("POST", url, (), b'{"question": "why"}')
        assert classify(request, (Mine(), *FORMATS)).provider == provider
    request = parse_request("POST", "https://proxy.example/model/m/converse", (), b"{}")
    assert classify(request, FORMATS).provider == "aws.bedrock"


@pytest.mark.parametrize(
    "host",
    [
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "eu-aiplatform.googleapis.com",
        "mine.services.ai.azure.com",
        "api.openai.com",
    ],
)
def test_a_host_that_a_provider_is_known_by_serves_models(host):
    """Also where its name holds a region or an account: what a replayed run may not reach is known by it."""
    assert serves_models(host, FORMATS)
    assert not serves_models(f"{host}.example", FORMATS)


@pytest.mark.parametrize(
    ("method", "path", "headers", "limit"),
    [
        ("POST", "/v1/chat/completions", JSON, None),
        ("POST", "/v1/chat/completions", (), None),
        ("POST", "/v1/images/generations", JSON, None),
        ("POST", "/v1/audio/speech", (("content-type", "audio/mpeg"),), UNKNOWN_BODY),
        ("GET", "/v1/files/file_1/content", ZIP, UNKNOWN_BODY),
        ("GET", "/v1/models", JSON, UNKNOWN_BODY),
        ("POST", "/v9/brain", JSON, UNKNOWN_BODY),
        ("POST", "/v9/brain", (("content-type", "text/event-stream"),), UNKNOWN_BODY),
        ("POST", "/upload", ZIP, 0),
        ("GET", "/download", (("content-type", "application/octet-stream"),), 0),
        ("GET", "/page", JSON, 0),
        ("PUT", "/bucket/key", (), 0),
    ],
)
def test_how_much_of_a_body_is_worth_keeping_is_told_without_looking_into_it(method, path, headers, limit):
    """All of a call, a bound of what may be one or stands beside one, nothing of the rest."""
    assert body_limit(method, f"https://gateway.example{path}?x=1", headers, FORMATS) == limit


def test_rare_apis_are_imported_when_no_other_knows_a_request():
    """A session of common calls never loads them."""
    code = """
import sys
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.http_message import parse_request
formats = builtin_formats()
assert classify(parse_request("POST", "http://127.0.0.1/v1/chat/completions"), formats).kind == "call"
assert "pytest_tokenbudget.providers.anthropic_messages" not in sys.modules
for path in ("/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/model/m/converse"):
    assert classify(parse_request("POST", "https://x.example" + path, (), b'{"model": "m", "messages": [], "input": "x"}'), formats).kind == "call"
loaded = [name for name in sys.modules if "providers.contrib" in name]
asked = b'{"model_id": "m", "messages": []}'
assert classify(parse_request("POST", "https://x.example/ml/v1/text/chat", (), asked), formats).api == "watsonx.chat"
print(loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", ["/images", "/api/videos", "/ocr", "/predictions", "/classify", "/rerank", "/moderations", "/x:predict"]
)
def test_an_applications_own_path_is_no_paid_model(path):
    """It would make the cost of a test unknown: the body must be one that such a model takes."""
    assert kind("POST", path, {"id": 7, "name": "cat.png"}) == "other"
    assert kind("POST", path) == "other"
