"""The fixtures. Their bodies import what they need when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.proxy.llm_proxy import LlmProxy
    from pytest_tokenbudget.plugin.budget_record import BudgetRecord
    from pytest_tokenbudget.plugin.footprints import Footprints
    from pytest_tokenbudget.plugin.run import TestRun
    from pytest_tokenbudget.replay.scenario import Scenario
    from pytest_tokenbudget.replay.script import ScriptedModel


def _run_of(request: pytest.FixtureRequest) -> TestRun | None:
    """The run that a fixture belongs to, ``None`` where the test is not marked."""
    from pytest_tokenbudget.plugin.run import run_key

    run: TestRun | None = request.node.stash.get(run_key, None)
    return run


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> BudgetRecord:
    """The record of the running sample: ``budget.calls``, ``budget.total("worker.input_tokens")``, ``budget.outcome``."""
    from pytest_tokenbudget.plugin.budget_record import BudgetRecord

    run = _run_of(request)
    return BudgetRecord(None if run is None else run.running)


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Runs a conversation of several turns against an agent and keeps each turn's numbers."""
    from pytest_tokenbudget.replay.scenario import Scenario

    run = _run_of(request)
    directory = request.path.parent
    if run is None or run.running is None:
        return Scenario(directory=directory)
    return Scenario(run.running.turn, directory=directory)


@pytest.fixture
def scripted_llm(request: pytest.FixtureRequest) -> Iterator[ScriptedModel]:
    """A scripted model that answers every model call of the test in process."""
    run = _run_of(request)
    if run is not None and run.traffic is not None and run.traffic.script is not None:
        yield run.traffic.script
        return
    from pytest_tokenbudget.capture.recorder import Recorder
    from pytest_tokenbudget.capture.stage_rules import parse_stage_rules
    from pytest_tokenbudget.capture.watch import watching
    from pytest_tokenbudget.plugin.context import read_settings
    from pytest_tokenbudget.plugin.traffic import scripted_model
    from pytest_tokenbudget.replay.clock import VirtualClock
    from pytest_tokenbudget.tokens.counter import Counter

    rules = parse_stage_rules(read_settings(request.config).stages)
    with VirtualClock() as clock:
        model = scripted_model(clock, Counter(), rules=rules)
        with watching(Recorder(clock=clock, answerer=model), rules=rules):
            yield model
    problem = model.failure() or model.unconsumed()
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)


@pytest.fixture(scope="session")
def llm_proxy() -> Iterator[LlmProxy]:
    """A recording proxy for processes of any language: ``llm_proxy.env()``, ``.url_for("openai")``, ``.environment()``."""
    from pytest_tokenbudget.capture.proxy.llm_proxy import LlmProxy

    with LlmProxy() as proxy:
        yield proxy


@pytest.fixture
def footprint(request: pytest.FixtureRequest) -> Footprints:
    """Measures the tokens of tools, prompts, files and MCP servers, without a model."""
    from pytest_tokenbudget.plugin.footprints import Footprints
    from pytest_tokenbudget.tokens.counter import Counter

    run = _run_of(request)
    counter = Counter() if run is None else run.context.reader.counter
    return Footprints(counter, None if run is None else run.running, request.path.parent)
