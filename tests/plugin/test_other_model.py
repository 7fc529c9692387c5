"""A model or a provider that changed: its numbers are not those of the one that the baseline was measured with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.compare.decide import answered_by_others
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.sample import Sample

TEST = """
@token_budget("10%")
def test_agent(ask):
    ask("hello there", model={model!r})
"""


@pytest.fixture
def moved(project: Any) -> Any:
    """A project whose baseline is of another model than its test uses by now."""
    project.write(TEST.format(model="gpt-4o"))
    project.run().assert_outcomes(passed=1)
    project.write(TEST.format(model="gpt-4o-mini"))
    return project


def test_another_model_is_not_compared(moved: Any) -> None:
    """At a desk nothing is gated, and the run says so without being asked; an update replaces what is stored."""
    result = moved.run()
    result.assert_outcomes(passed=1)
    assert {gate["verdict"] for gate in moved.test["gates"]} == {"inconclusive"}
    result.stdout.fnmatch_lines(["*the model changed from gpt-4o to gpt-4o-mini: not compared; *--tokenbudget-update*"])
    moved.run("--tokenbudget-strict").assert_outcomes(failed=1)
    moved.run("--tokenbudget-update").assert_outcomes(passed=1)
    moved.run()
    assert moved.gate("input_tokens")["verdict"] == "ok"


def test_another_model_has_no_baseline_in_ci(moved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a missing baseline fails, so does one of another model: no gate is silently off."""
    monkeypatch.setenv("CI", "true")
    result = moved.run()
    result.assert_outcomes(failed=1)
    assert moved.test["verdict"] == "no_baseline"
    result.stdout.fnmatch_lines(["*NO BASELINE: the model changed from gpt-4o to gpt-4o-mini*--tokenbudget-update*"])


def test_a_provider_is_another_one_where_none_is_the_same() -> None:
    """One of several is enough to compare; unknown ones are no change."""
    call = Call(provider="azure", model="m", api="openai.chat", stage="main", status=200)
    composed = StageComposition(calls=1, models=("m",))
    sample = Sample(calls=(call,), composition={"main": composed})
    entry = BaselineEntry(composition=sample.composition, models=("m",), providers=("openai",))
    assert answered_by_others(entry, [sample]) == "the provider changed from openai to azure"
    assert not answered_by_others(replace(entry, providers=("azure", "openai")), [sample])
    assert not answered_by_others(replace(entry, providers=()), [sample])
