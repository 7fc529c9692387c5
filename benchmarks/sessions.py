"""pytest sessions in processes of their own, timed, with and without the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PLUGIN = "pytest_tokenbudget.plugin"
EMPTY = "an_empty_plugin"


@dataclass(frozen=True)
class Session:
    """A session that has ended.

    Attributes:
        seconds: Wall time of the process, s.
        output: What it printed.
    """

    seconds: float
    output: str


def environment() -> dict[str, str]:
    """The environment without what changes a session from outside: CI, a step summary, options, no byte code."""
    leave_out = ("CI", "GITHUB_", "PYTEST_", "TOKENBUDGET_", "COV_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(leave_out)}


def run(place: Path, *arguments: str, only: Sequence[str] | None = None, cache: bool = False) -> Session:
    """Run pytest in a folder.

    Args:
        place: Where its tests and its configuration are.
        arguments: Further arguments.
        only: Modules of the plugins to load, and no others; ``None`` loads all that are installed.
        cache: Whether pytest keeps its cache between sessions, as it does by default.

    Raises:
        RuntimeError: If a test fails.
    """
    variables = environment()
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={place}"]
    if not cache:
        command += ["-p", "no:cacheprovider"]
    if only is not None:
        # To find a plugin by name pytest looks through all that is installed, which is no plugin's doing: so it has to
        # find an empty one in a bare session too.
        (place / f"{EMPTY}.py").touch()
        variables |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(only) or EMPTY}
    started = time.perf_counter()
    done = subprocess.run([*command, *arguments], cwd=place, env=variables, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return Session(seconds, done.stdout)
