"""CPU time to read and to write the baselines of 2,000 tests of one call each, in 100 files.

Each round is a fresh process, so the imports that the first file costs are in the figure. The files were read before, as in
each session but the first one, so they are not validated again. Beside it stands what plain `json` takes for the same files.
Working out the new entries is no input or output; it is shown beside.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.sessions import environment
from pytest_tokenbudget.baselines import evolve
from pytest_tokenbudget.baselines.format import checked_cache
from pytest_tokenbudget.baselines.store import Change, JsonStore
from pytest_tokenbudget.measure.measured import measure
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.records.sample import Sample, Span

ROUNDS = 9
MOST_S = 0.4
MOST_TIMES_JSON = 3.8
FILES, TESTS = 100, 20


def sample(seed: int, session: int) -> Sample:
    """A test of one call: tokens depend on the test alone, times on the session too."""
    steady, noisy = random.Random(seed), random.Random(f"{seed}/{session}")
    system, tools, user = (steady.randrange(100, 3000) for _ in range(3))
    latency = noisy.lognormvariate(0, 0.3)
    call = Call(
        stage="main",
        provider="deepseek",
        api="openai.chat",
        model="deepseek-chat",
        latency=latency,
        ttft=latency / 5,
        usage=Usage(system + tools + user, steady.randrange(10, 300), 0, None, 0),
        input_source="provider",
        output_source="provider",
        cost=0.0123,
    )
    digests = [f"{steady.getrandbits(64):016x}" for _ in range(3)]
    parts = (
        PartTotal("system", "", system, 1, 1, system, digests[0]),
        PartTotal("tools", "calendar_write", tools, 1, 1, tools, digests[1]),
        PartTotal("user", "", user, 1, 1, user, digests[2]),
    )
    composition = StageComposition(
        calls=1,
        counted=parts,
        output_tokens=call.usage.output_tokens,
        models=("deepseek-chat",),
    )
    measured = measure(
        [call],
        [Span("main", 0.0, latency)],
        call_phase=latency + 0.01,
        own_time=None,
        table=metric_table(),
        compose=lambda *_: composition,
    )
    return Sample(
        calls=(call,),
        total=measured.total,
        stages=measured.stages,
        composition=measured.composition,
        pooled=measured.pooled,
    )


def changes(file: int, session: int) -> dict[str, Change]:
    """What one session says of the tests of one file: tokens agree, times gain a session."""
    return {
        f"test_{test}[a-b]": evolve.change("update", [sample(file * TESTS + test, session)], changed=lambda _: False)
        for test in range(TESTS)
    }


class Stopwatch:
    """Adds up the time that changes take inside of an update, s."""

    def __init__(self) -> None:
        self.total_s = 0.0

    def timed(self, change: Change) -> Change:
        """The same change, timed."""

        def apply(standing: BaselineEntry | None) -> BaselineEntry | None:
            started = time.process_time()
            try:
                return change(standing)
            finally:
                self.total_s += time.process_time() - started

        return apply


def one_round(directory: Path) -> dict[str, float]:
    """Read all files as a session does at its start, then append a session to each entry as it does at its end."""
    paths = [directory / f"test_{number}.json" for number in range(FILES)]
    watch = Stopwatch()
    updates = [{key: watch.timed(change) for key, change in changes(number, 2).items()} for number in range(FILES)]
    store = JsonStore(checked=checked_cache(directory))
    started = time.process_time()
    for path in paths:
        assert len(store.read(path)) == TESTS
    read = time.process_time()
    for path, update in zip(paths, updates, strict=True):
        assert store.update(path, update)
    written = time.process_time()
    for path in paths:
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2, sort_keys=True), encoding="utf-8"
        )
    return {
        "read": read - started,
        "write": written - read - watch.total_s,
        "change": watch.total_s,
        "json": time.process_time() - written,
    }


def _rounds() -> list[dict[str, float]]:
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            store = JsonStore()
            for number in range(FILES):
                store.update(Path(name) / f"test_{number}.json", changes(number, 1))
            checked = checked_cache(Path(name))
            for path in Path(name).glob("test_*.json"):
                JsonStore(checked=checked).read(path)
            checked.save()
            command = [sys.executable, "-m", "benchmarks.baseline_io", name]
            root = Path(__file__).parents[1]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=environment())
            rounds.append(json.loads(done.stdout))
    return rounds


def main() -> int:
    """Report the medians; 1 where the target is missed."""
    rounds = _rounds()
    read, write, change = (statistics.median(figures[key] for figures in rounds) for key in ("read", "write", "change"))
    totals = sorted(figures["read"] + figures["write"] for figures in rounds)
    total, spread = statistics.median(totals), f"{totals[0]:.3f} to {totals[-1]:.3f} s"
    times_json = statistics.median((figures["read"] + figures["write"]) / figures["json"] for figures in rounds)
    return report(
        [
            Figure("baselines of 2,000 tests in 100 files: read", f"{read:.3f} s"),
            Figure("baselines of 2,000 tests in 100 files: write", f"{write:.3f} s"),
            Figure("together, imports included", f"{total:.3f} s", f"< {MOST_S} s", total < MOST_S),
            Figure("  spread", spread),
            Figure(
                "  by reading and writing them with json alone",
                f"{times_json:.1f}",
                f"<= {MOST_TIMES_JSON}",
                times_json <= MOST_TIMES_JSON,
            ),
            Figure("working out the new entries, for information", f"{change:.3f} s"),
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one_round(Path(sys.argv[1]))))
    else:
        sys.exit(main())
