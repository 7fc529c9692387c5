"""The built-in formats, metrics, reports and store, registered through the hooks that a user's conftest.py uses.

They come last, so that whatever a project adds is asked first.

Import what is in this module, not the module from its package: in a session inside a session (pytester) the package stays
while its modules are imported anew, and would still hold the module of the session before.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_tokenbudget.baselines.store import BaselineStore, JsonStore
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, MetricSpec
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, Writer

NAME = "tokenbudget-builtins"


class Builtins:
    """What the plugin brings along."""

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_wire_formats(self) -> list[WireFormat]:
        """Every API in ``providers/``."""
        return list(builtin_formats())

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_metrics(self) -> list[MetricSpec]:
        """The table of metrics."""
        return list(BUILTIN_METRICS)

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_baseline_store(self) -> BaselineStore:
        """JSON files beside the tests."""
        return JsonStore()

    @pytest.hookimpl(trylast=True)
    def pytest_tokenbudget_report_formats(self) -> Mapping[str, Writer]:
        """The reports in ``report/``."""
        return BUILTIN_FORMATS


def register_builtins(config: pytest.Config) -> None:
    """Register them, once a session."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(Builtins(), NAME)
