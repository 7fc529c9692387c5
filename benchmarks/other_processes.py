"""What watching costs a child process when it starts, and what the recording proxy adds to a call.

Pairs are interleaved. The start is CPU time of the whole process, the difference of the medians; of calls the fastest tenth is compared, since the rest of a
loaded machine hides what a fraction of a millisecond is. Client, proxy and server are processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.processes import cpu_seconds, interleaved
from pytest_tokenbudget.capture.children.child_processes import ChildProcesses

STARTS = 30
CALLS = 300
MOST_START_MS = 8.0
MOST_RATIO = 1.3
MOST_FIRST_CHUNK_MS = 1.0

SERVER = """
import sys
sys.path.insert(0, "tests/support")
from ledger_server import LedgerServer
with LedgerServer() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
PROXY = """
import sys
from pytest_tokenbudget.capture.proxy.llm_proxy import LlmProxy
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
with LlmProxy() as proxy, watching(Recorder()):
    proxy.upstream("bench", sys.argv[1])
    print(proxy.url_for("bench"), flush=True)
    sys.stdin.read()
"""
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 65536}]}).encode()
STREAM = json.dumps({"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()


def added_to_a_start() -> float:
    """Milliseconds of CPU time that a child process takes longer to start."""
    plain = dict(os.environ)
    children = ChildProcesses()
    watched = children.environment(plain)
    command, place = [sys.executable, "-c", "pass"], Path(__file__).parent
    times = interleaved(
        {
            "plain": partial(cpu_seconds, command, place),
            "watched": partial(cpu_seconds, command, place, variables=changed(plain, watched)),
        },
        STARTS,
    )
    children.close()
    return (times["watched"].median - times["plain"].median) * 1e3


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that are new or have another value."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def call(url: str, body: bytes) -> Callable[[], tuple[float, float]]:
    """A call over a kept connection, by the client that SDKs use: milliseconds to the first piece and to the end."""
    import httpx

    client = httpx.Client(timeout=30)
    headers = {"content-type": "application/json"}

    def measure() -> tuple[float, float]:
        began = time.perf_counter()
        with client.stream("POST", f"{url}/v1/chat/completions", content=body, headers=headers) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            first = time.perf_counter()
            for _ in pieces:
                pass
        return (first - began) * 1e3, (time.perf_counter() - began) * 1e3

    return measure


def fast(times: list[float]) -> float:
    """The fastest tenth."""
    return sorted(times)[len(times) // 10]


def main() -> int:
    """Measure and report."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SERVER], **pipes) as server:  # type: ignore[call-overload]
        url = server.stdout.readline().decode().strip()
        with subprocess.Popen([sys.executable, "-c", PROXY, url], **pipes) as proxy:  # type: ignore[call-overload]
            through = proxy.stdout.readline().decode().strip()
            found: dict[bool, list[float]] = {True: [], False: []}
            firsts: dict[bool, list[float]] = {True: [], False: []}
            whole = {False: call(url, BODY), True: call(through, BODY)}
            stream = {False: call(url, STREAM), True: call(through, STREAM)}
            for number in range(CALLS):
                for which in (True, False) if number % 2 else (False, True):
                    found[which].append(whole[which]()[1])
                    firsts[which].append(stream[which]()[0])
            proxy.kill()
        server.kill()
    start = added_to_a_start()
    ratio = fast(found[True]) / fast(found[False])
    later = fast(firsts[True]) - fast(firsts[False])
    direct = fast(found[False])
    return report(
        [
            Figure("a direct call of 64 KB", f"{direct:.2f} ms"),
            Figure("start of a watched child", f"+{start:.2f} ms", f"<= {MOST_START_MS:g} ms", start <= MOST_START_MS),
            Figure("a call of 64 KB through llm_proxy", f"{ratio:.2f} times", f"<= {MOST_RATIO}", ratio <= MOST_RATIO),
            Figure(
                "its first chunk", f"+{later:.2f} ms", f"<= {MOST_FIRST_CHUNK_MS:g} ms", later <= MOST_FIRST_CHUNK_MS
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
