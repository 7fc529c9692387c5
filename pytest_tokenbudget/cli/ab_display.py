"""Shows an A/B run while it runs: a table that is drawn anew on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from pytest_tokenbudget.ab.progress import Look, Progress, look_lines
from pytest_tokenbudget.wording import counted, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

SHOWN_UNDECIDED = 12
"""Undecided gates that the table has room for."""


@dataclass(frozen=True, slots=True)
class PlainLines:
    """Writes a line for whatever happens."""

    write: Callable[[str], None]

    def say(self, line: str) -> None:
        """Write it."""
        self.write(line)

    def begin(self, pair: int, cap: int) -> None:
        """Write nothing: the pair is a line once it is over."""

    def look(self, look: Look) -> None:
        """Write what is undecided."""
        for line in look_lines(look):
            self.write(line)


class LiveTable:
    """Draws the undecided gates anew after each pair."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._look: Look | None = None
        self._running = ""

    def say(self, line: str) -> None:
        """Print a line above the table."""
        from rich.text import Text

        self._live.console.print(Text(plain(line)), soft_wrap=True)

    def begin(self, pair: int, cap: int) -> None:
        """Show which pair is running."""
        self._running = f"pair {pair} of at most {cap} is running"
        self._live.update(self._drawn(), refresh=True)

    def look(self, look: Look) -> None:
        """Show what is undecided."""
        self._look = look
        self._running = ""
        self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        parts: list[RenderableType] = []
        if self._look is not None and self._look.undecided:
            parts.append(gates_table(self._look))
        if self._running:
            parts.append(Spinner("line", Text(self._running)))
        return Group(*parts)


def gates_table(look: Look) -> RenderableType:
    """The undecided gates: estimate, interval, what is allowed, and how many pairs may follow."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = (
        f"after {counted(look.pair, 'pair')}: {counted(look.decided, 'gate')} decided,"
        f" {look.waiting} of {counted(look.tests, 'test')} undecided"
    )
    table = Table(box=SIMPLE_HEAD, title=Text(title), title_justify="left")
    for name in ("test", "metric"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("estimate", "between", "rule", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    for gate in look.undecided[:SHOWN_UNDECIDED]:
        cells = (gate.test, gate.metric, gate.estimate, gate.interval or "-", gate.rule, f">= {gate.more} more")
        table.add_row(*map(Text, cells))
    if len(look.undecided) > SHOWN_UNDECIDED:
        table.caption = Text(f"and {counted(len(look.undecided) - SHOWN_UNDECIDED, 'gate')} more")
    return table


@contextmanager
def progress_display(stream: TextIO | None = None) -> Iterator[Progress]:
    """Show progress on standard error: drawn anew where it is a terminal, as plain lines elsewhere."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainLines(lambda line: print(line, file=stream, flush=True))
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), transient=True, refresh_per_second=8) as live:
        yield LiveTable(live)
