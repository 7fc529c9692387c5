"""How time and memory of a session grow: with its tests, the calls of a test, its threads, and the size of a body.

Each session runs in a process of its own and is compared with a stored baseline. Its CPU time and its peak memory are those of
that process; the model answers from another one. The exponent is that between the two largest sizes: 1 is a cost that
does not grow with what came before.

`python -m benchmarks.growth --write` puts the table into `docs/growth.md`; `--quick` leaves out what takes minutes.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "growth.md"
BEGIN, END = "<!-- begin: python -m benchmarks.growth --write -->", "<!-- end -->"
QUICK = "--quick" in sys.argv

CONFTEST = """
import json
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

try:
    import httpx
except ImportError:
    import httpx2 as httpx


@pytest.fixture(scope="session")
def client():
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    with httpx.Client(base_url="http://127.0.0.1:{port}", limits=limits, timeout=600) as client:
        yield client


@pytest.fixture
def agent(client):
    def call(text):
        body = {{"model": "gpt-4.1-mini", "messages": [{{"role": "user", "content": text}}]}}
        client.post("/v1/chat/completions", json=body).json()

    def work(calls, threads, size):
        text = "word " * (size // 5)
        if threads == 1:
            for number in range(calls):
                call(text or f"What is {{number % 50}}?")
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(call, [f"What is {{number % 50}}?" for number in range(calls)]))

    return work


def pytest_unconfigure():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("used:", json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
TEST = """
import pytest

@pytest.mark.token_budget("900%", samples=1)
@pytest.mark.parametrize("number", range({tests}))
def test_agent(number, agent):
    agent({calls}, {threads}, {size})
"""


@dataclass(frozen=True)
class Row:
    """A session of one size.

    Attributes:
        size: Its size, as the table shows it.
        number: The same as a number.
        cpu: CPU time of its process, s.
        peak: The most memory that it had, MB.
    """

    size: str
    number: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Axis:
    """What grows, and by how much it may.

    Attributes:
        name: What grows.
        sizes: The sizes, with what a session of each is made of: tests, calls, threads, bytes of a body.
        most: The largest exponent of CPU time that is good.
    """

    name: str
    sizes: dict[str, tuple[float, dict[str, int]]]
    most: float


def axes() -> list[Axis]:
    """Name all that grows."""
    tests = (10, 100, 1000) if QUICK else (10, 100, 1000, 5000)
    calls = (10, 100, 1000) if QUICK else (10, 100, 1000, 10_000, 20_000)
    sizes = (1, 10) if QUICK else (1, 10, 50)
    return [
        Axis("marked tests of one call", {f"{n:,}": (n, {"tests": n}) for n in tests}, 1.15),
        Axis("calls in a test", {f"{n:,}": (n, {"calls": n}) for n in calls}, 1.15),
        Axis(
            "threads that make 1,280 calls", {f"{n}": (n, {"calls": 1280, "threads": n}) for n in (1, 4, 16, 64)}, 0.3
        ),
        Axis("MB of a request", {f"{n}": (n, {"size": n * 10**6}) for n in sizes}, 1.15),
    ]


def measured(port: int, shape: dict[str, int]) -> tuple[float, float]:
    """Run a session twice, the second time against the baseline of the first: CPU seconds and peak memory of the second."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\n")
        (place / "conftest.py").write_text(CONFTEST.format(port=port))
        (place / "test_agent.py").write_text(TEST.format(**{"tests": 1, "calls": 1, "threads": 1, "size": 0} | shape))
        run(place, "-s", only=[PLUGIN])
        output = run(place, "-s", only=[PLUGIN]).output
    used = json.loads(output.partition("used: ")[2].partition("]")[0] + "]")
    return used[0], used[1]


def exponent(rows: list[Row], attribute: str) -> float:
    """Give the power of the size with which a figure grows, between the two largest sizes."""
    last, before = rows[-1], rows[-2]
    return math.log(getattr(last, attribute) / getattr(before, attribute)) / math.log(last.number / before.number)


def measure() -> dict[str, list[Row]]:
    """Measure every size of all that grows."""
    command = [sys.executable, "-c", "from benchmarks.capture_overhead import serve; serve()"]
    found: dict[str, list[Row]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            for axis in axes():
                found[axis.name] = []
                for shown, (number, shape) in axis.sizes.items():
                    cpu, peak = measured(port, shape)
                    found[axis.name].append(Row(shown, number, cpu, peak))
                    print(f"{axis.name}: {shown}: {cpu:.2f} s, {peak:.0f} MB", file=sys.stderr, flush=True)
        finally:
            server.terminate()
    return found


def table(found: dict[str, list[Row]]) -> str:
    """Write the table of the docs."""
    lines: list[tuple[Any, ...]] = []
    for name, rows in found.items():
        for row in rows:
            last = row is rows[-1]
            lines.append(
                (
                    name if row is rows[0] else "",
                    row.size,
                    f"{row.cpu:.2f}",
                    f"{exponent(rows, 'cpu'):.2f}" if last else "",
                    f"{row.peak:,.0f}",
                    f"{exponent(rows, 'peak'):.2f}" if last else "",
                )
            )
    headers = ("what grows", "size", "CPU time, s", "exponent", "peak memory, MB", "exponent")
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> int:
    """Measure and report; with ``--write`` into the docs."""
    found = measure()
    written = table(found)
    print(written)
    if "--write" in sys.argv:
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{written}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    figures = []
    for axis in axes():
        power = exponent(found[axis.name], "cpu")
        figures.append(
            Figure(f"{axis.name}: exponent of CPU time", f"{power:.2f}", f"<= {axis.most}", power <= axis.most)
        )
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
