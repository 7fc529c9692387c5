"""Time to read and to write the baselines of 2,000 tests of one call each, in 100 files.

Each round is a fresh process, so the imports that the first file costs (pydantic's core, filelock) are in the figure. Target:
under 0.5 s for both together. Run with ``python benchmarks/baseline_io.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_tokenbudget.baselines import evolve
from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.measure.sample import measure
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.records.sample import Sample, Span

TARGET_S = 0.5
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
    parts = tuple(
        PartTotal(part, name, tokens, 1, 1, tokens, f"{steady.getrandbits(64):016x}")
        for part, name, tokens in (("system", "", system), ("tools", "calendar_write", tools), ("user", "", user))
    )
    composition = StageComposition(
        calls=1,
        parts=parts,
        input_tokens=system + tools + user,
        fresh_input_tokens=system + tools + user,
        output_tokens=call.usage.output_tokens,
        models=("deepseek-chat",),
        prefix=tuple((part.part, part.digest) for part in parts),
    )
    measured = measure(
        [call],
        [Span("main", 0.0, latency)],
        call_phase=latency + 0.01,
        own_time=None,
        table=metric_table(),
        compose=lambda _: composition,
    )
    return Sample(
        calls=(call,),
        total=measured.total,
        stages=measured.stages,
        composition=measured.composition,
        pooled=measured.pooled,
    )


def changes(file: int, session: int) -> dict[str, object]:
    """What one session says of the tests of one file: tokens agree, times gain a session."""
    return {
        f"test_{test}[a-b]": evolve.change("update", [sample(file * TESTS + test, session)], changed=lambda _: False)
        for test in range(TESTS)
    }


def one_round(directory: Path) -> dict[str, float]:
    """Read all files as a worker does at the start, then append a session to each entry as the controller does."""
    paths = [directory / f"test_{number}.json" for number in range(FILES)]
    updates = [changes(number, 2) for number in range(FILES)]
    store = JsonStore()
    started = time.perf_counter()
    for path in paths:
        assert len(store.read(path)) == TESTS
    read = time.perf_counter()
    for path, update in zip(paths, updates, strict=True):
        assert store.update(path, update)
    return {"read_s": read - started, "write_s": time.perf_counter() - read}


def main() -> int:
    """Print the medians; exit 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-round", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_round:
        print(json.dumps(one_round(arguments.one_round)))
        return 0
    rounds = []
    size = 0
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            store = JsonStore()
            for number in range(FILES):
                store.update(Path(name) / f"test_{number}.json", changes(number, 1))
            size = sum(path.stat().st_size for path in Path(name).iterdir())
            command = [sys.executable, __file__, "--one-round", name]
            rounds.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    read, write = (statistics.median(figures[key] for figures in rounds) for key in ("read_s", "write_s"))
    total = statistics.median(figures["read_s"] + figures["write_s"] for figures in rounds)
    verdict = "ok" if total <= TARGET_S else "MISSED"
    print(f"{FILES * TESTS} tests in {FILES} files, {size / 1e6:.1f} MB, fresh process, median of {len(rounds)}:")
    print(f"  read {read:.3f} s   read again, change, write {write:.3f} s   together {total:.3f} s")
    print(f"  target {TARGET_S} s: {verdict}")
    return 0 if total <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
