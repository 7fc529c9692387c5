"""The tests of a suite by stage: what the finders of advice look through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.records.advice import (
    Advice,
    AdviceKind,
    CallEvidence,
    Certainty,
    StageEvidence,
    TestEvidence,
)
from pytest_tokenbudget.records.composition import PartTotal


@dataclass(frozen=True, slots=True)
class Opened:
    """A stage in one test that opens it: its parts, and its own successful calls."""

    test: TestEvidence
    stage: StageEvidence
    calls: Sequence[CallEvidence]

    @property
    def schemas(self) -> list[PartTotal]:
        """The schemas of the tools that the stage offers."""
        return [part for part in self.stage.parts if part.part == "tools"]

    @property
    def called(self) -> set[str]:
        """Names of the tools that the calls call."""
        return {name for call in self.calls for name in call.tool_calls}


@dataclass(frozen=True, slots=True)
class Carried:
    """A part of the input that a test carries, and so many tokens of it that could be saved."""

    nodeid: str
    part: PartTotal
    tokens: int


@dataclass(frozen=True, slots=True)
class SuiteStage:
    """A stage in all tests of a suite that open it."""

    path: str
    opened: tuple[Opened, ...]

    @property
    def calls(self) -> list[CallEvidence]:
        """All its successful calls."""
        return [call for each in self.opened for call in each.calls]

    @property
    def nodeids(self) -> tuple[str, ...]:
        """The tests."""
        return tuple(each.test.nodeid for each in self.opened)

    def carried(self, kind: AdviceKind, carried: Sequence[Carried], sure: Certainty, text: str) -> Advice:
        """Advice that saves tokens of a tool's part of the input."""
        part, tokens = carried[0].part, sum(one.tokens for one in carried)
        tests = [one.nodeid for one in carried]
        return self.saving(kind, tokens, sure, text, tests=tests, part=part.part, name=part.name)

    def saving(
        self,
        kind: AdviceKind,
        tokens: int,
        sure: Certainty,
        text: str,
        *,
        tests: Iterable[str],
        part: str = "tools",
        name: str = "",
        calls: Sequence[CallEvidence] | None = None,
    ) -> Advice:
        """Advice that saves tokens of uncached input, at the mean price of some calls of the stage, by default all."""
        calls = self.calls if calls is None else calls
        prices = [call.input_price for call in calls if call.input_price is not None]
        cost = tokens * (sum(prices) / len(prices)) if prices and len(prices) == len(calls) else None
        return Advice(kind, self.path, part, name, tokens, cost, None, 0.0, sure, text, tuple(tests))

    def note(
        self, kind: AdviceKind, part: str, text: str, tests: Iterable[str], *, seconds: float | None = None
    ) -> Advice:
        """Advice that saves no tokens: time, or nothing by itself."""
        return Advice(kind, self.path, part, "", 0, None, seconds, 0.0, "possible", text, tuple(tests))


def stages_of(tests: Sequence[TestEvidence]) -> Iterator[SuiteStage]:
    """The stages that any test opens, by path."""
    for path in sorted({stage.stage for test in tests for stage in test.stages}):
        opened = [
            Opened(test, stage, [call for call in test.calls if call.stage == path and not call.failed])
            for test in tests
            for stage in test.stages
            if stage.stage == path
        ]
        yield SuiteStage(path, tuple(each for each in opened if each.calls))


def by_name(carried: Iterable[Carried]) -> dict[str, list[Carried]]:
    """Give the schemas that tests carry, by the name of the tool."""
    found: dict[str, list[Carried]] = {}
    for one in carried:
        found.setdefault(one.part.name, []).append(one)
    return found


def percent_of(part: float, whole: float) -> str:
    """A share as ``43%``."""
    return f"{part / whole:.0%}" if whole else "0%"
