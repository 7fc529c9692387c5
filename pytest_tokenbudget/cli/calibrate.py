"""``tokenbudget calibrate``: records several sessions of the baseline now, one after another."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.errors import CalibrationError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.processes.fresh_pytest import Wanted, own_environment, run_pytest
from pytest_tokenbudget.processes.interrupts import Interrupted, interruptible
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.report.figures import number, unit_of
from pytest_tokenbudget.report.table import aligned
from pytest_tokenbudget.wording import counted, plain

if TYPE_CHECKING:
    from rich.progress import Progress


INTERVAL_S = 60.0
"""s between the starts of two sessions: long enough for new connections and other machines of the provider, short enough to
wait for."""

_SHOWN = ("input_tokens", "output_tokens", "calls", "measured_latency")
_WRITING = ("--tokenbudget", "--tokenbudget-ratchet", "--tokenbudget-accept", "--tokenbudget-reference")
HONEST = (
    "These sessions are minutes apart: they show how answers vary, and nothing of how a provider is faster or slower from"
    " day to day. For that let `tokenbudget calibrate -n 1 --same-code` run once a day for a week (docs: samples)."
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "tokenbudget calibrate [-n 5] [options] -- [PYTEST ARGS]"
    parser.epilog = (
        "example: tokenbudget calibrate -n 5 --interval 120 -- tests/test_desk.py. Exit codes: 0 recorded, 1 a test failed, "
        "2 nothing can be recorded; 130 interrupted: whole sessions are kept."
    )
    parser.add_argument("-n", "--sessions", type=int, default=5, metavar="N", help="sessions to record (default: 5)")
    parser.add_argument(
        "--interval",
        type=float,
        default=INTERVAL_S,
        metavar="SECONDS",
        help="least time between the starts of two sessions (default: %(default)g)",
    )
    parser.add_argument("--samples", type=int, metavar="N", help="samples of each test in a session (default: its own)")
    parser.add_argument(
        "--same-code", action="store_true", help="the code is that of the baseline: keep its sessions, whatever differs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _run(arguments: argparse.Namespace) -> int:
    recorded = _Recorded()
    try:
        with interruptible():
            return _calibrate(arguments, recorded)
    except Interrupted as interrupted:
        of = f"{recorded.sessions} of {counted(arguments.sessions, 'session')}"
        print(f"tokenbudget calibrate: interrupted; {of} recorded, and kept", file=sys.stderr)
        return interrupted.exit_code


@dataclass(slots=True)
class _Recorded:
    """The sessions that were recorded so far."""

    sessions: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)

    def add(self, seen: Transcript) -> None:
        """Take a session that is whole."""
        self.sessions += 1
        for nodeid, result in seen.results.items():
            live = [sample for sample in result.samples if sample.traffic == "live"]
            if live and result.played is None:
                self.samples.setdefault(nodeid, []).extend(live)
                self.files.setdefault(result.baseline_file)


def _calibrate(arguments: argparse.Namespace, recorded: _Recorded) -> int:
    _check(arguments)
    tests = _collected(arguments.passed_on)
    with _bar(arguments.sessions) as bar:
        for number in range(1, arguments.sessions + 1):
            began = time.monotonic()
            bar.show(f"session {number} is running")
            seen = _record(arguments, tests, same_code=number > 1 or arguments.same_code)
            recorded.add(seen)
            bar.show("", done=1)
            bar.tell(f"session {number} of {arguments.sessions}: {_said(seen)}")
            if seen.exit_code:
                bar.tell(_failures(seen))
                return 1
            if not recorded.samples:
                bar.tell("no test has live traffic: what is replayed or scripted is exact, one session is all there is")
                return 0
            if number < arguments.sessions:
                bar.wait(began + arguments.interval - time.monotonic())
    _conclude(arguments, recorded)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.sessions < 1 or arguments.interval < 0 or (arguments.samples is not None and arguments.samples < 1):
        raise CalibrationError(
            "at least one session, an interval of 0 s or more and one sample are needed", remedy="-n 5 --interval 60"
        )
    for text in arguments.passed_on:
        if text.partition("=")[0] in _WRITING:
            raise CalibrationError(
                f"{text}: calibrating is a series of --tokenbudget-update", remedy=f"leave out {text.partition('=')[0]}"
            )


def _collected(passed_on: Sequence[str]) -> list[str]:
    """Node ids of the tests with a budget."""
    seen = run_pytest(passed_on, Wanted(None), place=Path.cwd(), environment=own_environment())
    tests = [nodeid for nodeid, marked in seen.collected.items() if marked]
    if not tests:
        said = f":\n{seen.output}" if seen.exit_code else ""
        raise CalibrationError(
            f"pytest collects no test with a budget (exit code {seen.exit_code}){said}",
            remedy="mark one with token_budget, and name its file after `--`",
        )
    return tests


def _record(arguments: argparse.Namespace, tests: Sequence[str], *, same_code: bool) -> Transcript:
    """Run a session whose figures are stored."""
    samples = () if arguments.samples is None else (f"--tokenbudget-samples={arguments.samples}",)
    wanted = Wanted(tests, records=True, same_code=same_code)
    seen = run_pytest((*arguments.passed_on, *samples), wanted, place=Path.cwd(), environment=own_environment())
    if seen.exit_code not in (0, 1):
        raise CalibrationError(
            f"pytest ended with exit code {seen.exit_code}:\n{seen.output}",
            remedy="make `pytest --tokenbudget-update` work",
        )
    return seen


class _Bar:
    """A progress bar on standard error, on terminals only; lines are written above it."""

    def __init__(self, progress: Progress, sessions: int) -> None:
        self._progress = progress
        self._task = progress.add_task("calibrate", total=sessions, now="")

    def show(self, now: str, *, done: int = 0) -> None:
        """Show what is going on, and that so many more sessions are done."""
        self._progress.update(self._task, advance=done, now=now)
        self._progress.refresh()

    def tell(self, line: str) -> None:
        """Write a line."""
        from rich.text import Text

        self._progress.console.print(Text(line), soft_wrap=True)

    def wait(self, seconds: float) -> None:
        """Wait for the next session, and show for how long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.show(f"next session in {left:.0f} s")
            time.sleep(min(1.0, left))


