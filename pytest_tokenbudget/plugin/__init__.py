"""The pytest plugin.

This module is imported in every session, so it imports nothing that a session without a marked test does not need;
the work begins in ``session.py`` (where tests run) and in ``controller.py`` (where their results meet).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from pytest_tokenbudget.option_table import MARKER, OPTIONS, marker_signature
from pytest_tokenbudget.plugin.fixtures import budget, footprint, llm_proxy, scenario, scripted_llm

__all__ = ["budget", "footprint", "llm_proxy", "scenario", "scripted_llm"]

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "flag": {"action": "store_true"},
    "repeat": {"action": "append"},
    "count": {"type": int},
}
_INI_TYPES: dict[str, Any] = {"lines": "linelist", "flag": "bool"}

_registering: pytest.StashKey[Lock] = pytest.StashKey()
"""Held while the controller is registered: pytest-xdist reads the reports of each worker in a thread of its own."""

MARKER_HELP = "fail the test when its model calls get more expensive or slower than its baseline."


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of the table to the command line and to the ini file."""
    group = parser.getgroup("tokenbudget", "token budgets of LLM agents")
    for option in OPTIONS:
        if option.flag:
            argument: dict[str, Any] = dict(_ARGUMENTS.get(option.kind, {}))
            if option.choices:
                argument["choices"] = option.choices
            elif option.metavar:
                argument["metavar"] = option.metavar
            # The default is None, so that a flag that was not given can be told from one that was: the ini comes next.
            group.addoption(option.flag, dest=f"tokenbudget_{option.field}", default=None, help=option.help, **argument)
        if option.ini:
            parser.addini(option.ini, help=option.help, type=_INI_TYPES.get(option.kind, "string"), default=None)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make the extension points known."""
    from pytest_tokenbudget import hookspecs

    pluginmanager.add_hookspecs(hookspecs)
    _import_as_written(pluginmanager)


def _import_as_written(pluginmanager: pytest.PytestPluginManager) -> None:
    """Keep pytest from rewriting the assertions of this package, as it does with all of a plugin's modules.

    It holds no assertion of a user's, and to compile it anew takes longer than the rest of a small session.
    """
    marked = getattr(pluginmanager.rewrite_hook, "_must_rewrite", None)  # there is no public way back
    if isinstance(marked, set):
        marked.discard("pytest_tokenbudget")
        marked.discard("pytest_tokenbudget.plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and whoever is to act although no test may be marked."""
    config.addinivalue_line("markers", f"{marker_signature()}: {MARKER_HELP}")
    config.stash[_registering] = Lock()
    if config.option.tokenbudget_reports:
        _register_controller(config)
    # Not in a pytest that a test of the project starts itself.
    if "TOKENBUDGET_ARM" in os.environ and "PYTEST_CURRENT_TEST" not in os.environ:
        from pytest_tokenbudget.plugin.arm import ArmSide

        config.pluginmanager.register(ArmSide(config, Path(os.environ["TOKENBUDGET_ARM"])), "tokenbudget-arm")


def _register_controller(config: pytest.Config) -> None:
    """Have results collected, once there are any, where this is not a worker of pytest-xdist."""
    if hasattr(config, "workerinput"):
        return
    with config.stash[_registering]:
        if not config.pluginmanager.has_plugin("tokenbudget-controller"):
            from pytest_tokenbudget.plugin.controller import Controller

            config.pluginmanager.register(Controller(config), "tokenbudget-controller")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Wake the plugin up where a collected test carries the marker."""
    if any(item.get_closest_marker(MARKER) is not None for item in items):
        from pytest_tokenbudget.plugin.session import activate

        _register_controller(config)
        activate(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: Any) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Measurements travel on the test report, as plain data."""
    data = yield
    if data is not None and getattr(report, "tokenbudget", None) is not None:
        from pytest_tokenbudget.plugin.controller import as_text

        data["tokenbudget"] = as_text(report)
    return data


@pytest.hookimpl(wrapper=True)
def pytest_report_from_serializable(config: pytest.Config, data: dict[str, Any]) -> Generator[None, Any, Any]:
    """And become a result again where they arrive."""
    report = yield
    if report is not None and "tokenbudget" in data:
        _register_controller(config)
        report.tokenbudget = data["tokenbudget"]
    return report
