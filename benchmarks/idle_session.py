"""What the plugin costs a session that does not use it.

A small session without a marked test, with the plugin and without: CPU time of the whole process, interleaved, 15 times each;
medians. Once with all the plugins that happen to be installed, as at a desk, and once with no other plugin at all, which is
stricter.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.processes import Times, cpu_seconds, interleaved
from benchmarks.sessions import EMPTY, PLUGIN, run

ROUNDS = 15
TESTS = 50
MOST = 1.03
HEAVY = ("httpx", "httpx2", "pydantic", "tiktoken", "toktok", "tabulate", "genai_prices")

CONFTEST = f"""
import sys

def pytest_unconfigure():
    print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
TEST = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_nothing(number):
    assert number < {TESTS}
"""


def command(*arguments: str) -> list[str]:
    """A pytest session."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def measured(place: Path) -> dict[str, Times]:
    """The sessions: with the plugin and without, beside others and alone."""
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": EMPTY}
    sides = {
        "with": partial(cpu_seconds, command(), place),
        "without": partial(cpu_seconds, command("-p", "no:tokenbudget"), place),
        "alone with": partial(cpu_seconds, command(), place, variables=alone | {"PYTEST_PLUGINS": PLUGIN}),
        "alone without": partial(cpu_seconds, command(), place, variables=alone),
    }
    return interleaved(sides, ROUNDS)


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "conftest.py").write_text(CONFTEST)
        (place / "test_idle.py").write_text(TEST)
        (place / f"{EMPTY}.py").touch()
        times = measured(place)
        output = run(place, "-s", only=[PLUGIN]).output
    imported = output.partition("imported:")[2].splitlines()[0].split()
    target = f"<= {MOST}"
    usual = times["with"].median / times["without"].median
    strict = times["alone with"].median / times["alone without"].median
    return report(
        [
            Figure("unmarked session, with / without the plugin", f"{usual:.3f}", target, usual <= MOST),
            Figure("  with", str(times["with"])),
            Figure("  without", str(times["without"])),
            Figure("the same where no other plugin is loaded", f"{strict:.3f}", target, strict <= MOST),
            Figure("  with", str(times["alone with"])),
            Figure("  without", str(times["alone without"])),
            Figure("heavy libraries that it imports", " ".join(imported) or "none", "none", not imported),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
