"""Commands on much: the footprint of 50 tools, and advice on a suite of 500 tests of three calls.

CPU time of the whole process, in interleaved rounds. The footprint is measured in its first run, which loads the vocabulary, and
in further ones, which do not; advice beside a process that does no more than parse the same report.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.offline_gate import WORDS, make
from benchmarks.processes import cpu_seconds, interleaved

TOOLS, TESTS = 50, 500
MOST_FOOTPRINT_S = 0.5
MOST_OF_FIRST = 0.6
MOST_ADVICE_S = 2.0
MOST_TIMES_JSON = 12.0
COMMAND = [sys.executable, "-m", "pytest_tokenbudget"]


def tools() -> list[dict[str, object]]:
    """50 tools of about 250 tokens, as an MCP server declares them."""
    chance = random.Random(1)
    words = [
        "agent",
        "moves",
        "a",
        "meeting",
        "and",
        "cancels",
        "two",
        "more",
        "because",
        "users",
        "asked",
        "for",
        "it",
    ]

    def prose(length: int) -> str:
        return " ".join(chance.choice(words) for _ in range(length))

    return [
        {
            "name": f"tool_{number}",
            "description": prose(60),
            "inputSchema": {
                "type": "object",
                "properties": {f"argument_{n}": {"type": "string", "description": prose(20)} for n in range(8)},
            },
        }
        for number in range(TOOLS)
    ]


def make_report(place: Path) -> Path:
    """The report of a suite: one test, many times."""
    make(place)
    path = place / "report.json"
    session = [sys.executable, "-m", "pytest", "-q", "test_gate.py", f"--tokenbudget-report={path}"]
    cpu_seconds(session, place, variables={"WORDS": str(WORDS)})
    whole = json.loads(path.read_text(encoding="utf-8"))
    (test,) = whole["tests"]
    whole["tests"] = [deepcopy(test) | {"nodeid": f"test_gate.py::test_{number}"} for number in range(TESTS)]
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "tools.json").write_text(json.dumps(tools()), encoding="utf-8")
        written = make_report(place)
        caches = {"XDG_CACHE_HOME": str(place / "caches")}
        footprint = [*COMMAND, "footprint", "--tools", "tools.json"]

        def first() -> float:
            shutil.rmtree(place / "first", ignore_errors=True)
            return cpu_seconds(footprint, place, variables={"XDG_CACHE_HOME": str(place / "first")})

        parse = [sys.executable, "-c", "import json, sys; json.load(open(sys.argv[1], 'rb'))", str(written)]
        times = interleaved(
            {
                "first": first,
                "again": partial(cpu_seconds, footprint, place, variables=caches),
                "advise": partial(cpu_seconds, [*COMMAND, "advise", str(written)], place, variables=caches),
                "parse": partial(cpu_seconds, parse, place),
            }
        )
    again, advise = times["again"].median, times["advise"].median
    of_first, times_json = again / times["first"].median, advise / times["parse"].median
    return report(
        [
            Figure(f"footprint of {TOOLS} tools, the first run", str(times["first"])),
            Figure("  a further run", str(times["again"]), f"< {MOST_FOOTPRINT_S} s", again < MOST_FOOTPRINT_S),
            Figure("  by the first", f"{of_first:.2f}", f"<= {MOST_OF_FIRST}", of_first <= MOST_OF_FIRST),
            Figure(f"advice on {TESTS} tests", str(times["advise"]), f"< {MOST_ADVICE_S} s", advise < MOST_ADVICE_S),
            Figure(
                "  by parsing the report", f"{times_json:.1f}", f"<= {MOST_TIMES_JSON}", times_json <= MOST_TIMES_JSON
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
