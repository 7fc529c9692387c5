"""What watching costs the code under test, as ratios of the watched to the unwatched call in one process.

The openai SDK against a loopback server in a process of its own. Watched and unwatched calls alternate, in random order
within each pair, and the median of the pairs' ratios is taken, so that a busy machine slows both alike.

Targets: a plain call with a prompt of 64 KB at most 1.03 times the CPU time of the client's process, a stream of 200 chunks
at most 1.02 times and its first chunk at most 20 us later, ``stage`` outside a test under 1 us.
"""

from __future__ import annotations

import gc
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import openai

from benchmarks.figures import Figure, report
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage import stage
from pytest_tokenbudget.capture.watch import watching

PLAIN_PAIRS, STREAM_PAIRS, CHUNKS = 1500, 400, 200
PROMPT: Any = [{"role": "user", "content": "word " * (64 * 1024 // 5)}]
MOST_PLAIN, MOST_STREAM, MOST_FIRST_US, MOST_STAGE_US = 1.03, 1.02, 20.0, 1.0


def serve() -> None:
    """The server: reads a request, answers with a prepared response in one piece; run in a process of its own."""
    usage = {"prompt_tokens": 13000, "completion_tokens": 1, "total_tokens": 13001}
    base = {"id": "1", "created": 1, "model": "m"}
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    plain = json.dumps({**base, "object": "chat.completion", "choices": [message], "usage": usage}).encode()
    piece = {"index": 0, "delta": {"content": "word "}}
    chunk = json.dumps({**base, "object": "chat.completion.chunk", "choices": [piece]}).encode()
    event = b"data: %b\n\n" % chunk
    framed = b"%x\r\n%b\r\n" % (len(event), event)
    last = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
    answers = {
        False: head % (b"application/json", b"content-length: %d" % len(plain)) + plain,
        True: head % (b"text/event-stream", b"transfer-encoding: chunked") + framed * CHUNKS + last,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:  # on a busy machine the client's idle connection may expire between two calls
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer, args=(connection, answers), daemon=True).start()


def _answer(connection: socket.socket, answers: dict[bool, bytes]) -> None:
    with connection, connection.makefile("rb", buffering=1 << 20) as reader:
        while reader.readline():
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = reader.read(length)
            connection.sendall(answers[b'"stream":true' in body or b'"stream": true' in body])


@contextmanager
def client() -> Iterator[openai.OpenAI]:
    """A client of a server that runs meanwhile."""
    command = [sys.executable, "-c", "from benchmarks.capture_overhead import serve; serve()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as made:
            yield made
        server.terminate()


def plain(asked: openai.OpenAI) -> tuple[float, float]:
    """One plain call: the CPU time of this process, s, and 0."""
    started = time.process_time()
    asked.chat.completions.create(model="m", messages=PROMPT)
    return time.process_time() - started, 0.0


def stream(asked: openai.OpenAI) -> tuple[float, float]:
    """One stream: its duration and the time to its first chunk, s."""
    first = 0.0
    started = time.perf_counter()
    chunks: Any = asked.chat.completions.create(model="m", messages=PROMPT, stream=True)
    for _ in chunks:
        first = first or time.perf_counter() - started
    return time.perf_counter() - started, first


def compare(call: Callable[[], tuple[float, float]], pairs: int) -> tuple[list[float], list[float]]:
    """Watched over unwatched: the ratios of the durations, and the differences of the times to the first chunk, s."""
    ratios, later = [], []
    random.seed(1)
    for number in range(pairs + 20):
        taken: dict[bool, tuple[float, float]] = {}
        for watched in random.sample([True, False], 2):
            with ExitStack() as stack:
                if watched:
                    stack.enter_context(watching(Recorder()))
                gc.collect(0)
                taken[watched] = call()
        if number >= 20:
            ratios.append(taken[True][0] / taken[False][0])
            later.append(taken[True][1] - taken[False][1])
    return ratios, later


def stage_outside() -> float:
    """What ``with stage(...)`` costs outside a test, s: the best of several rounds."""
    rounds, best = 20_000, float("inf")
    for _ in range(9):
        started = time.perf_counter()
        for _ in range(rounds):
            with stage("worker"):
                pass
        best = min(best, (time.perf_counter() - started) / rounds)
    return best


def main() -> int:
    """Measure and report; 1 where a target is missed."""
    outside = stage_outside() * 1e6
    gc.disable()
    with client() as asked:
        plains, _ = compare(lambda: plain(asked), PLAIN_PAIRS)
        streams, later = compare(lambda: stream(asked), STREAM_PAIRS)
    gc.enable()
    ratio, stream_ratio = statistics.median(plains), statistics.median(streams)
    first = statistics.median(later) * 1e6
    sdk = f"openai {openai.__version__}"
    return report(
        [
            Figure(f"plain call, 64 KB, {sdk}", f"{ratio:.4f}x", f"<= {MOST_PLAIN}x", ratio <= MOST_PLAIN),
            Figure(
                f"stream of {CHUNKS} chunks", f"{stream_ratio:.4f}x", f"<= {MOST_STREAM}x", stream_ratio <= MOST_STREAM
            ),
            Figure(
                "first chunk of a stream, later by",
                f"{first:+.1f} us",
                f"<= {MOST_FIRST_US:.0f} us",
                first <= MOST_FIRST_US,
            ),
            Figure("stage outside a test", f"{outside:.2f} us", f"< {MOST_STAGE_US:.0f} us", outside < MOST_STAGE_US),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
