"""The pytest plugin.

This module is imported in every session, so it imports nothing that a session without a marked test does not need;
the work begins in ``session.py`` (where tests run) and in ``controller.py`` (where their results meet).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.plugin.controller import Controller, as_text
from pytest_tokenbudget.plugin.fixtures import budget, footprint, llm_proxy, scenario, scripted_llm
from pytest_tokenbudget.plugin.options import add_options
from pytest_tokenbudget.settings import MARKER, marker_signature

__all__ = ["budget", "footprint", "llm_proxy", "scenario", "scripted_llm"]

MARKER_HELP = "fail the test when its model calls get more expensive or slower than its baseline."


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


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
    """Register the marker, and where this is not a worker of pytest-xdist the controller."""
    config.addinivalue_line("markers", f"{marker_signature()}: {MARKER_HELP}")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config), "tokenbudget-controller")
    # Not in a pytest that a test of the project starts itself.
    if "TOKENBUDGET_ARM" in os.environ and "PYTEST_CURRENT_TEST" not in os.environ:
        from pytest_tokenbudget.plugin.arm import ArmSide

        config.pluginmanager.register(ArmSide(config, Path(os.environ["TOKENBUDGET_ARM"])), "tokenbudget-arm")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Wake the plugin up where a collected test carries the marker."""
    if any(item.get_closest_marker(MARKER) is not None for item in items):
        from pytest_tokenbudget.plugin.session import activate

        activate(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: Any) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Measurements travel on the test report, as plain data."""
    data = yield
    text = as_text(report)
    if data is not None and text is not None:
        data["tokenbudget"] = text
    return data


@pytest.hookimpl(wrapper=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> Generator[None, Any, Any]:
    """And become a result again where they arrive."""
    report = yield
    if report is not None and "tokenbudget" in data:
        report.tokenbudget = data["tokenbudget"]
    return report
