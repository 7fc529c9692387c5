"""Stages in code: what is inside them, in which contexts they hold, and for how long they are open."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage import current_path, stage
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.errors import TokenBudgetError


class Clock:
    """Stands still but where a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spans(clock: Clock) -> Iterator[Callable[[], list[tuple[str, float, float]]]]:
    """Watches meanwhile; gives the times in which stages were open, by the clock."""
    recorder = Recorder(clock=clock)
    with watching(recorder):
        yield lambda: sorted((span.stage, span.started, span.ended) for span in recorder.spans())


@pytest.mark.usefixtures("recorder")
class TestWhere:
    """What is inside a stage."""

    def test_stages_nest_and_close(self) -> None:
        """A stage within a stage has its path, and what comes after is outside."""
        with stage("worker"):
            with stage("finalize"):
                assert current_path() == "worker/finalize"
            assert current_path() == "worker"
        assert current_path() == ""

    def test_an_exception_closes_it(self) -> None:
        """The agent may fail inside."""
        with pytest.raises(LookupError), stage("worker"):
            raise LookupError
        assert current_path() == ""

    def test_tasks_and_threads_inherit_it(self) -> None:
        """Tasks, asyncio.to_thread and a pool that copies the context are inside; each task's own stages are its own."""

        async def one(name: str) -> tuple[str, str]:
            with stage(name):
                await asyncio.sleep(0)
                return current_path(), await asyncio.to_thread(current_path)

        async def agent() -> Any:
            with stage("worker"):
                return await asyncio.gather(one("a"), one("b")), current_path()

        assert asyncio.run(agent()) == ([("worker/a",) * 2, ("worker/b",) * 2], "worker")
        with stage("worker"), ThreadPoolExecutor(2) as pool:
            assert pool.submit(contextvars.copy_context().run, current_path).result() == "worker"
            assert pool.submit(current_path).result() == ""

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_anyio_inherits_it(self, backend: str) -> None:
        """Task groups and worker threads of anyio, on both of its backends."""
        anyio = pytest.importorskip("anyio", reason="anyio is not installed")
        pytest.importorskip(backend, reason=f"{backend} is not installed")
        seen = set()

        async def one(name: str) -> None:
            with stage(name):
                await anyio.sleep(0)
                seen.add(await anyio.to_thread.run_sync(current_path))

        async def agent() -> None:
            with stage("worker"):
                async with anyio.create_task_group() as group:
                    group.start_soon(one, "a")
                    group.start_soon(one, "b")

        anyio.run(agent, backend=backend)
        assert seen == {"worker/a", "worker/b"}

    def test_a_task_that_outlives_its_stage_stays_inside(self) -> None:
        """What was started in a stage belongs to it, also when the stage has been closed around its start."""

        async def agent() -> str:
            with stage("worker"):
                task = asyncio.create_task(asyncio.sleep(0.01, None))
                late = asyncio.create_task(_later(task))
            assert current_path() == ""
            return await late

        async def _later(task: Any) -> str:
            await task
            return current_path()

        assert asyncio.run(agent()) == "worker"

    def test_one_object_in_many_threads(self) -> None:
        """A stage object may be entered by several threads at the same time, and again within itself."""
        shared, start = stage("worker"), threading.Barrier(4)

        def run() -> tuple[str, str, str]:
            start.wait()
            with shared:
                with shared:
                    inner = current_path()
                outer = current_path()
            return inner, outer, current_path()

        with ThreadPoolExecutor(4) as pool:
            found = [job.result() for job in [pool.submit(run) for _ in range(4)]]
        assert found == [("worker/worker", "worker", "")] * 4

    def test_stages_may_close_in_another_order(self) -> None:
        """Closing the outer one first leaves the inner one open, on its own path."""
        outer, inner = stage("a"), stage("b")
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        assert current_path() == "a/b"
        inner.__exit__(None, None, None)
        assert current_path() == ""

    def test_decorated_functions(self) -> None:
        """Functions, methods of every kind and coroutine functions run inside."""

        class Agent:
            @stage("a")
            def run(self) -> str:
                return current_path()

            @stage("b")
            @classmethod
            def made(cls) -> str:
                return current_path()

            @staticmethod
            @stage("c")
            def helps() -> str:
                return current_path()

            @stage("d")
            async def waits(self) -> str:
                await asyncio.sleep(0)
                return current_path()

        agent = Agent()
        assert [agent.run(), Agent.made(), agent.helps(), asyncio.run(agent.waits())] == ["a", "b", "c", "d"]

        @stage("e")
        def hands_out() -> Any:
            return agent.waits()

        assert asyncio.run(hands_out()) == "e/d", "a plain function that gives a coroutine"
        assert current_path() == ""

    def test_a_generator_is_inside_and_its_consumer_is_not(self) -> None:
        """Between two items the consumer runs in its own stage; send, throw, close and the result pass through."""
        log: list[object] = []

        @stage("worker")
        def agent() -> Any:
            try:
                log.append((current_path(), (yield 1)))
                with stage("inner"):
                    try:
                        yield 2
                    except LookupError:
                        log.append(current_path())
                        yield 3
                return "done"
            finally:
                log.append(("closed in", current_path()))

        with stage("consumer"):
            items = agent()
            assert (next(items), current_path()) == (1, "consumer")
            assert (items.send("sent"), items.throw(LookupError)) == (2, 3)
            assert current_path() == "consumer"
            with pytest.raises(StopIteration) as stop:
                next(items)
            assert stop.value.value == "done"
            left = agent()
            next(left)
            left.close()
        assert log == [
            ("consumer/worker", "sent"),
            "consumer/worker/inner",
            ("closed in", "consumer/worker"),
            ("closed in", "consumer/worker"),
        ]

    def test_an_async_generator_is_inside_and_its_consumer_is_not(self) -> None:
        """The same for what streams asynchronously, also where the consumer leaves it before its end."""
        log: list[object] = []

        @stage("worker")
        async def agent() -> AsyncIterator[int]:
            try:
                for number in range(3):
                    log.append(current_path())
                    yield number
            finally:
                log.append("closed")

        async def consume() -> None:
            async for _ in agent():
                assert current_path() == ""
            items = agent()
            async for _ in items:
                break
            await items.aclose()  # type: ignore[attr-defined]

        asyncio.run(consume())
        assert log == ["worker"] * 3 + ["closed", "worker", "closed"]

    def test_the_call_of_a_client_is_in_its_stage(self, httpx: Any, server: Any, recorder: Recorder) -> None:
        """What is recorded carries the stage that was open when the request was sent."""
        with httpx.Client() as client, stage("worker"):
            client.get(server.url)
        assert [exchange.stage for exchange in recorder.exchanges()] == ["worker"]


