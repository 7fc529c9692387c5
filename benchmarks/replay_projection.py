"""Projected latency against the truth: schedules that are made up are run once with real waiting, and replayed.

Each schedule is an agent of its own: a tree of calls one after the other, beside each other (tasks, task groups, thread
pools, ``asyncio.to_thread``), behind a semaphore, or as producer and consumer. It asks a real server that takes its time,
its run is recorded, and the replay's projected total is held against what the real run took.

Targets: within 2 % of the real total; the same digits in every replay of sequential and asyncio schedules, also with 50 ms
of the agent's own work after each call and with all processors busy; threads within 2 % there.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from benchmarks.figures import Figure, report
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import record, save
from pytest_tokenbudget.tokens.counter import Counter

Kind = Literal["call", "sequence", "gather", "group", "pool", "to_thread", "semaphore", "queue"]
ASYNC: tuple[Kind, ...] = ("sequence", "gather", "group", "semaphore", "queue")
MIXED: tuple[Kind, ...] = (*ASYNC, "to_thread", "pool")
SCHEDULES, REPLAYS = 20, 3
MOST = 0.02
BUSY = 0.05


@dataclass(frozen=True)
class Node:
    """A part of a schedule: a call that takes ``seconds``, or parts that run as ``kind`` says."""

    kind: Kind
    parts: tuple[Node, ...] = ()
    seconds: float = 0.0

    @property
    def threaded(self) -> bool:
        """Whether threads take part."""
        return self.kind in ("pool", "to_thread") or any(part.threaded for part in self.parts)


def made_up(chance: random.Random, kinds: tuple[Kind, ...], depth: int) -> Node:
    """A schedule by chance."""
    if depth == 0 or chance.random() < 0.3:
        return Node("call", seconds=round(chance.uniform(0.15, 0.6), 3))
    kind = chance.choice(kinds)
    return Node(kind, tuple(made_up(chance, kinds, depth - 1) for _ in range(chance.randint(2, 3))))


def schedules() -> list[Node]:
    """Twenty: sequential ones, those of one asyncio loop, and those with threads."""
    chance = random.Random(20260301)
    found = [Node("sequence", tuple(made_up(chance, ("sequence",), 1) for _ in range(4))) for _ in range(4)]
    found += [Node("sequence", tuple(made_up(chance, ASYNC, 3) for _ in range(2))) for _ in range(8)]
    while len(found) < SCHEDULES:
        node = Node("sequence", tuple(made_up(chance, MIXED, 3) for _ in range(2)))
        if node.threaded:
            found.append(node)
    return found


class Agent:
    """Runs a schedule; every call tells the server how long to take.

    Args:
        url: Of the server.
        busy: Own work after each call, s.
    """

    def __init__(self, url: str, busy: float = 0.0) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._busy = busy

    def work(self) -> None:
        """The agent's own code."""
        end = time.perf_counter() + self._busy
        while time.perf_counter() < end:
            pass

    async def run(self, node: Node) -> None:
        """Run a schedule, each of its calls with a client that is open already."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(verify=False, limits=limits, timeout=60) as client:
            with httpx.Client(verify=False, limits=limits, timeout=60) as blocking:
                await self._run(node, client, blocking)

    async def _run(self, node: Node, client: httpx.AsyncClient, blocking: httpx.Client) -> None:
        parts = [(part, client, blocking) for part in node.parts]
        if node.kind == "call":
            await client.post(self._url, json=_body(node.seconds))
            self.work()
        elif node.kind == "sequence":
            for part in parts:
                await self._run(*part)
        elif node.kind == "gather":
            await asyncio.gather(*(self._run(*part) for part in parts))
        elif node.kind == "group":
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._run(*part))
        elif node.kind == "semaphore":
            limit = asyncio.Semaphore(2)

            async def limited(part: tuple[Node, httpx.AsyncClient, httpx.Client]) -> None:
                async with limit:
                    await self._run(*part)

            await asyncio.gather(*(limited(part) for part in parts))
        elif node.kind == "queue":
            await self._queue(parts)
        elif node.kind == "to_thread":
            await asyncio.gather(*(asyncio.to_thread(self._block, part, blocking) for part in node.parts))
        else:
            await asyncio.get_running_loop().run_in_executor(None, self._pool, node, blocking)

    async def _queue(self, parts: list[tuple[Node, httpx.AsyncClient, httpx.Client]]) -> None:
        """The first half of each part is produced, then consumed by another task with a call of its own."""
        queue: asyncio.Queue[Node | None] = asyncio.Queue(1)

        async def produce() -> None:
            for part in parts:
                await self._run(*part)
                await queue.put(Node("call", seconds=0.2))
            await queue.put(None)

        async def consume() -> None:
            while (node := await queue.get()) is not None:
                await self._run(node, *parts[0][1:])

        await asyncio.gather(produce(), consume())

    def _pool(self, node: Node, blocking: httpx.Client) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: self._block(part, blocking), node.parts))

    def _block(self, node: Node, blocking: httpx.Client) -> None:
        """The calls of a part one after the other, in this thread."""
        if node.kind == "call":
            blocking.post(self._url, json=_body(node.seconds))
            self.work()
        for part in node.parts:
            self._block(part, blocking)


def _body(seconds: float) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": str(seconds)}]}


def serve() -> None:
    """The server, in a process of its own: takes as long as the last message says."""
    from ledger_server import LedgerServer, Reply

    with LedgerServer(lambda asked: Reply(delay=float(asked.body["messages"][-1]["content"]))) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def recorded(url: str, node: Node, path: Path) -> float:
    """Run a schedule with real waiting and record it; what it took, s."""
    recorder = Recorder()
    with watching(recorder):
        took = asyncio.run(_timed(Agent(url), node))
    save(path, record(recorder.exchanges(), builtin_formats(), Counter()))
    return took


async def _timed(agent: Agent, node: Node) -> float:
    started = time.perf_counter()
    await agent.run(node)
    return time.perf_counter() - started


def projected(url: str, node: Node, path: Path, *, busy: float) -> float:
    """Replay a schedule: what it would have taken, s."""
    with VirtualClock(scale=100.0) as clock:
        player = Player(path, clock=clock, formats=builtin_formats(), counter=Counter())
        with watching(Recorder(clock=clock, answerer=player)):
            asyncio.run(Agent(url, busy).run(node))
        problem = player.failure() or player.left_over()
        if problem is not None:
            raise problem
        return clock()


def _burn() -> None:
    while True:
        pass


@contextmanager
def load() -> Iterator[None]:
    """Every processor busy."""
    burners = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(multiprocessing.cpu_count())]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()


def main() -> int:
    """Measure and report."""
    nodes = schedules()
    real, calm, steady = [], [], []
    command = [sys.executable, "-c", "from benchmarks.replay_projection import serve; serve()"]
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{number}.jsonl" for number in range(len(nodes))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            recorded(url, Node("call", seconds=0.0), Path(name) / "first.jsonl")  # pays the imports
            real = [recorded(url, node, path) for node, path in zip(nodes, paths, strict=True)]
            server.kill()
        calm = [projected(url, node, path, busy=0.0) for node, path in zip(nodes, paths, strict=True)]
        with load():
            for node, path in zip(nodes, paths, strict=True):
                steady.append([projected(url, node, path, busy=BUSY) for _ in range(REPLAYS)])
    errors = [abs(calm[at] / real[at] - 1) for at in range(len(nodes))]
    drift = [abs(value / calm[at] - 1) for at, node in enumerate(nodes) if node.threaded for value in steady[at]]
    same = [len({calm[at], *steady[at]}) == 1 for at, node in enumerate(nodes) if not node.threaded]
    return report(
        [
            Figure(
                f"projection against {len(nodes)} real runs, worst",
                f"{max(errors):.2%}",
                f"<= {MOST:.0%}",
                max(errors) <= MOST,
            ),
            Figure(
                f"same digits: {len(same)} sequential and asyncio schedules",
                f"{sum(same)} of {len(same)}",
                "all",
                all(same),
            ),
            Figure(
                f"threads, {len(drift)} replays with own work and load, worst",
                f"{max(drift):.2%}",
                f"<= {MOST:.0%}",
                max(drift) <= MOST,
            ),
            Figure("  real seconds that were replayed", f"{sum(real):.0f} s"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
