"""Damage exchanges by the thousand: reading must not raise, and must stay under 1 ms a body on average.

Run ``python benchmarks/wire_fuzz.py [bodies] [seed]``; 100,000 bodies by default. The hand-written samples of the tests
are damaged and, where it is present, the corpus of recorded exchanges (``TOKENBUDGET_CORPUS``, by default
``../shared/corpus`` beside the project). Exits 1 where a body raised or the average is missed.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from wire_damage import mutated
from wire_samples import PLAIN, exchange
from wire_streams import STREAMS

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange, Unattributed

BODIES = 100_000
MOST_MS = 1.0
LARGEST = 200_000


def corpus() -> list[Exchange]:
    """The recorded exchanges, empty where they are not present."""
    root = Path(os.environ.get("TOKENBUDGET_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
    path = root / "open" / "exchanges.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [made for line in lines if len(b"".join((made := _recorded(json.loads(line))).chunks)) <= LARGEST]


def _recorded(row: dict[str, object]) -> Exchange:
    encoded = row.get("response_body_b64")
    body = (
        base64.b64decode(encoded)
        if isinstance(encoded, str)
        else str(row.get("response_body") or "").encode("utf-8", "replace")
    )
    request = row["request_body"]
    made = exchange(str(row["url"]), request if isinstance(request, dict) else None, body)
    status = row["status"]
    return Exchange(
        client=made.client,
        method=str(row["method"]),
        url=made.url,
        request_body=made.request_body,
        status=status if isinstance(status, int) else None,
        chunks=(body,),
        chunk_times=(11.0,),
        started=10.0,
        ended=11.0,
    )


def main(bodies: int, seed: int) -> int:
    """Damage and read."""
    chance = random.Random(seed)
    sources = [sample.exchange for sample in (*PLAIN.values(), *STREAMS.values())] * 10 + corpus()
    formats = builtin_formats()
    spent, slowest, failures, prompts = 0.0, 0.0, 0, 0.0
    for _ in range(bodies):
        made = mutated(chance.choice(sources), chance)
        start = time.perf_counter()
        found = read(made, formats)
        taken = time.perf_counter() - start
        spent += taken
        slowest = max(slowest, taken)
        if isinstance(found, Unattributed) and "failed" in found.reason:
            failures += 1
            print(found.reason, made.url)
        elif isinstance(found, ReadExchange):
            start = time.perf_counter()
            found.classified.prompt()
            prompts += time.perf_counter() - start
    average = spent / bodies * 1_000
    print(f"{bodies} bodies of {len(sources)} sources, seed {seed}: {failures} raised")
    print(
        f"reading {average:.3f} ms on average, slowest {slowest * 1_000:.1f} ms; prompts {prompts / bodies * 1_000:.3f} ms"
    )
    return 0 if not failures and average < MOST_MS else 1


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    sys.exit(main(*(given + [BODIES, 1][len(given) :])))
