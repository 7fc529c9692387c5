"""The virtual clock: projected times are those of a run with real waiting, and cost next to none."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.event_loop import VirtualLoop


@pytest.fixture
def clock():
    with VirtualClock() as clock:
        yield clock


def busy(seconds):
    """The agent's own code: works, and does not sleep."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def call(clock, seconds, own=0.0):
    clock.hold_until(clock() + seconds)
    busy(own)


async def acall(clock, seconds, own=0.0):
    await clock.hold_until_async(clock() + seconds)
    busy(own)


def test_a_sequential_run_adds_up(clock):
    """A loop of calls takes the sum of their durations, at once, whatever the agent does in between."""
    began = time.perf_counter()
    for seconds in (4.0, 2.5, 30.0):
        call(clock, seconds, own=0.005)
    assert clock() == 36.5
    assert time.perf_counter() - began < 18


def test_a_gather_costs_its_slowest_branch(clock):
    """Parallel calls overlap."""

    async def run():
        await asyncio.gather(*(acall(clock, seconds) for seconds in (1.0, 4.0, 2.0)))

    asyncio.run(run())
    assert clock() == 4.0


def test_a_fast_branch_goes_on_beside_a_slow_one(clock):
    """After the fast call a further one begins at once, with own work between, and not after the slow one."""
    ends = {}

    async def branch(name, *calls):
        for seconds in calls:
            await acall(clock, seconds, own=0.05)
        ends[name] = clock()

    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(branch("slow", 5.0))
            group.create_task(branch("fast", 1.0, 3.0))
            group.create_task(branch("long", 1.0, 3.0, 2.0))
        await acall(clock, 0.25)

    asyncio.run(run())
    assert ends == {"fast": 4.0, "slow": 5.0, "long": 6.0}
    assert clock() == 6.25


def test_sleeps_of_the_agent_are_events(clock):
    """A retry's wait takes virtual time, in tasks and in threads, and no real time."""

    async def run():
        await acall(clock, 1.0)
        await asyncio.sleep(8)
        await asyncio.gather(asyncio.sleep(2), acall(clock, 0.5))

    began = time.perf_counter()
    asyncio.run(run())
    assert clock() == 11.0
    call(clock, 1.0)
    time.sleep(20)
    assert clock() == 32.0
    assert time.perf_counter() - began < 16


def test_a_timeout_cancels_a_call_that_takes_longer(clock):
    """The timeout comes first on the virtual clock; the cancelled answer does not move it."""

    async def run():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(acall(clock, 10.0), timeout=2)
        first = clock()
        await acall(clock, 1.0)
        return first

    assert asyncio.run(run()) == 2.0
    assert clock() == 3.0


