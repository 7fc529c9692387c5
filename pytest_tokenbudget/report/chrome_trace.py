"""``report.trace.json``: the calls on the sample's clock, for https://ui.perfetto.dev and ``chrome://tracing``.

The format: "Trace Event Format" (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, read
2026-11-28). Each test is a process, each row of calls that ran one after the other a thread. Times are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.report.json_report import call_json
from pytest_tokenbudget.report.page.waterfall import lanes_of
from pytest_tokenbudget.wording import plain

MICROSECONDS = 1e6


def write(run: RunView, path: Path) -> None:
    """Write the trace; folders are made as needed."""
    write_atomically(path, json.dumps(trace(run), separators=(",", ":")).encode())


def trace(run: RunView) -> dict[str, Any]:
    """The calls of each test's last sample as complete events."""
    return {
        "displayTimeUnit": "ms",
        "otherData": {"generator": f"pytest-tokenbudget {plain(run.version, limit=40)}"},
        "traceEvents": [event for number, result in enumerate(run.results, 1) for event in _test(number, result)],
    }


def _test(process: int, result: TestResult) -> Iterator[dict[str, Any]]:
    yield _named("process_name", process, 0, plain(result.nodeid))
    calls = result.samples[-1].calls if result.samples else ()
    lanes = lanes_of(calls)
    for lane in range(max(lanes, default=-1) + 1):
        yield _named("thread_name", process, lane, "calls" if lane == 0 else f"calls beside, {lane}")
    for call, lane in zip(calls, lanes, strict=True):
        yield from _call(process, lane, call)


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _call(process: int, lane: int, call: Call) -> Iterator[dict[str, Any]]:
    place = {"ph": "X", "pid": process, "tid": lane, "ts": round(call.started * MICROSECONDS, 3)}
    failed = "" if call.succeeded else f" ({plain(call.error or 'failed', limit=60)})"
    details = {
        name: plain(value) if isinstance(value, str) else value
        for name, value in call_json(call).items()
        if isinstance(value, str | int | float) and name not in ("stage", "started", "latency")
    }
    yield {
        **place,
        "name": f"{plain(call.stage, limit=80)}{failed}",
        "cat": "call" if call.succeeded else "call,failed",
        "dur": round(call.latency * MICROSECONDS, 3),
        "args": {**details, "tool_calls": ", ".join(plain(name, limit=60) for name in call.tool_calls)},
    }
    if call.ttft is not None:
        yield {
            **place,
            "name": "first chunk",
            "cat": "ttft",
            "dur": round(min(call.ttft, call.latency) * MICROSECONDS, 3),
        }
