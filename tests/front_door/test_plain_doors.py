"""The plain doors of Python (urllib, http.client, urllib3): read to the token, replayed with the server gone, scripted."""

from __future__ import annotations

import pytest
from ledger_server import Asked, LedgerServer, Reply
from reported import run_reported

pytest.importorskip("urllib3", minversion="2", reason="urllib3 2 is not installed")

AGENT = """
import http.client, json, os, subprocess, sys, threading, urllib.error, urllib.request
import pytest
import urllib3
from pytest_tokenbudget import stage, token_budget

URL = os.environ["SERVER"] + "/v1/chat/completions"
HOST = os.environ["SERVER"].removeprefix("http://")
JSON = {"content-type": "application/json"}
budget = token_budget({"input_tokens": "0", "output_tokens": "0", "calls": "0"}, replay=True)


def asked(text, **more):
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}).encode()


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def text_of(lines):
    words = []
    for line in lines:
        if line.startswith(b"data: {"):
            words += [choice["delta"].get("content") or "" for choice in json.loads(line[6:])["choices"]]
    return "".join(words)


def said(body):
    return json.loads(body)["choices"][0]["message"]["content"]
"""
TESTS = (
    AGENT
    + """

@budget
def test_a_urllib():
    with stage("worker"):
        request = urllib.request.Request(URL, asked("plain"), JSON)
        assert said(urllib.request.urlopen(request).read()) == "ok"
    with urllib.request.urlopen(urllib.request.Request(URL, asked("streamed", **STREAMED), JSON)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert text_of(response) == "ok"


@budget
def test_b_urllib_error():
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(URL, asked("fail with 429"), JSON))
    assert caught.value.code == 429
    assert b"error" in caught.value.read()
    assert said(urllib.request.urlopen(urllib.request.Request(URL, asked("again"), JSON)).read()) == "ok"


@budget
def test_c_http_client():
    connection = http.client.HTTPConnection(HOST)
    for text in "first", "second":  # over one connection
        connection.request("POST", "/v1/chat/completions", asked(text), JSON)
        response = connection.getresponse()
        assert response.status == 200
        assert isinstance(response, http.client.HTTPResponse)
        assert said(response.read()) == "ok"
    # Word by word, as older SDKs do.
    body = asked("in pieces", **STREAMED)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders()
    connection.send(body[:20])
    connection.send(body[20:])
    response = connection.getresponse()
    lines = []
    while line := response.readline():
        lines.append(line)
    assert text_of(lines) == "ok"
    connection.close()


@budget
def test_d_urllib3():
    pool = urllib3.PoolManager()
    response = pool.request("POST", URL, body=asked("plain"), headers=JSON)
    assert said(response.data) == said(response.data) == response.json()["choices"][0]["message"]["content"] == "ok"
    response = pool.request("POST", URL, json=json.loads(asked("streamed", **STREAMED)), preload_content=False)
    assert text_of(b"".join(response.stream(7)).splitlines()) == "ok"
    response.release_conn()


@budget
def test_e_urllib3_retries():
    retries = urllib3.Retry(3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    response = urllib3.request("POST", URL, body=asked("fail once"), headers=JSON, retries=retries)
    assert response.status == 200


@budget
def test_f_thread():
    thread = threading.Thread(target=lambda: urllib.request.urlopen(urllib.request.Request(URL, asked("t"), JSON)).read())
    thread.start()
    thread.join()


@budget
def test_g_child():
    code = '''
import os, sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"content-type": "application/json"})
print(urllib.request.urlopen(request).read().decode())
'''
    answer = subprocess.run([sys.executable, "-c", code, URL, asked("child").decode()], capture_output=True, check=True)
    assert said(answer.stdout) == "ok"
"""
)


def answer(asked: Asked) -> Reply:
    """Fail where the text of the request says so; a request that fails once is answered when it comes again."""
    text = asked.body["messages"][-1]["content"]
    if text == "fail with 429":
        return Reply(status=429)
    if text == "fail once" and not answer.failed:  # type: ignore[attr-defined]
        answer.failed = True  # type: ignore[attr-defined]
        return Reply(status=503)
    return Reply("ok")


