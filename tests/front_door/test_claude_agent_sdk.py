"""The Claude Agent SDK, which drives a program of its own: through the recording proxy, without an account."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply

pytest.importorskip("claude_agent_sdk", reason="claude-agent-sdk is not installed")

AGENT = """
import asyncio, os
import pytest
from claude_agent_sdk import AssistantMessage, ClaudeAgentOptions, ResultMessage, TextBlock, query
from pytest_tokenbudget import token_budget


def run_agent(tmp_path):
    async def main():
        options = ClaudeAgentOptions(
            system_prompt="You book rooms.",
            max_turns=2,
            cwd=tmp_path,
            model="claude-sonnet-4-5",
            setting_sources=[],
            env={"CLAUDE_CONFIG_DIR": str(tmp_path), "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
        )
        said = []
        async for message in query(prompt="Book a room.", options=options):
            if isinstance(message, AssistantMessage):
                said += [block.text for block in message.content if isinstance(block, TextBlock)]
        return said
    return asyncio.run(main())


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-none-needed")
    monkeypatch.setenv("IS_SANDBOX", "1")
"""


def run(pytester: pytest.Pytester, body: str) -> dict[str, Any]:
    """Run one test and give what the report says of it."""
    pytester.makepyfile(test_agent=AGENT + body)
    result = pytester.runpytest_subprocess("--tokenbudget-report=report.json", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    (test,) = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
    return dict(test)


def test_its_calls_equal_the_books(
    pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live through the proxy, to the token."""
    monkeypatch.setenv("SERVER", llm_server.url)
    llm_server.play(lambda asked: Reply("Booked."))
    test = run(
        pytester,
        """
@token_budget("10%")
def test_agent(llm_proxy, tmp_path):
    llm_proxy.upstream("anthropic", os.environ["SERVER"])
    with llm_proxy.environment():
        assert "Booked." in run_agent(tmp_path)
""",
    )
    told = [(entry.input_tokens, entry.output_tokens) for entry in llm_server.ledger if entry.status == 200]
    assert [(call["input_tokens"], call["output_tokens"]) for call in test["calls"]] == told
    assert told


def test_a_scripted_model_answers_it(
    pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free and offline: nothing reaches a server."""
    test = run(
        pytester,
        """
@token_budget("off")
def test_agent(llm_proxy, scripted_llm, tmp_path):
    scripted_llm.respond_with(lambda asked: "Booked.")
    with llm_proxy.environment():
        assert "Booked." in run_agent(tmp_path)
""",
    )
    assert test["total"]["calls"] >= 1
    assert test["traffic"] == "scripted"
