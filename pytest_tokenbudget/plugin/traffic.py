"""Where the model's answers come from in a test: the network, a cassette or a script; and by which clock it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_tokenbudget.capture.answer import Answerer
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.plugin.workshop import Workshop
from pytest_tokenbudget.records.gate import Budget

if TYPE_CHECKING:
    from pytest_tokenbudget.replay.scenario import Scenario
    from pytest_tokenbudget.replay.script import ScriptedModel


@dataclass(slots=True)
class Traffic:
    """Where the answers of one sample come from."""

    clock: Callable[[], float] = time.perf_counter
    answerer: Answerer | None = None

    def own_time(self, wall: float) -> float | None:
        """s of the agent's own code where the clock is a projection, else ``None``."""
        return None if self.answerer is None else wall

    def divergence(self) -> TokenBudgetError | None:
        """Why the run no longer fits its cassette, ``None`` where it does."""
        return None


@contextmanager
def traffic_for(item: pytest.Item, budget: Budget, workshop: Workshop) -> Iterator[Traffic]:
    """The traffic of one sample."""
    yield Traffic()


def scenario_for(request: pytest.FixtureRequest) -> Scenario:
    """The ``scenario`` fixture."""
    raise NotImplementedError


@contextmanager
def scripted_model_for(request: pytest.FixtureRequest) -> Iterator[ScriptedModel]:
    """The ``scripted_llm`` fixture."""
    raise NotImplementedError
    yield
