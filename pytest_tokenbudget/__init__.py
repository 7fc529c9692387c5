"""pytest-tokenbudget: a test that fails when a change makes an LLM agent more expensive or slower, and that says why.

The names below are the public API. They are loaded when they are first used, so that ``from pytest_tokenbudget import
stage`` in an application costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from pytest_tokenbudget.capture.stage import stage
    from pytest_tokenbudget.errors import BudgetExceeded, TokenBudgetError
    from pytest_tokenbudget.plugin.budget_record import BudgetRecord
    from pytest_tokenbudget.plugin.marker import token_budget
    from pytest_tokenbudget.replay.scenario import Scenario
    from pytest_tokenbudget.replay.script import ScriptedModel

__all__ = [
    "BudgetExceeded",
    "BudgetRecord",
    "Scenario",
    "ScriptedModel",
    "TokenBudgetError",
    "__version__",
    "stage",
    "token_budget",
]

_HOMES = {
    "BudgetExceeded": "pytest_tokenbudget.errors",
    "BudgetRecord": "pytest_tokenbudget.plugin.budget_record",
    "Scenario": "pytest_tokenbudget.replay.scenario",
    "ScriptedModel": "pytest_tokenbudget.replay.script",
    "TokenBudgetError": "pytest_tokenbudget.errors",
    "stage": "pytest_tokenbudget.capture.stage",
    "token_budget": "pytest_tokenbudget.plugin.marker",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pytest-tokenbudget")
        except PackageNotFoundError:
            return "0+source"  # run from a checkout that is not installed, as the GitHub Action does
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    # Not kept here: a session inside a session (pytester) imports the modules anew, and must meet its own.
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
