"""The plugin's side of ``tokenbudget prune`` and ``tokenbudget doctor``: which tests there are, and where their files are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.baselines.paths import baseline_path
from pytest_tokenbudget.plugin.location import plain_nodeid
from pytest_tokenbudget.plugin.options import read_settings
from pytest_tokenbudget.plugin.traffic import cassette_path
from pytest_tokenbudget.settings import MARKER


class CollectedTests:
    """Writes down the tests as they are collected, before any option or plugin deselects some.

    Args:
        config: pytest's configuration.
        write: Takes what was found.
    """

    def __init__(self, config: pytest.Config, write: Callable[..., None]) -> None:
        self._config = config
        self._write = write
        self._files: dict[Path, bool] = {}
        self._items: dict[pytest.Item, None] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """Remember which files pytest looked into; one that is skipped or broken hides its tests."""
        report = yield
        self._files[collector.path] = self._files.get(collector.path, True) and report.passed
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, Any]:
        """Keep all tests, those that an option deselects too."""
        self._items.update(dict.fromkeys(items))
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down all that was seen."""
        self._items.update(dict.fromkeys(session.items))
        settings = read_settings(self._config)
        self._write(
            stored={
                "tests": [_stored(item) for item in self._items],
                "files": [[str(path), complete] for path, complete in self._files.items() if path.is_file()],
                "narrowed": self._narrowed(),
                "patterns": list(self._config.getini("python_files")),
                "redact": list(settings.redact),
                "allow_secret": list(settings.allow_secret),
                "encodings": list(settings.encodings),
                "cassette_limit": settings.cassette_limit,
            }
        )

    def _narrowed(self) -> str:
        """The argument that hid tests while they were collected, ``""`` where none did."""
        if self._config.getoption("lf", False):
            return "--last-failed"
        return next((argument for argument in self._config.args if "::" in argument), "")


def _stored(item: pytest.Item) -> list[str]:
    """The baseline, the key and the cassette of a test."""
    named = next((mark.kwargs["replay"] for mark in item.iter_markers(MARKER) if "replay" in mark.kwargs), None)
    nodeid = plain_nodeid(item)
    return [
        str(baseline_path(item.path)),
        nodeid.partition("::")[2] or nodeid,
        str(cassette_path(item, named if isinstance(named, str) else "")),
    ]