def test_each_is_read_and_replayed(
    pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live the report equals the books; with the server gone the same calls are played to the same tokens."""
    monkeypatch.setenv("SERVER", llm_server.url)
    answer.failed = False  # type: ignore[attr-defined]
    llm_server.play(answer)
    pytester.makepyfile(test_agent=TESTS)
    result, live = run_reported(pytester)
    result.assert_outcomes(passed=7)
    calls = [call for name in sorted(live) for call in live[name]["calls"]]
    told = [(call["status"], call["input_tokens"], call["output_tokens"], call["stream"]) for call in calls]
    assert told == [
        (
            entry.status,
            *((entry.input_tokens, entry.output_tokens) if entry.status == 200 else (None, None)),
            entry.stream,
        )
        for entry in llm_server.ledger
    ]
    assert [live[name]["total"]["calls"] for name in sorted(live)] == [2, 1, 3, 2, 1, 1, 1]
    assert [live[name]["total"]["failed_attempts"] for name in sorted(live)] == [0, 1, 0, 0, 1, 0, 0]
    assert live["test_a_urllib"]["calls"][0]["stage"] == "worker"
    assert live["test_a_urllib"]["calls"][1]["ttft"] is not None

    llm_server.__exit__(None, None, None)
    result, played = run_reported(pytester)
    result.assert_outcomes(passed=7)
    again = [call for name in sorted(played) for call in played[name]["calls"]]
    assert [(call["status"], call["input_tokens"], call["output_tokens"], call["stream"]) for call in again] == told
    assert {test["traffic"] for test in played.values()} == {"replay"}


def test_each_is_scripted(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted model answers them, and its failures are errors of the library; nothing reaches the server."""
    monkeypatch.setenv("SERVER", llm_server.url)
    pytester.makepyfile(
        test_agent=AGENT
        + """
@token_budget("off")
def test_agent(scripted_llm):
    from pytest_tokenbudget.ext import timeout, unreachable
    scripted_llm.add("one", "two", "three", timeout(), timeout(), unreachable())
    assert said(urllib.request.urlopen(urllib.request.Request(URL, asked("1"), JSON)).read()) == "one"
    connection = http.client.HTTPConnection(HOST)
    connection.request("POST", "/v1/chat/completions", asked("2", **STREAMED), JSON)
    assert text_of(connection.getresponse()) == "two"
    pool = urllib3.PoolManager(retries=False)
    assert text_of(pool.request("POST", URL, body=asked("3", **STREAMED), preload_content=False)) == "three"
    with pytest.raises(urllib.error.URLError, match="time"):
        urllib.request.urlopen(urllib.request.Request(URL, asked("4"), JSON))
    with pytest.raises(urllib3.exceptions.TimeoutError):
        pool.request("POST", URL, body=asked("5"))
    with pytest.raises(OSError):
        connection.request("POST", "/v1/chat/completions", asked("6"), JSON)
"""
    )
    result, tests = run_reported(pytester)
    result.assert_outcomes(passed=1)
    assert tests["test_agent"]["total"]["calls"] == 3
    assert tests["test_agent"]["total"]["failed_attempts"] == 3
    assert len(llm_server.ledger) == 0


def test_what_stands_above_is_counted_once(
    pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests and botocore send by means of urllib3, and urllib3 by means of http.client: one call each."""
    pytest.importorskip("requests")
    pytest.importorskip("boto3")
    monkeypatch.setenv("SERVER", llm_server.url)
    pytester.makepyfile(
        test_agent=AGENT
        + """
@token_budget("off")
def test_agent():
    import boto3, requests
    assert said(requests.post(URL, data=asked("1"), headers=JSON).content) == "ok"
    with requests.post(URL, data=asked("2", **STREAMED), headers=JSON, stream=True) as response:
        assert text_of(response.iter_lines()) == "ok"
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = boto3.client("bedrock-runtime", "us-east-1", endpoint_url=os.environ["SERVER"], **keys)
    client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hello"}]}])
"""
    )
    result, tests = run_reported(pytester)
    result.assert_outcomes(passed=1)
    assert tests["test_agent"]["total"]["calls"] == len(llm_server.ledger) == 3
