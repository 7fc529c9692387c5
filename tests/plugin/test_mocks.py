"""Beside tools that give old answers: the request of now is counted, and the usage that was recorded is not trusted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

WORDS = 4000
CALL = """
import httpx

def post(prompt, url={url!r}):
    body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": prompt}}]}}
    return httpx.post(url + "/v1/chat/completions", json=body)
"""
ANSWER = (
    '{"model": "gpt-4o", "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],'
    ' "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}'
)
VCR = """
@pytest.mark.vcr
@token_budget("10%", samples=1)
def test_agent():
    post({prompt})
"""
RESPX = """
import respx

@respx.mock
@token_budget("10%", samples=1)
def test_agent():
    respx.post("https://api.example.com/v1/chat/completions").respond(200, content=ANSWER)
    post({prompt}, "https://api.example.com")
"""
PYTEST_HTTPX = """
@token_budget("10%", samples=1)
def test_agent(httpx_mock):
    httpx_mock.add_response(content=ANSWER)
    post({prompt}, "https://api.example.com")
"""


def _needs(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def _write(project: Any, source: str, prompt: str) -> None:
    answer = f"\nANSWER = {ANSWER!r}\n"
    project.write(CALL.format(url=project.server.url) + answer + source.replace("{prompt}", prompt))


def _is_counted(project: Any) -> None:
    (call,) = project.test["calls"]
    assert (call["input_source"], call["input_tokens"], call["output_source"]) == ("counted", 8, "provider")


def _is_caught(project: Any, source: str, *, subprocess: bool = False) -> None:
    """A long prompt in the place of a short one fails, with a count of its own."""
    _write(project, source, f'"word " * {WORDS}')
    project.run(subprocess=subprocess).assert_outcomes(failed=1)
    assert project.gate("input_tokens")["verdict"] == "regression"
    assert project.gate("input_tokens")["value"] >= WORDS


def test_pytest_recording(project: Any) -> None:
    """What vcrpy records has the provider's number; what it plays is counted. YAML cannot be loaded twice in a process."""
    _needs("pytest_recording")
    scope = "asyncio_default_fixture_loop_scope = function"
    project.pytester.makeini(f"[pytest]\naddopts = --record-mode=once\n{scope}\n")
    _write(project, VCR, '"hello"')
    project.run(subprocess=True).assert_outcomes(passed=1)
    (live,) = project.test["calls"]
    assert (live["input_source"], live["input_tokens"]) == ("provider", project.server.ledger[0].input_tokens)
    project.run("--tokenbudget-update", subprocess=True).assert_outcomes(passed=1)
    _is_counted(project)
    _is_caught(project, VCR, subprocess=True)
    assert len(project.server.ledger) == 1


@pytest.mark.parametrize(("module", "source"), [("respx", RESPX), ("pytest_httpx", PYTEST_HTTPX)])
def test_mocked_transports(project: Any, module: str, source: str) -> None:
    """respx stands below httpx's transport, pytest-httpx in its place."""
    _needs(module)
    _write(project, source, '"hello"')
    project.run().assert_outcomes(passed=1)
    _is_counted(project)
    _is_caught(project, source)