@contextmanager
def _bar(sessions: int) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", markup=False),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        yield _Bar(progress, sessions)


def _said(seen: Transcript) -> str:
    calls = sum(
        len(sample.calls) for result in seen.results.values() for sample in (*result.samples, *result.discarded)
    )
    return f"{counted(len(seen.results), 'test')}, {counted(calls, 'call')}, {seen.seconds:.1f} s"


def _failures(seen: Transcript) -> str:
    names = ", ".join(plain(nodeid) for nodeid in seen.failures) or "pytest"
    return f"stopped: {names} failed, and no more is spent:\n{seen.output}"


def _conclude(arguments: argparse.Namespace, recorded: _Recorded) -> None:
    """Show how the figures vary, and what the sessions are good for."""
    ranges = {
        nodeid: {name: _range(samples, name) for name in _SHOWN} for nodeid, samples in sorted(recorded.samples.items())
    }
    if arguments.json:
        tests = {nodeid: {"samples": len(recorded.samples[nodeid]), **found} for nodeid, found in ranges.items()}
        print(json.dumps({"sessions": recorded.sessions, "tests": tests}, indent=2))
        return

    print("\n".join(_table(ranges)))
    files = ", ".join(sorted(shown_path(Path(file), Path.cwd()) for file in recorded.files))
    print(
        f"recorded {counted(recorded.sessions, 'session')} in {files}; commit {'it' if len(recorded.files) == 1 else 'them'}"
    )
    print(HONEST)


def _range(samples: Sequence[Sample], name: str) -> tuple[float, float] | None:
    """Least and largest value of a metric of the whole test."""
    values = [value for sample in samples if (value := sample.total.get(name)) is not None]
    return (min(values), max(values)) if values else None


def _table(ranges: dict[str, dict[str, tuple[float, float] | None]]) -> list[str]:
    def cell(name: str, found: tuple[float, float] | None) -> str:
        if found is None:
            return "-"
        least, most = (number(value, unit_of(name)) for value in found)
        return least if least == most else f"{least} to {most}"

    rows = [
        (plain(nodeid.rpartition("::")[2] or nodeid, limit=34), *(cell(name, found[name]) for name in _SHOWN))
        for nodeid, found in ranges.items()
    ]
    headers = ("test", "input", "output", "calls", "measured")
    return aligned(rows, "lrrrr", headers)


CALIBRATE = Command(
    "calibrate",
    "record several sessions of the baseline now, so that gates on what varies can decide",
    _arguments,
    _run,
    True,
)