class TestHowLong:
    """When a stage is open."""

    def test_a_stage_is_open_while_its_block_runs(self, clock: Clock, spans: Any) -> None:
        """From its beginning to its end, each time that it is entered."""
        for start in (1.0, 5.0):
            clock.now = start
            with stage("worker"):
                clock.now = start + 2
        assert spans() == [("worker", 1.0, 3.0), ("worker", 5.0, 7.0)]

    def test_a_generator_is_open_while_its_own_code_runs(self, clock: Clock, spans: Any) -> None:
        """The time that its consumer takes is not the stage's."""

        @stage("worker")
        def agent() -> Iterator[int]:
            for _ in range(2):
                clock.now += 1
                yield 0

        for _ in agent():
            clock.now += 100
        assert [(started, ended) for _, started, ended in spans()] == [(0.0, 1.0), (101.0, 102.0), (202.0, 202.0)]

    def test_what_is_still_open_is_closed_at_the_end(self, clock: Clock) -> None:
        """A stage that nobody left is open until it is asked for, and no stage of the next sample."""
        recorder = Recorder(clock=clock)
        left = stage("worker")
        with watching(recorder):
            left.__enter__()
            clock.now = 3.0
            assert [(span.started, span.ended) for span in recorder.spans()] == [(0.0, 3.0)]
        with watching(Recorder()):
            assert current_path() == ""
        left.__exit__(None, None, None)


class TestOutside:
    """What stays in the application."""

    def test_it_does_nothing(self) -> None:
        """Without a watch no stage is open, decorated functions are themselves, and nothing is kept."""
        kept = stage("worker")
        with kept:
            assert current_path() == ""

        @stage("worker")
        def agent() -> Iterator[str]:
            yield current_path()

        assert list(agent()) == [""]
        assert kept._opened is None

    def test_what_inspect_says_stays(self) -> None:
        """Frameworks look at what they are given: kind, name and signature are those of the function."""

        def plain(a: int, *, b: str = "x") -> None: ...
        async def waits(a: int) -> None: ...
        def items(a: int) -> Iterator[int]:
            yield a

        async def stream(a: int) -> AsyncIterator[int]:
            yield a

        for function in (plain, waits, items, stream):
            decorated = stage("worker")(function)
            assert inspect.signature(decorated) == inspect.signature(function)
            assert decorated.__qualname__ == function.__qualname__
            for kind in ("iscoroutinefunction", "isgeneratorfunction", "isasyncgenfunction", "isfunction"):
                assert getattr(inspect, kind)(decorated) == getattr(inspect, kind)(function)

    def test_a_generator_of_an_earlier_sample(self) -> None:
        """What was left over when its sample ended does not open a stage in the next one."""

        @stage("worker")
        def agent() -> Iterator[str]:
            while True:
                yield current_path()

        with watching(Recorder()):
            items = agent()
            assert next(items) == "worker"
        assert next(items) == ""
        late = Recorder()
        with watching(late):
            assert next(items) == "worker"
        del items
        gc.collect()
        assert {span.stage for span in late.spans()} == {"worker"}

    @pytest.mark.parametrize("name", ["", " ", "a/b", "a,b", "*", "x" * 101, "a\nb", " a", None, 3])
    def test_names_that_would_spoil_reports_are_refused(self, name: Any) -> None:
        """With the reason and a name that would do."""
        with pytest.raises(TokenBudgetError, match="a stage cannot be called"):
            stage(name)

    def test_what_is_no_function_cannot_be_decorated(self) -> None:
        """A class has no time in which it runs."""
        with pytest.raises(TokenBudgetError, match="cannot decorate"):
            stage("worker")(int)
