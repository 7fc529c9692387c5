"""How recording, playing and looking for secrets grow with the length of a run.

An agent of up to 20,000 calls sends the last ten messages with each; another one, of up to 800 calls, sends its whole
history, so that what it sends grows with the square: there, time is held against the bytes that were sent.

Targets: an exponent of 1.15 at most, between the shortest and the longest run; 16 MB that were made to be slow to look
through in under 20 s.
"""

from __future__ import annotations

import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import record, save
from pytest_tokenbudget.replay.secrets import find_secret
from pytest_tokenbudget.replay.timing import NoWaiting
from pytest_tokenbudget.tokens.counter import Counter

WINDOW, LENGTHS = 10, (1_250, 5_000, 20_000)
HISTORIES = (100, 200, 400, 800)
MOST_EXPONENT, MOST_SECONDS, SIZE = 1.15, 20.0, 16_000_000
URL = "https://api.example.com/v1/chat/completions"
SLOW = ("api-key-", "key: ", " sk-", "password: Please-enter-1! ", "a://b:c@", "8Q~", "-----BEGIN PRIVATE KEY-----\n")


def bodies(calls: int, *, window: int | None) -> list[bytes]:
    """The requests of an agent."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You keep a calendar. " * 10}]
    sent = []
    for number in range(calls):
        messages.append({"role": "user", "content": f"{number}: what is there on that day, and who comes to it?"})
        shown = messages if window is None else messages[:1] + messages[1:][-window:]
        sent.append(json.dumps({"model": "gpt-4o", "messages": shown}).encode())
        messages.append({"role": "assistant", "content": f"{number}: a meeting with somebody about something."})
    return sent


def exchange(number: int, body: bytes) -> Exchange:
    """A call and its answer."""
    usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 9, "total_tokens": len(body) // 4 + 9}
    message = {"role": "assistant", "content": f"{number}: a meeting with somebody about something."}
    answer = {"model": "gpt-4o", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    return Exchange(
        "httpx 0",
        "POST",
        URL,
        request_body=body,
        status=200,
        response_headers=(("content-type", "application/json"),),
        chunks=(json.dumps(answer).encode(),),
        chunk_times=(number + 1.0,),
        started=float(number),
        ended=number + 1.0,
        sequence=number,
    )


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of something, without the collector, whose share depends on what else is alive."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()


def run(place: Path, sent: list[bytes]) -> tuple[float, float]:
    """Seconds to record a run, and to play it."""
    path, formats, counter = place / "run.jsonl", builtin_formats(), Counter()
    exchanges = [exchange(number, body) for number, body in enumerate(sent)]
    limit = 500_000_000
    recording = timed(lambda: save(path, record(exchanges, formats, counter, limit=limit), limit=limit))

    def play() -> None:
        player = Player(path, clock=NoWaiting(), formats=formats, counter=counter, limit=limit)
        for body in sent:
            player.answer(Outgoing("httpx 0", "POST", URL, (), body, "", False))
        assert (player.failure() or player.left_over()) is None

    return recording, timed(play)


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The power of the size with which the time grows, from the first to the last."""
    return math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(place, bodies(100, window=WINDOW))  # pays the imports
        windows = [run(place, bodies(length, window=WINDOW)) for length in LENGTHS]
        histories = [bodies(length, window=None) for length in HISTORIES]
        grown = [run(place, sent) for sent in histories]
    size = [float(length) for length in LENGTHS]
    sent_bytes = [float(sum(map(len, sent))) for sent in histories]
    slowest = max(timed(lambda text=text: find_secret(text * (SIZE // len(text)))) for text in SLOW)  # type: ignore[misc]
    powers = {
        f"recording {LENGTHS[-1]:,} calls ({windows[-1][0]:.1f} s): exponent": exponent(size, [t for t, _ in windows]),
        f"playing {LENGTHS[-1]:,} calls ({windows[-1][1]:.1f} s): exponent": exponent(size, [t for _, t in windows]),
        f"recording a history of {HISTORIES[-1]} calls ({grown[-1][0]:.1f} s), by bytes": exponent(
            sent_bytes, [t for t, _ in grown]
        ),
        f"playing a history of {HISTORIES[-1]} calls ({grown[-1][1]:.1f} s), by bytes": exponent(
            sent_bytes, [t for _, t in grown]
        ),
    }
    figures = [
        Figure(name, f"{power:.2f}", f"<= {MOST_EXPONENT}", power <= MOST_EXPONENT) for name, power in powers.items()
    ]
    figures.append(
        Figure(
            f"{SIZE // 10**6} MB of texts that are slow to look through, the slowest",
            f"{slowest:.1f} s",
            f"<= {MOST_SECONDS:g} s",
            slowest <= MOST_SECONDS,
        )
    )
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
