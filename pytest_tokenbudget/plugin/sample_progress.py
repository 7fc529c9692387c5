"""Shows on the terminal that a test runs again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.report.figures import percent, seconds
from pytest_tokenbudget.wording import plain

if TYPE_CHECKING:
    from rich.progress import Progress


class SampleProgress:
    """Says on the terminal why a test runs again, and how far it is: a bar that vanishes, elsewhere a line a batch.

    Workers of pytest-xdist and quiet runs say nothing.

    Args:
        item: The test.
        most: The most samples that it can take.
    """

    def __init__(self, item: pytest.Item, most: int) -> None:
        self._item, self._most = item, most
        self._undecided = ""
        self._bar: Progress | None = None

    def __enter__(self) -> SampleProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            with self._shown():
                self._bar.stop()

    def show(self, taken: int, undecided: Sequence[GateResult], longest_s: float) -> None:
        """Show that another sample is taken.

        Args:
            taken: Samples so far.
            undecided: The gates that ask for further ones, where they were just judged.
            longest_s: How long the longest sample so far took, s.
        """
        config = self._item.config
        reporter = config.pluginmanager.get_plugin("terminalreporter") if config.get_verbosity() >= 0 else None
        if reporter is None:
            return
        if undecided:
            first = undecided[0]
            others = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
            self._undecided = f"{first.metric} {percent(first.change)} undecided{others}"
        with self._shown():
            if reporter.isatty:
                self._draw(reporter, taken, longest_s)
            elif undecided:
                reporter.ensure_newline()
                text = f"{self._item.name}: {self._undecided} at n = {taken}; sampling again"
                reporter.write_line(f"  {plain(text)}")

    def _draw(self, reporter: Any, taken: int, longest_s: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bar is None:
            reporter.ensure_newline()
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}", markup=False),
            )
            # Drawn between samples only: nothing of it runs while a sample is measured.
            self._bar = Progress(
                *columns,
                console=Console(file=reporter._tw._file, soft_wrap=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
            self._bar.add_task("", total=self._most, left="")
        about = f"{plain(self._item.name, limit=30)}: {plain(self._undecided or 'sampling', limit=60)}"
        left = f"{seconds((self._most - taken) * longest_s)} at most"
        self._bar.update(self._bar.task_ids[0], completed=taken, description=about, left=left)
        self._bar.refresh()

    def _shown(self) -> AbstractContextManager[None]:
        """Let what is written through to the terminal."""
        capture = self._item.config.pluginmanager.get_plugin("capturemanager")
        return nullcontext() if capture is None else capture.global_and_fixture_disabled()
