"""The tests of a suite by stage: what the finders of advice look through."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tokenbudget.records.advice import CallEvidence, PartEvidence, StageEvidence, TestEvidence


def stage_paths(tests: Sequence[TestEvidence]) -> list[str]:
    """Paths of all stages that any test opens, sorted."""
    return sorted({stage.stage for test in tests for stage in test.stages})


def tests_of_stage(
    tests: Sequence[TestEvidence], path: str
) -> list[tuple[TestEvidence, StageEvidence, list[CallEvidence]]]:
    """The tests that open a stage, with the stage's parts and its own successful calls."""
    found = []
    for test in tests:
        for stage in test.stages:
            calls = [call for call in test.calls if call.stage == path and not call.failed]
            if stage.stage == path and calls:
                found.append((test, stage, calls))
    return found


def schemas_of(stage: StageEvidence) -> list[PartEvidence]:
    """The schemas of the tools that a stage offers."""
    return [part for part in stage.parts if part.part == "tools"]


def mean_input_price(calls: Sequence[CallEvidence]) -> float | None:
    """USD for one token of uncached input, the mean over calls; ``None`` where any is unknown."""
    prices = [call.input_price for call in calls if call.input_price is not None]
    return sum(prices) / len(prices) if prices and len(prices) == len(calls) else None


def worth(tokens: int, price: float | None) -> float | None:
    """USD of tokens; ``None`` where no price is known."""
    return None if price is None else tokens * price


def percent_of(part: float, whole: float) -> str:
    """A share as ``43%``."""
    return f"{part / whole:.0%}" if whole else "0%"
