"""The plugin's share of a session of 2,000 marked tests of one call each, in 100 files, with stored baselines; and its memory.

The calls are those of the openai SDK to a loopback server in another process. The share is the CPU time that the session's process
takes longer with the plugin, by that with it: the median of interleaved pairs. The memory is what the process had at most, above
that without the plugin, between a session of all the tests and one of a fifth of them.

pytest keeps its cache between the sessions, as it does by default, on both sides. The share of a session that finds no cache,
whose texts are counted anew and whose baselines are validated anew, is shown too.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ledger_server import LedgerServer, Reply

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

ROUNDS = 9
FILES, TESTS = 100, 20
MOST, MOST_KB = 0.15, 20.0

CONFTEST = """
import json
import resource

import openai
import pytest


@pytest.fixture(scope="session")
def client():
    with openai.OpenAI(base_url={url!r}, api_key="none") as client:
        yield client


def pytest_unconfigure():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("used:", json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
TEST = f"""
import pytest

@pytest.mark.token_budget("10%")
@pytest.mark.parametrize("number", range({TESTS}))
def test_agent(number, client):
    messages = [{{"role": "system", "content": "Be brief."}}, {{"role": "user", "content": f"What is {{number}}?"}}]
    assert client.chat.completions.create(model="gpt-4.1-mini", messages=messages).choices
"""


def used(place: Path, *, plugin: bool, files: int = FILES, cache: bool = True) -> tuple[float, float]:
    """Run the tests of some files: CPU seconds and peak memory, KB, of the process."""
    names = [f"test_agent_{number}.py" for number in range(files)]
    output = run(place, "-s", *names, only=[PLUGIN] if plugin else [], cache=cache).output
    seconds, peak = json.loads(output.partition("used: ")[2].partition("]")[0] + "]")
    return seconds, peak


def main() -> int:
    """Measure and report."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    uncached: list[float] = []
    peaks: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name, LedgerServer(lambda _: Reply("A number.")) as server:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\nmarkers =\n    token_budget: known also without the plugin\n")
        (place / "conftest.py").write_text(CONFTEST.format(url=server.url + "/v1"))
        for number in range(FILES):
            (place / f"test_agent_{number}.py").write_text(TEST)
        for _ in range(2):  # writes the baselines, then reads them once, which fills the cache
            run(place, only=[PLUGIN], cache=True)
        for number in range(ROUNDS):
            for which in (True, False) if number % 2 else (False, True):
                cpu, peak = used(place, plugin=which)
                seconds[which].append(cpu)
                if number < 3:
                    peaks[which].append((peak - used(place, plugin=which, files=FILES // 5)[1]) / (0.8 * FILES * TESTS))
                server.forget()
            if number < 3:
                uncached.append(used(place, plugin=True, cache=False)[0])
                server.forget()
    share = statistics.median(
        (loaded - bare) / loaded for loaded, bare in zip(seconds[True], seconds[False], strict=True)
    )
    kept = statistics.median(peaks[True]) - statistics.median(peaks[False])
    medians = [statistics.median(seconds[which]) for which in (True, False)]
    return report(
        [
            Figure(f"plugin's share of {FILES * TESTS} marked tests", f"{share:.1%}", f"<= {MOST:.0%}", share <= MOST),
            Figure("  of a session without pytest's cache", f"{1 - medians[1] / statistics.median(uncached):.1%}"),
            Figure("  CPU time with / without, medians", f"{medians[0]:.2f} / {medians[1]:.2f} s"),
            Figure("memory kept per marked test", f"{kept:.1f} KB", f"<= {MOST_KB:g} KB", kept <= MOST_KB),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