def test_threads_overlap(clock):
    """A pool of two works off four calls as it would in real time, with own work between."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda seconds: call(clock, seconds, own=0.02), (3.0, 1.0, 1.0, 2.0)))
    # Worker one: 3; worker two: 1, 1; the last call begins at 2 and ends at 4.
    assert clock() == 4.0


def test_a_thread_that_works_is_waited_for(clock):
    """A branch's own work of 50 ms does not let the slow answer beside it pass first."""
    starts = []

    def fast():
        call(clock, 1.0)
        busy(0.05)
        starts.append(clock())
        call(clock, 1.0)

    workers = [threading.Thread(target=fast), threading.Thread(target=call, args=(clock, 8.0))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert starts == [1.0]
    assert clock() == 8.0


def test_threads_that_hand_over_to_each_other(clock):
    """A thread that waits for another's result goes on as soon as that is there."""
    results: queue.Queue[float] = queue.Queue()

    def consumer():
        results.get()
        call(clock, 2.0)

    waiting = threading.Thread(target=consumer)
    waiting.start()
    call(clock, 1.0)
    results.put(clock())
    call(clock, 5.0)
    waiting.join()
    assert clock() == 6.0


def test_tasks_and_threads_together(clock):
    """Calls in ``asyncio.to_thread`` beside calls of tasks, and loops in other threads."""

    async def run():
        await asyncio.gather(
            asyncio.to_thread(call, clock, 2.0, 0.01),
            acall(clock, 1.0, 0.01),
            asyncio.to_thread(lambda: asyncio.run(nested())),
        )
        await acall(clock, 0.5)

    async def nested():
        await asyncio.gather(acall(clock, 1.5), acall(clock, 0.5))
        await acall(clock, 2.0)

    asyncio.run(run())
    assert clock() == 4.0


def test_every_replay_gives_the_same_digits():
    """Durations that floats cannot hold add up to the same bits each time."""

    async def branch(clock, number):
        for step in range(5):
            await acall(clock, 0.1 * (number + 1) + 0.01 * step, own=0.0005 * (number % 3))
            await asyncio.sleep(0.033)

    async def run(clock):
        await asyncio.gather(*(branch(clock, number) for number in range(7)))

    seen = set()
    for _ in range(3):
        with VirtualClock() as clock:
            asyncio.run(run(clock))
            seen.add(clock())
    assert len(seen) == 1


def test_foreign_io_comes_first(clock):
    """A task that talks to a server is not overtaken by an answer that would come much later."""
    order = []

    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        await reader.readline()
        order.append(("tool", clock()))
        writer.close()

    async def model():
        await acall(clock, 10.0)
        order.append(("model", clock()))

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await asyncio.gather(ask(server.sockets[0].getsockname()[1]), model())

    asyncio.run(run())
    assert order == [("tool", 0.0), ("model", 10.0)]


def test_a_loop_that_polls_something_outside_comes_to_rest(clock):
    """A sleep in a loop without any call is slept really after a while, so the clock does not run away."""

    async def run(flag):
        while not flag.is_set():
            await asyncio.sleep(0.01)

    flag = threading.Event()
    timer = threading.Timer(0.4, flag.set)
    timer.start()
    asyncio.run(run(flag))
    timer.join()
    assert clock() <= 0.01 * 25


def test_everything_is_put_back():
    """After the run, time and loops are the real ones again; nobody is left waiting."""
    real = time.sleep
    loop = asyncio.new_event_loop()
    with VirtualClock() as clock:
        loop.run_until_complete(acall(clock, 5.0))
        assert loop.time() == 5.0
        late = loop.call_later(0.01, lambda: None)
        stuck = threading.Thread(target=clock.hold_until, args=(1e9,))
        stuck.start()
    stuck.join(5)
    assert not stuck.is_alive()
    assert time.sleep is real
    assert abs(loop.time() - time.monotonic()) < 1
    assert abs(late.when() - time.monotonic()) < 1
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_trio_tasks_overlap():
    """Under trio, too, a fan-out costs its slowest branch and a fast branch goes on."""
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def branch(clock, *calls):
        for seconds in calls:
            await acall(clock, seconds, own=0.01)

    async def run(clock):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(branch, clock, 5.0)
            nursery.start_soon(branch, clock, 1.0, 3.0)
        await acall(clock, 1.0)

    with VirtualClock() as clock:
        trio.run(run, clock)
        assert clock() == 6.0


def test_a_cancelled_trio_call_does_not_move_the_clock():
    """What a task gave up is not waited for, and more calls at once than trio has threads by default overlap."""
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def run(clock):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acall, clock, 50.0)
            await acall(clock, 1.0)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            for _ in range(45):
                nursery.start_soon(acall, clock, 2.0)

    with VirtualClock() as clock:
        trio.run(run, clock)
        assert clock() == 3.0


def test_loops_that_cannot_be_hooked(clock, monkeypatch):
    """A loop that is not written in Python, such as uvloop's, is watched like a thread."""
    monkeypatch.setattr(VirtualLoop, "can_hook", staticmethod(lambda loop: False))

    async def branch(*calls):
        for seconds in calls:
            await acall(clock, seconds, own=0.01)

    async def run():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await acall(clock, 1e6)
        await asyncio.gather(branch(5.0), branch(1.0, 3.0))
        await branch(1.0)

    asyncio.run(run())
    assert clock() == 6.0


def test_a_thread_that_never_rests_is_not_waited_for_for_ever():
    """A thread that spun before the run began holds the first answer up for a moment, and no answer after that."""
    spinning = threading.Event()
    spinner = threading.Thread(target=lambda: [None for _ in iter(spinning.is_set, True)])
    spinner.start()
    began = time.perf_counter()
    with VirtualClock() as clock:
        for _ in range(20):
            call(clock, 3.0)
        spinning.set()
        spinner.join()
        assert clock() == 60.0
    assert time.perf_counter() - began < 5


def test_a_call_that_blocks_the_loop(clock):
    """A synchronous call inside a task holds up the whole loop, as it does in real life."""

    async def run():
        await asyncio.gather(acall(clock, 1.0), blocking())

    async def blocking():
        call(clock, 3.0)

    asyncio.run(run())
    assert clock() == 3.0
