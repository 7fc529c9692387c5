"""The four ways in which a call finds its stage, and which of them comes first."""

from __future__ import annotations

from typing import Any

import pytest

RULES = """[pytest]
tokenbudget_stages =
    # the first that fits wins
    named = function:conftest.agent
    router = model:gpt-router*
    judge = url:*/v1/chat/completions?judge
    finalize = system:*Turn the answer into JSON*
"""
AGENT = """
import contextlib

@pytest.fixture
def span():
    trace = pytest.importorskip("opentelemetry.trace", reason="OpenTelemetry is not installed")
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK of OpenTelemetry is not installed")
    tracer = sdk.TracerProvider().get_tracer("test")

    @contextlib.contextmanager
    def span(name):
        with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.agent.name": name}):
            yield
    return span

def agent(ask, **more):
    return ask(**more)

NODES = [agent]  # as a graph takes them when its module is imported

def pytest_tokenbudget_stage(call):
    return "hooked/deep" if call.request_model == "gpt-hook" else None
"""


def test_code_then_rules_then_the_hook_then_opentelemetry(project: Any) -> None:
    """Each way finds what the ways before it leave; what none finds is in main."""
    pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK of OpenTelemetry is not installed")
    project.pytester.makeini(RULES)
    project.pytester.makeconftest((project.pytester.path / "conftest.py").read_text() + AGENT)
    project.write("""
import conftest

SYSTEM = [{"role": "system", "content": "Be kind.\\nTurn the answer into JSON, please."}]

@token_budget("off")
def test_agent(ask, span):
    with span("researcher"):
        with stage("code"):
            ask(model="gpt-router-1")
            conftest.agent(ask)
        conftest.NODES[0](ask, model="gpt-router-1")
        ask(model="gpt-router-1")
        ask(messages=SYSTEM)
        ask(model="gpt-hook")
        ask()
    ask()
    with span("a/b*c"):
        ask()
""")
    project.run().assert_outcomes(passed=1)
    assert [call["stage"] for call in project.test["calls"]] == [
        "code",
        "code/named",
        "named",
        "router",
        "finalize",
        "hooked/deep",
        "researcher",
        "main",
        "a_b_c",
    ]


def test_a_hook_that_gives_no_stage_is_told(project: Any) -> None:
    """A name that no report could carry fails the test with what was wrong and nothing of ours around it."""
    project.pytester.makeconftest(
        (project.pytester.path / "conftest.py").read_text() + "\ndef pytest_tokenbudget_stage(call): return 'a=b'\n"
    )
    project.write('@token_budget("off")\ndef test_agent(ask):\n    ask()\n')
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pytest_tokenbudget_stage: a stage cannot be called 'a=b'*"])
    result.stdout.no_fnmatch_line("*pytest_tokenbudget/*.py*")


def test_a_rule_without_effect_is_told(project: Any) -> None:
    """A slip in the name of a function is said with the test."""
    project.pytester.makeini(RULES.replace("conftest.agent", "conftest.agnet"))
    project.write('@token_budget("off")\ndef test_agent(ask):\n    ask()\n')
    project.run("-v").stdout.fnmatch_lines(["*function:conftest.agnet has no effect: conftest has no 'agnet'*"])
