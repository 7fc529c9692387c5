"""What the terminal says while a test is sampled: which gate is undecided, at what n."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.report.figures import percent, plain


def terminal_encoding() -> str | None:
    """Encoding of what the session prints to, which pytest's capturing hides; a worker's is the same by inheritance."""
    return getattr(sys.__stdout__, "encoding", None)


class Progress:
    """Says on the terminal why a test runs again; silent in workers, in quiet runs and without a terminal reporter."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def say(self, item: pytest.Item, taken: int, undecided: Sequence[GateResult]) -> None:
        """Further samples are about to be taken.

        Args:
            item: The test.
            taken: Samples so far.
            undecided: The gates that ask for them; none where the number of samples was fixed, or they were named before.
        """
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not undecided or self._config.get_verbosity() < 0:
            return
        first = undecided[0]
        others = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
        text = f"{item.name}: {first.metric} {percent(first.change)} undecided{others} at n = {taken}; sampling again"
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            reporter.write_line(plain(text))
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"  {plain(text)}")
