"""Runs all benchmarks, one after the other, and prints one table: `make bench`, or `python -m benchmarks [NAME ...]`.

A benchmark is a module of this folder with a `main` that reports through `benchmarks/figures.py`, or that prints what
it likes and exits with 1 where a target is missed. Each runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from benchmarks.figures import COLLECT, Figure

HERE = Path(__file__).resolve().parent
NO_BENCHMARKS = {"__init__", "__main__", "figures", "processes", "sessions"}


def names(wanted: list[str]) -> list[str]:
    """The benchmarks to run: those named, or all."""
    found = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NO_BENCHMARKS)
    unknown = set(wanted) - set(found)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(found)}")
    return wanted or found


def run(name: str) -> list[Figure]:
    """Run one benchmark and collect its figures."""
    with tempfile.TemporaryDirectory() as place:
        collected = Path(place) / "figures.jsonl"
        collected.touch()
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        environment = {**os.environ, COLLECT: str(collected)}
        done = subprocess.run(
            command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False
        )
        figures = [Figure(**json.loads(line)) for line in collected.read_text().splitlines()]
    if not figures:
        print(done.stdout)
        figures = [Figure("see above", f"exit {done.returncode}", "exit 0", done.returncode == 0)]
    elif done.returncode and all(figure.held for figure in figures):
        figures.append(Figure("run to its end", f"exit {done.returncode}", "exit 0", held=False))
    return figures


def main() -> int:
    """Run them and print the table; 1 where a target is missed."""
    rows = []
    for name in names(sys.argv[1:]):
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        figures = run(name)
        print(f"{name} took {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        rows += [(name, figure) for figure in figures]
    table = [
        (
            name,
            figure.name,
            figure.measured,
            figure.target,
            "" if not figure.target else "ok" if figure.held else "MISSED",
        )
        for name, figure in rows
    ]
    print(tabulate(table, headers=("benchmark", "figure", "measured", "target", ""), disable_numparse=True))
    return 0 if all(figure.held for _, figure in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
