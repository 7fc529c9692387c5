"""A DSPy program with a budget. DSPy asks for fields between markers, so the scripted answers are written that way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("dspy", reason="pip install dspy")

import dspy
from order_desk import OrderDesk, build_model

from pytest_tokenbudget import token_budget
from pytest_tokenbudget.ext import Reply, text


def fields(**values: str) -> Reply:
    """An answer as DSPy's chat adapter expects it."""
    return text("\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**values, "completed": ""}.items()))


@pytest.fixture
def desk(scripted_llm: Any) -> Iterator[OrderDesk]:
    """The program, on the scripted model."""
    with dspy.context(lm=build_model(scripted_llm.base_url)):
        yield OrderDesk()


@token_budget("10%", limit={"help.calls": 3})
def test_finds_an_order(desk: OrderDesk, scripted_llm: Any) -> None:
    scripted_llm.add(fields(kind="order"), stage="sort")
    scripted_llm.add(
        fields(next_thought="I look it up.", next_tool_name="find_order", next_tool_args='{"number": "17"}'),
        fields(next_thought="I know it.", next_tool_name="finish", next_tool_args="{}"),
        fields(reasoning="The order was found.", answer="It was sent on Monday."),
        stage="help",
    )
    assert "Monday" in desk(message="Where is order 17?")
