"""The limit that pytest-timeout sets a test: the plugin's own work does not run on it, and sampling stops before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MARGIN = 1.5
"""A further sample is begun where that many times the longest sample so far is left."""


def limit_of(item: pytest.Item) -> TimeLimit | None:
    """The limit of a test whose timer has just been set; ``None`` where its function alone is timed, or nothing."""
    plugin: Any = item.config.pluginmanager.get_plugin("timeout")
    settings: Any = plugin._get_item_settings(item) if hasattr(plugin, "_get_item_settings") else None
    limited = settings is not None and settings.timeout and not settings.func_only
    return TimeLimit(item, settings) if limited else None


class TimeLimit:
    """The time that a test has left.

    Args:
        item: The test.
        settings: pytest-timeout's settings of it.
    """

    def __init__(self, item: pytest.Item, settings: Any) -> None:
        self._item: Any = item
        self._settings = settings
        self._left: float = settings.timeout
        self._since = time.monotonic()
        self._pauses = 0

    def why_no_sample(self, longest: float) -> str:
        """Say why there is no time for one more sample, ``""`` where there is.

        Args:
            longest: Duration of the longest sample so far, s.
        """
        left = self._left if self._pauses else self._left - (time.monotonic() - self._since)
        if left >= MARGIN * longest:
            return ""
        return (
            f"no further sample: of the {self._settings.timeout:g} s that pytest-timeout gives the test"
            f" {left:.3g} s are left; what was measured until then decides"
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the timer run in the meantime, within a pause."""
        pauses = self._pauses
        self._pauses = 0
        self._start()
        try:
            yield
        finally:
            self._stop()
            self._pauses = pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the test's timer in the meantime."""
        if not self._pauses:
            self._stop()
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._start()

    def _start(self) -> None:
        self._since = time.monotonic()
        if self._left <= 0:
            return  # it has ended the test already
        settings = self._settings._replace(timeout=self._left)
        self._item.ihook.pytest_timeout_set_timer(item=self._item, settings=settings)

    def _stop(self) -> None:
        self._left -= time.monotonic() - self._since
        self._item.ihook.pytest_timeout_cancel_timer(item=self._item)
