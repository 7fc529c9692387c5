"""The project's settings and hooks for a command that runs no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.options import read_settings

_OWN_PLUGIN = "tokenbudget"


class _StopAtSettings:
    """Takes pytest's configuration when ini file and conftest.py have been read, and ends pytest there."""

    config: pytest.Config | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Keep the configuration; nothing is collected."""
        self.config = config
        return 0


def project_context(place: Path) -> SessionContext:
    """Read the ini file and the conftest.py that hold for a test file or folder, as pytest does.

    Raises:
        TokenBudgetError: If they cannot be read or a setting is not understood.
    """
    stop = _StopAtSettings()
    pytest.main([str(place), "-p", "no:cacheprovider"], plugins=[stop])
    if stop.config is None or not stop.config.pluginmanager.has_plugin(_OWN_PLUGIN):
        raise SettingsError(
            f"{place}: pytest cannot read the project's settings, or does not load this plugin",
            remedy=f"see what it says: pytest --collect-only {place}",
        )
    return SessionContext.build(stop.config, read_settings(stop.config))
