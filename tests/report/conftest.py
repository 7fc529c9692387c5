"""A failing run, as the plugin would report it."""

from __future__ import annotations

import pytest

from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, RunView, TestResult


def _sample() -> Sample:
    figures = {
        "input_tokens": 16020,
        "output_tokens": 310,
        "calls": 4,
        "failed_attempts": 1,
        "latency": 41.2,
        "cost": 0.0123,
    }
    call = Call(
        stage="worker",
        provider="deepseek",
        api="openai.chat",
        model="deepseek-chat",
        status=200,
        started=0.5,
        latency=4.1,
        usage=Usage(4012, 88, 0, 0, 0),
        input_source="provider",
        output_source="provider",
        tool_calls=("calendar_write",),
        finish_reason="tool_call",
        cost=0.0031,
    )
    attempt = Call(stage="worker", provider="deepseek", api="openai.chat", status=429, error="http 429")
    return Sample(
        calls=(attempt, call),
        total=figures,
        stages={"worker": figures},
        unattributed=(Unattributed("api.example.com", "/v9/brain", count=2),),
    )


@pytest.fixture
def failing() -> TestResult:
    """A test whose worker reads more than it may."""
    metric = "worker.input_tokens"
    return TestResult(
        nodeid="tests/test_calendar.py::test_books",
        verdict="regression",
        gates=(
            GateResult("input_tokens", "mean", "+10%", "max_increase", 19000, 19030, "ok", allowed=20900),
            GateResult("worker.cost", "mean", "<= 0.01", "limit", None, 0.0123, "over_limit", allowed=0.01, unit="USD"),
            GateResult(metric, "mean", "+10%", "max_increase", 12410, 16020, "regression", allowed=13651),
        ),
        samples=(_sample(),),
        causes=(
            Cause(
                metric, "worker", "tools", "calendar_write", 3120, "calendar_write 2,310 -> 3,350 in each of 3 calls"
            ),
            Cause(metric, "worker", "calls", "", 490, "4 calls instead of 3"),
        ),
        messages=("outcome 'events' was 1, is 2",),
        failed=True,
        watched=("httpx 0.28.1",),
    )


@pytest.fixture
def run(failing: TestResult) -> RunView:
    """A run with one failing test and one that is new."""
    fine = TestResult(nodeid="tests/test_calendar.py::test_moves", verdict="new", samples=(_sample(),))
    return RunView("0.1.0", "gate", (failing, fine))
