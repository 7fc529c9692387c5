"""A model or a provider that changed: its numbers are not those of the one that the baseline was measured with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_tokenbudget.compare.other_model import who_answers
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


def test_of_another_model_only_the_cost_is_compared(moved: Any) -> None:
    """At a desk its tokens are not gated, and the run says so without being asked; an update replaces what is stored."""
    result = moved.run()
    result.assert_outcomes(passed=1)
    verdicts = {gate["metric"].rpartition(".")[2]: gate["verdict"] for gate in moved.test["gates"]}
    # One sample shows the lower cost, and does not prove it.
    assert verdicts.pop("cost") == "ok"
    assert set(verdicts.values()) == {"inconclusive"}
    result.stdout.fnmatch_lines(
        ["*the model changed from gpt-4o to gpt-4o-mini: only the cost is compared; *--tokenbudget-update*"]
    )
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


def test_a_dearer_model_fails_a_default_budget(project: Any) -> None:
    """The same tokens at 16 times the price are no matter of opinion, whatever else cannot be compared."""
    project.write(TEST.format(model="gpt-4o-mini"))
    project.run().assert_outcomes(passed=1)
    project.write(TEST.format(model="gpt-4o"))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "regression"
    cost = project.gate("cost")
    assert (cost["verdict"], cost["rule"]) == ("regression", "+10%")
    assert cost["change"] > 10
    result.stdout.fnmatch_lines(["*cost*REGRESSION*"])


def test_one_dear_model_among_several_is_seen(project: Any) -> None:
    """Where one of two models of a stage changed, tokens are compared as ever and the cost too."""
    two = TEST.format(model="gpt-4o-mini") + '    ask("and again", model={!r})\n'
    project.write(two.format("gpt-4.1-nano"))
    project.run().assert_outcomes(passed=1)
    project.write(two.format("gpt-4o"))
    project.run().assert_outcomes(failed=1)
    assert project.gate("input_tokens")["verdict"] == "ok"
    assert project.gate("cost")["verdict"] == "regression"


def test_a_provider_is_another_one_where_none_is_the_same() -> None:
    """One of several is enough to compare; unknown ones are no change."""
    call = Call(provider="azure.ai.openai", model="m", api="openai.chat", stage="main", status=200)
    composed = StageComposition(calls=1, models=("m",))
    sample = Sample(calls=(call,), composition={"main": composed})
    entry = BaselineEntry(composition=sample.composition, models=("m",), providers=("openai",))
    assert who_answers(entry, [sample]).change == "the provider changed from openai to azure.ai.openai"
    assert not who_answers(replace(entry, providers=("azure.ai.openai", "openai")), [sample]).change
    assert not who_answers(replace(entry, providers=()), [sample]).change
