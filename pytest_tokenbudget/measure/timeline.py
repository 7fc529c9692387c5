"""The calls of a run on a virtual clock: the same order and overlap, with other durations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_OVERLAP = 0.05
"""Share of a call's duration by which the next one may seem to begin before it has ended: an agent goes on once it has
the answer, and the last bytes of a stream come later."""

_LEAST_OVERLAP = 0.002
"""The same in s, for short calls."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """A call as it was measured, and the time that it takes on the virtual clock; all in s.

    Attributes:
        started: Its start, s since the sample's start.
        ended: Its end.
        seconds: Its duration on the virtual clock.
    """

    started: float
    ended: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times of a run on the virtual clock.

    Attributes:
        calls: Start and end of each call on the virtual clock, in the order in which the calls were given.
        pace: Seconds on the virtual clock for each second in which the agent's own code ran.
    """

    calls: tuple[tuple[float, float], ...]
    pace: float
    _times: tuple[float, ...]
    _ends: tuple[tuple[float, float], ...]

    def at(self, time: float) -> float:
        """The time on the virtual clock that a measured time becomes.

        It is as long after the calls that had ended by then, on both clocks, as the agent's own code took.
        """
        index = bisect_right(self._times, time) - 1
        measured, virtual = self._ends[index] if index >= 0 else (0.0, 0.0)
        return virtual + self.pace * max(0.0, time - measured)


def timeline(calls: Sequence[TimedCall], pace: float = 1.0) -> Timeline:
    """Put the calls of a run on a virtual clock.

    A call depends on those that ended since another call began: an agent that waits for several answers begins its next
    call after the last of them, and calls that begin together depend on the same ones. What lies between an end and
    the next start is the agent's own code.

    Args:
        calls: The calls.
        pace: Seconds on the virtual clock for each second in which the agent's own code ran.
    """
    # Starts come behind ends of the same time, and a call's end never before its start.
    events = sorted(
        event
        for index, call in enumerate(calls)
        for event in ((call.started, 1, index), (max(call.started, call.ended - _slack(call)), 2, index))
    )
    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(calls)
    times: list[float] = []
    ends: list[tuple[float, float]] = []
    measured = virtual = 0.0
    begun = True
    for time, kind, index in events:
        call = calls[index]
        if kind == 1:
            start = virtual + pace * max(0.0, call.started - measured)
            found[index] = (start, start + call.seconds)
            begun = True
            continue
        end = found[index][1]
        measured, virtual = (call.ended, end) if begun else (max(measured, call.ended), max(virtual, end))
        begun = False
        times.append(time)
        ends.append((measured, virtual))
    return Timeline(tuple(found), pace, tuple(times), tuple(ends))


def _slack(call: TimedCall) -> float:
    duration = call.ended - call.started
    return min(max(_LEAST_OVERLAP, _OVERLAP * duration), 0.5 * duration)
