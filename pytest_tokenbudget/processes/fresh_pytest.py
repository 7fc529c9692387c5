"""Runs pytest in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget.processes.interrupts import deferred
from pytest_tokenbudget.processes.transcript import Transcript, read_transcript
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.transport import encode

PLACE = "TOKENBUDGET_ARM"
"""Environment variable: the directory that holds ``wanted.json`` and takes ``transcript.jsonl``."""

OPTIONS = ("--tokenbudget=report", "--tokenbudget-samples=1", "--tokenbudget-missing=fail")
"""Options of the process: measure once, fail nothing by a stored baseline, write none."""

RECORDING = ("--tokenbudget-update",)
"""Options of a process that records a session of the baseline."""

_OF_THIS_PROCESS = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_CURRENT_TEST", "TOKENBUDGET_SPOOL")
"""Variables that would make one of many runs speak for the whole."""

_PATIENCE_S = 5.0
"""The time, s, that pytest may take to tear its fixtures down when it is interrupted."""

_SHOWN_LINES = 40


@dataclass(frozen=True, slots=True)
class Wanted:
    """The task of a process.

    Attributes:
        tests: Node ids of the tests to run; ``None``: all are collected, and none is run.
        own: Root of the tree whose code it runs, ``""`` where no other tree could be mistaken for it.
        other: Root of a tree from which none of its code may come.
        run: What is reported, where it is asked to write reports.
        reports: Absolute paths of these reports.
        stored: Whether to say where the files of each collected test are stored.
        records: Whether it records a session of the baseline, as opposed to measuring once and storing nothing.
        same_code: Whether the code is that of the session which was recorded before, so that what differs is noise.
    """

    tests: Sequence[str] | None
    own: str = ""
    other: str = ""
    run: RunView | None = None
    reports: Sequence[str] = ()
    stored: bool = False
    records: bool = False
    same_code: bool = False


def own_environment() -> dict[str, str]:
    """The environment of this process without what belongs to the session that runs in it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_THIS_PROCESS and not name.startswith("PYTEST_XDIST_")
    }


def run_pytest(arguments: Sequence[str], wanted: Wanted, *, place: Path, environment: Mapping[str, str]) -> Transcript:
    """Run pytest to its end.

    Args:
        arguments: Its arguments.
        wanted: What it is to do.
        place: The directory in which it runs.
        environment: The whole environment.

    Returns:
        What it wrote down.
    """
    with tempfile.TemporaryDirectory(prefix="tokenbudget-arm-") as name:
        files = Path(name)
        told = {name: getattr(wanted, name) for name in ("tests", "own", "other", "reports", "stored", "same_code")}
        (files / "wanted.json").write_text(json.dumps(told), encoding="utf-8")
        if wanted.run is not None:
            (files / "run.json").write_text(encode(wanted.run), encoding="ascii")
        further = ("--collect-only",) if wanted.tests is None else ()
        options = RECORDING if wanted.records else OPTIONS
        command = [sys.executable, "-m", "pytest", *arguments, *options, *further]
        output = files / "output.txt"
        began = time.monotonic()
        with output.open("wb") as file:
            code = _wait_for(command, place, {**environment, PLACE: name}, file.fileno())
        return read_transcript(
            files / "transcript.jsonl",
            exit_code=code,
            output=_last_lines(output),
            seconds=time.monotonic() - began,
        )


def _wait_for(command: Sequence[str], place: Path, environment: Mapping[str, str], output: int) -> int:
    # A session of its own: Ctrl-C reaches this process alone, which then ends the other with all that it started.
    process = subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: first politely, so that fixtures are torn down."""
    with deferred():
        if not hasattr(os, "killpg"):
            process.kill()
            process.wait()
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_lines(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
