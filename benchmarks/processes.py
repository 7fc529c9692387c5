"""CPU time of whole processes, compared in interleaved rounds: a loaded machine slows both sides down alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sessions import environment

ROUNDS = 9


@dataclass(frozen=True)
class Times:
    """The CPU times of one side, s.

    Attributes:
        median: Their median.
        least: The shortest.
        most: The longest.
    """

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.3f} s ({self.least:.3f} to {self.most:.3f})"


def cpu_seconds(
    command: Sequence[str], place: Path, *, code: int = 0, variables: Mapping[str, str] | None = None
) -> float:
    """Run a process to its end and give the CPU time, user and system, that it and its children took, s.

    Args:
        command: The command.
        place: Where it is run.
        code: The exit code that it must have.
        variables: Environment variables beside the usual ones.

    Raises:
        RuntimeError: If it ends with another exit code.
    """
    with tempfile.TemporaryFile() as output:
        environ = {**environment(), **(variables or {})}
        with subprocess.Popen(command, cwd=place, env=environ, stdout=output, stderr=subprocess.STDOUT) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise RuntimeError(f"{command} ended with {process.returncode}, not {code}:\n{said}")
    return usage.ru_utime + usage.ru_stime


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, Times]:
    """Measure all sides in turn, several times; a first round, which warms caches, is left out."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(list(sides)):
            seconds = sides[name]()
            if number:
                found[name].append(seconds)
    return {name: Times(statistics.median(times), min(times), max(times)) for name, times in found.items()}
