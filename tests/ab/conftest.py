"""Two sides whose processes are made up: what they measure is said by the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_tokenbudget.ab import interleave
from pytest_tokenbudget.ab.arms import Arm
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample, Traffic
from pytest_tokenbudget.records.verdict import TestResult

BASE = Arm("main (1a2b3c4)", Path("base"), (), {})
HEAD = Arm("the working tree", Path("head"), (), {})

Measure = Callable[[str, bool], Sample]
"""From a test and whether it is the head's to what a run measures."""


class Sides:
    """The two sides; ``runs`` is who ran which tests."""

    arms = (BASE, HEAD)

    def __init__(self) -> None:
        self.runs: list[tuple[str, tuple[str, ...]]] = []
        self.budget = Budget()
        self.measure: Measure = lambda nodeid, head: self.sampled()
        self.said: list[str] = []

    def sampled(
        self,
        *,
        latency: float = 1.0,
        input_tokens: int = 1000,
        traffic: Traffic = "live",
        outcome: str = "done",
        calls: int = 1,
    ) -> Sample:
        """A sample with one call, or some that are equal."""
        figures = {
            "input_tokens": input_tokens,
            "output_tokens": 10,
            "calls": 1,
            "failed_attempts": 0,
            "latency": latency,
            "measured_latency": latency,
        }
        call = Call(
            stage="main",
            provider="openai",
            api="openai.chat",
            model="m",
            status=200,
            latency=latency,
            usage=Usage(input_tokens, 10),
            input_source="provider",
            output_source="provider",
        )
        return Sample(
            calls=(call,) * calls,
            pooled={"": {"call_latency": (latency,) * calls}, "main": {"call_latency": (latency,) * calls}},
            total=dict(figures),
            stages={"main": dict(figures)},
            traffic=traffic,
            outcomes={"is": outcome},
        )

    def sample(self, arm: Arm, tests: Sequence[str]) -> Transcript:
        """Instead of a process."""
        self.runs.append(("B" if arm is HEAD else "A", tuple(tests)))
        results = {
            nodeid: TestResult(nodeid, "ok", samples=(self.measure(nodeid, arm is HEAD),), budget=self.budget)
            for nodeid in tests
        }
        return Transcript(0, "", 1.0, results=results)

    @property
    def order(self) -> str:
        """Who ran, in order: ``ABBA``."""
        return "".join(side for side, _ in self.runs)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Sides:
    """Two sides that measure what ``sides.measure`` says."""
    made = Sides()
    monkeypatch.setattr(interleave, "sample", made.sample)
    return made
