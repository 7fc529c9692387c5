"""The fixtures. Their bodies import what they need when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_tokenbudget.plugin.footprints import Footprints
    from pytest_tokenbudget.plugin.running import BudgetRecord
    from pytest_tokenbudget.replay.scenario import Scenario
    from pytest_tokenbudget.replay.script import ScriptedModel


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> BudgetRecord:
    """The record of the running sample: ``budget.calls``, ``budget.total("worker.input_tokens")``, ``budget.outcome``."""
    from pytest_tokenbudget.plugin.running import BudgetRecord
    from pytest_tokenbudget.plugin.session import running_sample

    return BudgetRecord(running_sample(request.node))


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Runs a conversation of several turns against an agent and keeps each turn's numbers."""
    from pytest_tokenbudget.plugin.fixture_values import scenario_for

    return scenario_for(request)


@pytest.fixture
def scripted_llm(request: pytest.FixtureRequest) -> Iterator[ScriptedModel]:
    """A scripted model that answers every model call of the test in process."""
    from pytest_tokenbudget.plugin.fixture_values import scripted_model_for

    with scripted_model_for(request) as model:
        yield model


@pytest.fixture
def footprint(request: pytest.FixtureRequest) -> Footprints:
    """Measures the tokens of tools, prompts, files and MCP servers, without a model."""
    from pytest_tokenbudget.plugin.fixture_values import footprints_for

    return footprints_for(request)
