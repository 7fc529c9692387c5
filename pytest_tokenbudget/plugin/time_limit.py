"""The limit that pytest-timeout sets a test: the plugin's own work does not run on it, and sampling stops before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MARGIN = 1.5
"""A further sample is begun where that many times the longest sample so far is left."""


class TimeLimit:
    """The time that a test has left; without pytest-timeout, or where it times the test's function alone, no limit.

    Args:
        item: The test, whose timer has just been set.
    """

    def __init__(self, item: pytest.Item) -> None:
        plugin: Any = item.config.pluginmanager.get_plugin("timeout")
        settings: Any = plugin._get_item_settings(item) if hasattr(plugin, "_get_item_settings") else None
        limited = settings is not None and settings.timeout and not settings.func_only
        self.seconds: float | None = settings.timeout if limited else None
        self._item: Any = item
        self._settings = settings
        self._left = self.seconds or 0.0
        self._since = time.monotonic()
        self._pauses = 0

    @property
    def left(self) -> float | None:
        """Seconds until the test is ended, ``None`` where nothing ends it."""
        if self.seconds is None:
            return None
        return self._left if self._pauses else self._left - (time.monotonic() - self._since)

    def allows(self, seconds: float) -> bool:
        """Tell whether there is time for one more sample.

        Args:
            seconds: Duration of the longest sample so far.
        """
        return self.left is None or self.left >= MARGIN * seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the timer run in the meantime, within a pause."""
        pauses = self._pauses
        if self.seconds is None or not pauses:
            yield
            return
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
        if self.seconds is None:
            yield
            return
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
