"""Computes when the pieces of an answer are due, and holds them until then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing


class Holder(Protocol):
    """Something that holds an answer back until it is due: the virtual clock."""

    def __call__(self) -> float:
        """Now, virtual s."""

    def hold_until(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); blocks a thread."""

    async def hold_until_async(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); suspends a task."""


class NoWaiting:
    """A holder whose time stands still: answers are given at once."""

    def __call__(self) -> float:
        """Now: always 0."""
        return 0.0

    def hold_until(self, due: float) -> None:
        """Return at once."""

    async def hold_until_async(self, due: float) -> None:
        """Return at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times at which an answer's pieces are due.

    Attributes:
        holder: Who holds them.
        started: When the request left, virtual s.
        head: When the response begins, s after that.
        pieces: When each chunk is there, s after ``started``; never falling.
    """

    holder: Holder
    started: float
    head: float
    pieces: tuple[float, ...] = ()

    def before_chunk(self, number: int) -> None:
        """Hold a thread until a chunk is due."""
        if number < len(self.pieces):
            self.holder.hold_until(self.started + self.pieces[number])

    async def before_chunk_async(self, number: int) -> None:
        """Hold a task until a chunk is due."""
        if number < len(self.pieces):
            await self.holder.hold_until_async(self.started + self.pieces[number])


class TimedAnswerer:
    """Answers with what its ``prepare`` gives, when that is due: a script or a cassette."""

    def prepare(self, outgoing: Outgoing) -> Prepared | None:
        """Give when the answer to a request is due and what makes it then; ``None`` for what is no model call.

        Raises:
            TokenBudgetError: If there is no answer.
        """
        raise NotImplementedError

    def answer(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer a synchronous client; ``None`` for what is no model call.

        Raises:
            TokenBudgetError: If there is no answer.
        """
        prepared = self.prepare(outgoing)
        if prepared is None:
            return None
        schedule, answer = prepared
        schedule.holder.hold_until(schedule.started + schedule.head)
        return answer()

    async def answer_async(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer an asynchronous client, as :meth:`answer` does a synchronous one."""
        prepared = self.prepare(outgoing)
        if prepared is None:
            return None
        schedule, answer = prepared
        await schedule.holder.hold_until_async(schedule.started + schedule.head)
        return answer()


Prepared = tuple[Schedule, Callable[[], LocalAnswer]]
"""When an answer is due, and what makes it then."""


def stream_times(sizes: Sequence[int], *, ttft: float, duration: float) -> tuple[float, ...]:
    """Compute when the events of a stream are due: content begins at ``ttft`` and flows evenly until ``duration``.

    Args:
        sizes: Generated characters that each event carries.
        ttft: When the first event with content is due, s.
        duration: When the last event is due, s.

    Returns:
        One time an event, s; events before the first content are due at once with it, those after the last at the end.
    """
    whole = sum(sizes)
    first = next((number for number, size in enumerate(sizes) if size), len(sizes))
    begun = sizes[first] if first < len(sizes) else 0
    flow = whole - begun
    times: list[float] = []
    written = 0
    for number, size in enumerate(sizes):
        written += size
        if number <= first and whole:
            times.append(ttft)
        else:
            share = (written - begun) / flow if flow else 1.0
            times.append(ttft + (duration - ttft) * share)
    return tuple(times)
