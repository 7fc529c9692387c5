"""What the plugin costs a session that does not use it.

A small session without a marked test, with the plugin and without, interleaved, 11 times each; medians. Once with all the
plugins that happen to be installed, as at a desk, and once with no other plugin at all, which is stricter.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

ROUNDS = 11
TESTS = 50
MOST = 1.05
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


def ratio(place: Path, bare: list[str], loaded: list[str], *, alone: bool) -> tuple[float, float, float]:
    """Median of the loaded sessions over the median of the bare ones, and both medians, s."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ROUNDS + 1):
        for which in (True, False) if number % 2 else (False, True):
            only = ([] if not which else [PLUGIN]) if alone else None
            session = run(place, *(loaded if which else bare), only=only)
            if number:  # the first round warms the disk's cache and writes byte code
                times[which].append(session.seconds)
    with_it, without = statistics.median(times[True]), statistics.median(times[False])
    return with_it / without, with_it, without


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "conftest.py").write_text(CONFTEST)
        (place / "test_idle.py").write_text(TEST)
        usual, usual_with, usual_without = ratio(place, ["-p", "no:tokenbudget"], [], alone=False)
        strict, strict_with, strict_without = ratio(place, [], [], alone=True)
        output = run(place, "-s", only=[PLUGIN]).output
    imported = output.partition("imported:")[2].splitlines()[0].split()
    target = f"<= {MOST}"
    return report(
        [
            Figure("unmarked session, with / without the plugin", f"{usual:.3f}", target, usual <= MOST),
            Figure("  medians", f"{usual_with:.3f} / {usual_without:.3f} s"),
            Figure("the same where no other plugin is loaded", f"{strict:.3f}", target, strict <= MOST),
            Figure("  medians", f"{strict_with:.3f} / {strict_without:.3f} s"),
            Figure("heavy libraries that it imports", " ".join(imported) or "none", "none", not imported),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
