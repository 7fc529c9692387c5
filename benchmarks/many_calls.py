"""How the cost of a call grows with the number of calls before it, under ceilings of `stop_at`.

Each call passes what a test's call passes: the ceiling before it leaves, the recorder, the reading of its answer. The time
for 2,500 to 20,000 calls gives the exponent: 1 is a cost a call that does not grow.
"""

from __future__ import annotations

import json
import math
import sys
import time

from benchmarks.figures import Figure, report
from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.measure.metrics import metric_table, parse_metric
from pytest_tokenbudget.measure.reading import Reader, StageFinder
from pytest_tokenbudget.plugin.ceiling import Ceiling
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.stats.statistic import rational
from pytest_tokenbudget.tokens.counter import Counter

SIZES = (2_500, 5_000, 10_000, 20_000)
MOST_EXPONENT = 1.1
MOST_EACH_MS = 1.0
CEILINGS = ("calls", "cost", "worker.input_tokens", "*.output_tokens", "worker.latency", "call_latency.p95")

URL = "https://api.openai.com/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()
ANSWER = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
    }
).encode()
HEADERS = (("content-type", "application/json"),)


def seconds(calls: int) -> float:
    """Seconds for some calls of one sample under ceilings that are never passed."""
    table = metric_table()
    reader = Reader(builtin_formats(), Counter(), PriceBook(), StageFinder((), lambda call: None))
    clock = iter(range(10**9)).__next__
    recorder = Recorder(clock=lambda: clock() / 1000)
    running = RunningSample(recorder, reader, table, recorder.clock, 0.0)
    running.call_started = running.clock()
    ceilings = tuple((parse_metric(text, table), rational(10**12)) for text in CEILINGS)
    ceiling = Ceiling(ceilings, running)
    outgoing = Outgoing("httpx 0.28.1", "POST", URL, HEADERS, BODY, "worker", streamed=False)
    began = time.perf_counter()
    for number in range(calls):
        span = recorder.open_span("worker")
        ceiling.before_send(outgoing)
        started = recorder.clock()
        exchange = Exchange(
            client="httpx 0.28.1",
            method="POST",
            url=URL,
            request_headers=HEADERS,
            request_body=BODY,
            status=200,
            response_headers=HEADERS,
            chunks=(ANSWER,),
            chunk_times=(started + 0.001,),
            started=started,
            ended=started + 0.001,
            stage="worker",
            sequence=number,
        )
        ceiling.on_end(exchange)
        if span is not None:
            span.close()
    return time.perf_counter() - began


def main() -> int:
    """Measure and report."""
    seconds(100)
    times = [seconds(size) for size in SIZES]
    exponent = math.log(times[-1] / times[0]) / math.log(SIZES[-1] / SIZES[0])
    each = times[-1] / SIZES[-1] * 1e3
    shown = " / ".join(f"{value:.2f}" for value in times)
    return report(
        [
            Figure(f"stop_at over {' / '.join(f'{size:,}' for size in SIZES)} calls", f"{shown} s"),
            Figure("exponent of its growth", f"{exponent:.2f}", f"<= {MOST_EXPONENT}", exponent <= MOST_EXPONENT),
            Figure("a call among 20,000", f"{each:.3f} ms", f"<= {MOST_EACH_MS} ms", each <= MOST_EACH_MS),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
