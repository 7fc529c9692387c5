"""Counts what an advice would save on the recorded requests, with the cut made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.sample import Values
from pytest_tokenbudget.replay.recount import Cuts, Recording, recount

MOST_RECOUNTS = 60
"""Recordings that are counted again for all of the advice together; each takes some hundredths of a second."""

SHORTENED = 0.9
"""Share of the wanted saving that shorter descriptions must bring to be the cut that a wordy schema's advice means."""

FindRecording = Callable[[str], Recording | None]
"""Gives the recording of a test by its node id, ``None`` where there is none."""


class AdviceRecount:
    """Counts savings anew; an advice keeps its numbers where one of its tests has no recording, or where no cut is like it.

    Args:
        find: Gives the recordings.
        reader: Gives what reads and counts the calls; asked when there is anything to count.
    """

    def __init__(self, find: FindRecording, reader: Callable[[], Reader]) -> None:
        self._find = find
        self._reader = reader
        self._left = MOST_RECOUNTS

    def __call__(self, advice: Advice) -> Advice:
        """Give an advice with the numbers of its cut."""
        if advice.kind not in _CUTS or not 0 < len(advice.tests) <= self._left:
            return advice
        found = [self._find(nodeid) for nodeid in advice.tests]
        recordings = [recording for recording in found if recording is not None]
        cuts = _CUTS[advice.kind](advice, recordings) if len(recordings) == len(found) else None
        if cuts is None:
            return advice
        self._left -= len(recordings)
        results = [
            recount(recording, cuts, self._reader(), nodeid=nodeid)
            for recording, nodeid in zip(recordings, advice.tests, strict=True)
        ]
        then = [result.before.total for result in results if result.before is not None]
        now = [result.samples[0].total for result in results]
        tokens = _less(then, now, "input_tokens", "output_tokens")
        cost, seconds = _less(then, now, "cost"), _less(then, now, "latency")
        if cuts.cache:
            # What is served from a cache is still read, and the recording does not tell how much earlier the answer comes.
            tokens, seconds = _less(now, then, "cached_input_tokens"), None
        if cuts.shrink and tokens is not None and tokens < SHORTENED * advice.tokens:
            return advice  # lists of values and examples are no descriptions: that cut is another one
        return replace(
            advice,
            tokens=advice.tokens if tokens is None else max(0, round(tokens)),
            cost=cost if cost is None else max(0.0, cost),
            seconds=seconds if seconds and seconds > 0 else None,
            recounted=True,
        )


def _less(then: Sequence[Values], now: Sequence[Values], *names: str) -> float | None:
    """By how much metrics are smaller now, over all runs; ``None`` where one is not known."""
    values = [side.get(name) for sides in (then, now) for side in sides for name in names]
    if None in values:
        return None
    known = [value or 0 for value in values]
    half = len(known) // 2
    return sum(known[:half]) - sum(known[half:])


def _without_tool(advice: Advice, recordings: Sequence[Recording]) -> Cuts | None:
    return Cuts(drop_tools=(advice.name,), stage=advice.stage)


def _without_idle_tool(advice: Advice, recordings: Sequence[Recording]) -> Cuts | None:
    return Cuts(drop_tools=(advice.name,), stage=advice.stage, keeps_used_tools=True)


def _with_shorter_schema(advice: Advice, recordings: Sequence[Recording]) -> Cuts | None:
    parts = [
        part.tokens
        for recording in recordings
        if advice.stage in recording.measured.composition
        for part in recording.measured.composition[advice.stage].parts
        if part.part == "tools" and part.name == advice.name
    ]
    kept = 1 - advice.tokens / sum(parts) if sum(parts) else 1.0
    return Cuts(shrink={advice.name: kept}, stage=advice.stage) if 0 <= kept < 1 else None


def _without_stage(advice: Advice, recordings: Sequence[Recording]) -> Cuts | None:
    stages = {call.stage for recording in recordings for call in recording.calls}
    has_inner = any(stage.startswith(f"{advice.stage}/") for stage in stages)
    return None if has_inner else Cuts(drop_stages=(advice.stage,))


def _with_cache(advice: Advice, recordings: Sequence[Recording]) -> Cuts | None:
    return Cuts(cache=True, stage=advice.stage)


_CUTS: dict[str, Callable[[Advice, Sequence[Recording]], Cuts | None]] = {
    "unused_tool": _without_tool,
    "tool_by_intent": _without_tool,
    "large_tool": _without_idle_tool,
    "wordy_schema": _with_shorter_schema,
    "repeated_text": _with_shorter_schema,
    "extra_call": _without_stage,
    "cache_unused": _with_cache,
}
"""The cut that an advice asks for, by its kind."""
