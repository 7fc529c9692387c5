"""The scripted model behind a real loopback server."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request

import pytest

from pytest_tokenbudget.replay.script import ScriptedModel, cut, error, text, timeout

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def post(url, body=CHAT):
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    return urllib.request.urlopen(request, timeout=10)


def test_any_http_client_gets_the_answers():
    """Plain and streamed answers, errors with their headers, and a clear error for what has no answer."""
    model = ScriptedModel([text("Hello."), text("A longer answer, in pieces."), error(429, retry_after=2)])
    with model.serve() as server:
        with post(server.base_url) as response:
            assert json.load(response)["choices"][0]["message"]["content"] == "Hello."
        with post(server.base_url, {**CHAT, "stream": True}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.read().endswith(b"data: [DONE]\n\n")
        for status, said in ((429, "scripted error 429"), (400, "has no answer to request 4")):
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(server.base_url)
            with caught.value as answer:
                assert answer.code == status
                assert said in answer.read().decode()
    assert model.unconsumed() is None
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_chunks_are_flushed_one_by_one():
    """The first event can be read while the rest is not written yet, and a cut stream breaks off."""
    model = ScriptedModel([cut(text("A longer answer, in pieces."), after_chunks=2)])
    with model.serve() as server, post(server.base_url, {**CHAT, "stream": True}) as response:
        assert b"assistant" in response.readline()
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def test_a_timeout_is_no_answer():
    """The connection ends without the answer."""
    with ScriptedModel([timeout()]).serve() as server, pytest.raises((urllib.error.HTTPError, OSError)) as caught:
        post(server.base_url)
    getattr(caught.value, "close", lambda: None)()


def test_other_paths_are_not_found():
    """What is no model call is answered with 404."""
    with ScriptedModel().serve() as server, pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{server.host_url}/health", timeout=10)
    caught.value.close()
