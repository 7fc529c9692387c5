"""What the terminal says while a test is sampled again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.report.figures import percent
from pytest_tokenbudget.wording import plain


def tell_undecided(item: pytest.Item, taken: int, undecided: Sequence[GateResult]) -> None:
    """Say on the terminal why a test runs again; nothing in workers and in quiet runs.

    Args:
        item: The test.
        taken: Samples so far.
        undecided: The gates that ask for further ones.
    """
    manager = item.config.pluginmanager
    reporter = manager.get_plugin("terminalreporter")
    if reporter is None or item.config.get_verbosity() < 0:
        return
    first = undecided[0]
    others = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
    text = f"{item.name}: {first.metric} {percent(first.change)} undecided{others} at n = {taken}; sampling again"
    capture = manager.get_plugin("capturemanager")
    if capture is None:
        reporter.write_line(plain(text))
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(f"  {plain(text)}")
