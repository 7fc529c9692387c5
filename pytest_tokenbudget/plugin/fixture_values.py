"""What the fixtures ``scenario`` and ``scripted_llm`` give; loaded when a test asks for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.plugin.footprints import Footprints
from pytest_tokenbudget.plugin.run import run_key
from pytest_tokenbudget.plugin.traffic import left_over, scripted_model
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.scenario import Scenario
from pytest_tokenbudget.replay.script import ScriptedModel
from pytest_tokenbudget.tokens.counter import Counter


def scenario_for(request: pytest.FixtureRequest) -> Scenario:
    """The ``scenario`` fixture: each turn is kept with the running sample, if there is one."""
    run = request.node.stash.get(run_key, None)
    running = run.running if run is not None else None
    directory = request.path.parent
    return Scenario(directory=directory) if running is None else Scenario(running.turn, directory=directory)


def footprints_for(request: pytest.FixtureRequest) -> Footprints:
    """The ``footprint`` fixture: each footprint becomes a call of the running sample, if there is one."""
    run = request.node.stash.get(run_key, None)
    counter = Counter() if run is None else run.context.reader.counter
    return Footprints(counter, None if run is None else run.running, request.path.parent)


@contextmanager
def scripted_model_for(request: pytest.FixtureRequest) -> Iterator[ScriptedModel]:
    """The ``scripted_llm`` fixture: a script that answers the running sample, or one of its own in an unmarked test."""
    run = request.node.stash.get(run_key, None)
    if run is not None and run.traffic is not None and run.traffic.script is not None:
        yield run.traffic.script
        return
    with VirtualClock() as clock:
        model = scripted_model(clock, Counter())
        with watching(Recorder(clock=clock, answerer=model)):
            yield model
    problem = left_over(model)
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)
