"""Where the model's answers come from in a test: the network, a cassette or a script; and by which clock it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_tokenbudget.capture.local_answer import Answerer
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.tape import Tape, cassette_of
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.tokens.counter import Counter

if TYPE_CHECKING:
    from pytest_tokenbudget.replay.clock import VirtualClock
    from pytest_tokenbudget.replay.script import ScriptedModel

SCRIPT_FIXTURE = "scripted_llm"


@dataclass(slots=True)
class Traffic:
    """Where the answers of one sample come from.

    Attributes:
        clock: The sample's clock, s: the real one, or a projection.
        answerer: Who answers instead of the network, if anybody does.
        virtual: The clock where it is a projection.
        script: The scripted model that answers, if one does.
        tape: The cassette, if there is one.
        notes: What a reader of the projected times should know.
        problems: Asked when the test's body has ended: why the run does not fit its answers, ``None`` where it does.
    """

    clock: Callable[[], float] = time.perf_counter
    answerer: Answerer | None = None
    virtual: VirtualClock | None = None
    script: ScriptedModel | None = None
    tape: Tape | None = None
    notes: Callable[[], tuple[str, ...]] = tuple
    problems: list[Callable[[], TokenBudgetError | None]] = field(default_factory=list)

    def own_time(self, wall: float) -> float | None:
        """s of the agent's own code where the clock is a projection, else ``None``.

        Args:
            wall: Real s that the call phase took.
        """
        return None if self.virtual is None else wall

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Where time is projected, chance is the same in every run too: clients wait for a random time before they retry."""
        if self.virtual is None:
            yield
            return
        import random

        before = random.getstate()
        random.seed(0)
        try:
            yield
        finally:
            random.setstate(before)

    def divergence(self) -> TokenBudgetError | None:
        """Why the run does not fit its answers, ``None`` where it does."""
        return next((problem for ask in self.problems if (problem := ask()) is not None), None)


@contextmanager
def traffic_for(
    item: pytest.Item, budget: Budget, context: SessionContext, *, recorded: bool = False
) -> Iterator[Traffic]:
    """The traffic of one sample.

    Args:
        item: The test.
        budget: What its markers say.
        context: The session's tools.
        recorded: Whether this run has recorded the test's cassette already, and so plays it.
    """
    if SCRIPT_FIXTURE in getattr(item, "fixturenames", ()):
        from pytest_tokenbudget.replay.clock import VirtualClock

        with VirtualClock(scale=context.settings.time_scale) as clock:
            model = scripted_model(clock, context.reader.counter, context.reader.formats)
            yield Traffic(clock, model, virtual=clock, script=model, problems=[lambda: left_over(model)])
        return
    tape = cassette_of(item, budget, context.settings, recorded=recorded)
    if tape is None or tape.records:
        yield Traffic(tape=tape)
        return
    from pytest_tokenbudget.replay.clock import VirtualClock
    from pytest_tokenbudget.replay.player import Player
    from pytest_tokenbudget.replay.secrets import compile_patterns

    with VirtualClock(scale=context.settings.time_scale) as clock:
        reader = context.reader
        patterns = compile_patterns(context.settings.redact)
        player = Player(tape.path, clock=clock, formats=reader.formats, counter=reader.counter, patterns=patterns)
        yield Traffic(clock, player, virtual=clock, tape=tape, problems=[player.problem], notes=player.notes)


def scripted_model(clock: VirtualClock, counter: Counter, formats: Sequence[WireFormat] | None = None) -> ScriptedModel:
    """A script without answers yet, whose usage is counted."""
    from pytest_tokenbudget.replay.script import ScriptedModel

    def count(prompt: Prompt, provider: str) -> int:
        return counter.count_prompt(prompt, provider=provider).tokens

    def count_text(provider: str, model: str, text: str) -> int:
        return counter.count_output(text, provider=provider, model=model).tokens

    return ScriptedModel(clock=clock, count=count, count_text=count_text, formats=formats)


def left_over(model: ScriptedModel) -> TokenBudgetError | None:
    """What went wrong with a script, or was left of it; ``None`` where nothing was."""
    return model.failures[0] if model.failures else model.unconsumed()
