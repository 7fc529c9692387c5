"""How a user's code is typed: mypy reads this file with the package's own (`make lint`), pytest does not run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import pytest

from pytest_tokenbudget import (
    BudgetExceeded,
    BudgetRecord,
    Scenario,
    ScriptedModel,
    TokenBudgetError,
    stage,
    token_budget,
)
from pytest_tokenbudget.compare import judge
from pytest_tokenbudget.records.call import Call


@token_budget("10%", limit={"cost": "$0.02", "worker.latency.p95": "30s"}, stop_at={"calls": 20})
def test_fixtures(budget: BudgetRecord, scenario: Scenario, scripted_llm: ScriptedModel) -> None:
    assert_type(budget.calls, tuple[Call, ...])
    assert_type(budget.total("worker.input_tokens"), float | int | None)
    budget.outcome("booked", ["lunch"])
    assert_type(scripted_llm.base_url, str)
    assert_type(scripted_llm.add("done", stage="worker"), ScriptedModel)


@token_budget({"default": "10%", "worker.calls": "+1"}, reduce={"worker.input_tokens": "30%"}, against="before")
async def test_coroutine(budget: BudgetRecord) -> None:
    """A coroutine function stays one."""


@pytest.mark.token_budget
@token_budget
class TestAgent:
    """A class stays the class that it is."""

    def test_it(self) -> None: ...


@stage("worker")
def plain(question: str, *, tries: int = 1) -> int:
    return len(question) * tries


@stage("worker")
async def coroutine(question: str) -> int:
    return len(question)


@stage("worker")
def generator(question: str) -> Iterator[str]:
    yield question


@stage("worker")
async def async_generator(question: str) -> AsyncIterator[str]:
    yield question


async def stages_keep_signatures() -> None:
    assert_type(plain("a", tries=2), int)
    assert_type(await coroutine("a"), int)
    assert_type(generator("a"), Iterator[str])
    assert_type(async_generator("a"), AsyncIterator[str])
    plain(1)  # type: ignore[arg-type]  # a wrong argument is seen through the decorator
    with stage("worker"):
        pass


def errors_are_one_tree(error: BudgetExceeded) -> TokenBudgetError:
    return error


def statistics_are_public() -> None:
    judged = judge([[1.0, 1.1], [0.9]], [1.5, 1.6, 1.4], max_increase="20%", kind="latency", paired_run=False)
    assert_type(judged.ratio, float)
    assert_type(judged.lower, float)
    assert_type(judged.upper, float)
    assert_type(judged.detectable, float)
