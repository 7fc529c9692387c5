"""A user's tests with a real SDK against the loopback server; the report must equal the server's books."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ledger_server import LedgerServer
from own_process import run_in_own_process

# Users leave their clients to the garbage collector; that is not what these tests are about.
QUIET = ("-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
Check = Callable[..., dict[str, Any]]


@pytest.fixture
def against_the_books(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run a test body under the plugin, then hold every call of the report against the server's books."""
    monkeypatch.setenv("SERVER", llm_server.url)
    for variable in (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GROQ_API_KEY",
        "CO_API_KEY",
        "MISTRAL_API_KEY",
        "GEMINI_API_KEY",
    ):
        monkeypatch.setenv(variable, "none-needed")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    for variable, value in {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(variable, value)

    def check(
        body: str,
        *,
        asynchronous: bool = False,
        calls: int = 1,
        options: tuple[str, ...] = (),
        subprocess: bool = False,
    ) -> dict[str, Any]:
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        define = "async def" if asynchronous else "def"
        pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
        pytester.makepyfile(
            test_agent="import os\nfrom pytest_tokenbudget import stage, token_budget\n"
            f'SERVER = os.environ["SERVER"]\n\n@token_budget("10%")\n{define} test_agent():\n{lines}\n'
        )
        options = ("--tokenbudget-report=report.json", "-p", "no:cacheprovider", *QUIET, *options)
        if subprocess:
            result = run_in_own_process(pytester, *options, plugins=("asyncio",))
        else:
            result = pytester.runpytest_inprocess(*options)
        result.assert_outcomes(passed=1)
        report: dict[str, Any] = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
        (test,) = report["tests"]
        assert len(llm_server.ledger) == calls, "the server was asked another number of times"
        hold_against_books(test["calls"], llm_server)
        assert test["total"]["calls"] == llm_server.ledger.calls
        return test

    return check


def hold_against_books(calls: list[dict[str, Any]], server: LedgerServer) -> None:
    """Each call of the report equals its entry in the books, in order."""
    assert len(calls) == len(server.ledger)
    for call, entry in zip(calls, server.ledger, strict=True):
        if entry.status >= 400:
            assert (call["status"], call["input_tokens"], call["output_tokens"]) == (entry.status, None, None)
            continue
        assert call["stream"] == entry.stream
        assert call["model"] == entry.model
        assert call["tool_calls"] == list(entry.tool_calls)
        if not entry.told:
            assert call["input_source"] == call["output_source"] == "counted"
            continue
        assert call["input_source"] == "provider"
        assert call["input_tokens"] == entry.input_tokens
        if entry.api != "openai.embeddings":
            assert call["output_tokens"] == entry.output_tokens
        assert (call["cached_input_tokens"] or 0) == entry.cached
        assert (call["reasoning_tokens"] or 0) == entry.reasoning
