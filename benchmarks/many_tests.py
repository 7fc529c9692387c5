"""The plugin's share of a session of 2,000 marked tests of one call each, in 100 files, with stored baselines.

The calls are those of the openai SDK to a loopback server in another process. The share is what the session takes longer
with the plugin, by the time with it; medians of interleaved rounds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ledger_server import LedgerServer, Reply

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

ROUNDS = 3
FILES, TESTS = 100, 20
MOST = 0.15

CONFTEST = """
import openai
import pytest


@pytest.fixture(scope="session")
def client():
    with openai.OpenAI(base_url={url!r}, api_key="none") as client:
        yield client
"""
TEST = f"""
import pytest

@pytest.mark.token_budget("10%")
@pytest.mark.parametrize("number", range({TESTS}))
def test_agent(number, client):
    messages = [{{"role": "system", "content": "Be brief."}}, {{"role": "user", "content": f"What is {{number}}?"}}]
    assert client.chat.completions.create(model="gpt-4.1-mini", messages=messages).choices
"""


def main() -> int:
    """Measure and report."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name, LedgerServer(lambda _: Reply("A number.")) as server:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\nmarkers =\n    token_budget: known also without the plugin\n")
        (place / "conftest.py").write_text(CONFTEST.format(url=server.url + "/v1"))
        for number in range(FILES):
            (place / f"test_agent_{number}.py").write_text(TEST)
        run(place, only=[PLUGIN])  # writes the baselines
        for number in range(ROUNDS):
            for which in (True, False) if number % 2 else (False, True):
                times[which].append(run(place, only=[PLUGIN] if which else []).seconds)
                server.forget()
    with_it, without = statistics.median(times[True]), statistics.median(times[False])
    share = (with_it - without) / with_it
    return report(
        [
            Figure(f"plugin's share of {FILES * TESTS} marked tests", f"{share:.1%}", f"<= {MOST:.0%}", share <= MOST),
            Figure("  medians with / without", f"{with_it:.2f} / {without:.2f} s"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
