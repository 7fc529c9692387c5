"""Replaying and keeping a run, against vcrpy with the same traffic, in one process.

The agent asks a server once, while both record it; then each replays the same agent, in turn, without a server. Both read
their cassette each time. The recorded durations are set to those of a real model, 4 s a call, so that what is projected is
a run of two minutes.

Targets: 30 calls of 64 KB at least 2 times as fast as vcrpy and 100 times as fast as what is projected; the cassette of a
ReAct run of 40 calls at most a tenth of vcrpy's.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import vcr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ledger_server import LedgerServer, Reply, ToolCall
from ledger_server.reply import Asked

from benchmarks.figures import Figure, report
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import record, save
from pytest_tokenbudget.tokens.counter import Counter

ROUNDS = 15
CALLS, SECONDS = 30, 4.0
LEAST_FASTER, LEAST_LIVE, MOST_SIZE = 2.0, 100.0, 0.1
Agent = Callable[[httpx.Client], None]


def large(client: httpx.Client) -> None:
    """30 calls of 64 KB."""
    for number in range(CALLS):
        said = [{"role": "user", "content": f"{number} {part} " + "word " * 819} for part in range(15)]
        messages = [{"role": "system", "content": "rule " * 819}, *said]
        client.post("/v1/chat/completions", json={"model": "gpt-4o", "messages": messages}).raise_for_status().json()


def react(client: httpx.Client) -> None:
    """40 calls of an agent that thinks, looks something up and reads what it found."""
    system = "You are a careful assistant that keeps a calendar. " * 60
    tools = [_tool(name) for name in ("read", "write", "move", "cancel", "search", "notify")]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": "Plan my week around what is booked already."},
    ]
    for number in range(40):
        body = {"model": "gpt-4o", "messages": messages, "tools": tools, "temperature": 0}
        answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"]
        found = f"{number} " + "10:00 a meeting with somebody about something. " * 20
        messages += [
            {name: answer[name] for name in ("role", "content", "tool_calls")},
            {"role": "tool", "tool_call_id": answer["tool_calls"][0]["id"], "content": found},
        ]


def _tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"day": {"type": "string", "description": "The day, ISO 8601. " * 4}}}
    about = f"Use calendar_{name} for days. " * 8
    return {"type": "function", "function": {"name": f"calendar_{name}", "description": about, "parameters": schema}}


def think(asked: Asked) -> Reply:
    """What the model answers."""
    if "tools" not in asked.body:
        return Reply("A sentence of an answer. " * 40)
    call = ToolCall("calendar_search", {"day": f"2026-03-{asked.number % 28 + 1:02}"}, f"call_{asked.number}")
    return Reply("I look at the next day before I decide. " * 4, tool_calls=(call,))


class Run:
    """An agent's run, recorded by both.

    Args:
        agent: The agent.
        place: Where the cassettes are written.
    """

    def __init__(self, agent: Agent, place: Path) -> None:
        self._agent = agent
        self.ours = place / f"{agent.__name__}.jsonl"
        self.theirs = place / f"{agent.__name__}.yaml"
        with LedgerServer(think) as server:
            self._client = httpx.Client(base_url=server.url, verify=False)
            recorder = Recorder()
            with watching(recorder):
                agent(self._client)
            takes = record(recorder.exchanges(), builtin_formats(), Counter())
            save(self.ours, [replace(take, duration=SECONDS, times=(SECONDS,)) for take in takes])
            with vcr.VCR(record_mode="once").use_cassette(str(self.theirs)):
                agent(self._client)
        time.sleep(0.1)  # the server's threads end

    def replay_theirs(self) -> float:
        """What vcrpy takes, s."""
        started = time.perf_counter()
        with vcr.VCR(record_mode="none").use_cassette(str(self.theirs)):
            self._agent(self._client)
        return time.perf_counter() - started

    def replay_ours(self) -> tuple[float, float]:
        """What the player takes, and what it projects, s."""
        started = time.perf_counter()
        with VirtualClock() as clock:
            player = Player(self.ours, clock=clock, formats=builtin_formats(), counter=Counter())
            with watching(Recorder(clock=clock, answerer=player)):
                self._agent(self._client)
            problem = player.failure() or player.left_over()
        if problem is not None:
            raise problem
        return time.perf_counter() - started, clock()


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        run = Run(large, Path(name))
        pairs = [(run.replay_theirs(), *run.replay_ours()) for _ in range(ROUNDS)][2:]
        chain = Run(react, Path(name))
        size = chain.ours.stat().st_size / chain.theirs.stat().st_size
        whole = chain.theirs.stat().st_size / 1024
    faster = statistics.median(theirs / ours for theirs, ours, _ in pairs)
    live = statistics.median(projected / ours for _, ours, projected in pairs)
    mine = statistics.median(ours for _, ours, _ in pairs)
    return report(
        [
            Figure(
                f"replay of {CALLS} calls of 64 KB, vcrpy {vcr.__version__}",
                f"{faster:.1f}x faster",
                f">= {LEAST_FASTER:g}x",
                faster >= LEAST_FASTER,
            ),
            Figure(
                f"  the same against the {CALLS * SECONDS:g} s that it projects",
                f"{live:,.0f}x faster",
                f">= {LEAST_LIVE:g}x",
                live >= LEAST_LIVE,
            ),
            Figure("  median of the replays", f"{mine * 1000:.0f} ms"),
            Figure(
                f"cassette of 40 ReAct calls, vcrpy's has {whole:,.0f} KB",
                f"1/{1 / size:.0f}",
                f"<= 1/{1 / MOST_SIZE:.0f}",
                size <= MOST_SIZE,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
