"""The child's side of a question: may this request leave, or is it answered by the session?"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from pytest_tokenbudget import errors
from pytest_tokenbudget.capture.children.channel import Channel, connect
from pytest_tokenbudget.capture.children.frames import Frame, pairs, pieces
from pytest_tokenbudget.capture.children.spool_directory import Address
from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing

Result = TypeVar("Result")


class Asking:
    """Asks the session about each request, and gives what it answers."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def answer(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Ask, and wait for the answer; ``None`` where the request is to leave, our own error where it may not."""
        what = f"{outgoing.method} {outgoing.url.partition('?')[0]}"
        channel, frame = self._ask(_question(outgoing), outgoing.body or b"", what)
        return None if "live" in frame.head else _local_answer(frame, channel)

    def check_connection(self, host: str, port: int | None, opened_by: str) -> None:
        """Ask whether a connection may be opened; raises our own error where it may not."""
        self._ask({"pid": os.getpid(), "connection": [host, port, opened_by]}, b"", f"a connection to {host}")

    def _ask(self, question: dict[str, Any], blob: bytes, what: str) -> tuple[Channel, Frame]:
        try:
            channel = connect(self._address)
            channel.send(question, blob)
            frame = channel.receive()
        except OSError as error:
            raise errors.TokenBudgetError(
                f"{what} was not let out: the test session that this process belongs to cannot be asked ({error})",
                remedy="end this process with the session that started it",
            ) from None
        if "error" in frame.head:
            problem = getattr(errors, frame.head["error"], errors.TokenBudgetError)
            raise problem(frame.head["message"], remedy=frame.head["remedy"])
        return channel, frame

    async def answer_async(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Ask without blocking the event loop; see :meth:`answer`."""
        return await _in_thread(lambda: self.answer(outgoing))


def _question(outgoing: Outgoing) -> dict[str, Any]:
    names = ("client", "method", "url", "headers", "stage", "streamed")
    asked = {name: getattr(outgoing, name) for name in names}
    return {"pid": os.getpid(), "body": outgoing.body is not None} | asked


def _local_answer(frame: Frame, channel: Channel) -> LocalAnswer:
    """The session's answer; it is asked again when each chunk may go, since it alone knows the time."""
    head, blob = frame

    def before_chunk(number: int) -> None:
        with suppress(OSError):  # the sample has ended: nobody holds anything any more
            channel.send({"chunk": number})
            channel.receive()

    async def before_chunk_async(number: int) -> None:
        await _in_thread(lambda: before_chunk(number))

    return LocalAnswer(
        status=head["status"],
        headers=pairs(head["headers"]),
        chunks=pieces(blob, head["lengths"]),
        before_chunk=before_chunk,
        before_chunk_async=before_chunk_async,
        fault=head["fault"],
        answered_by=head["answered_by"],
    )


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Run something that blocks in a thread of its own: a pool's threads could be too few for all that are held."""
    trio = sys.modules.get("trio")
    if trio is not None and _runs_trio(trio):
        result: Result = await trio.to_thread.run_sync(work, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True)
        return result
    import asyncio

    outcome: Future[Result] = Future()

    def run() -> None:
        if outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)

    threading.Thread(target=run, name="tokenbudget-question", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _runs_trio(trio: Any) -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
