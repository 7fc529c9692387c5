"""Which recorded answer belongs to a request: by stage and order, then by likeness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.replay.cassette import RecordedCall, digest

RECORD_AGAIN = "pytest --tokenbudget-traffic=record"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that wants an answer.

    Attributes:
        stage: Path of the stage that code has opened.
        api: Its wire format.
        body: Its JSON object.
        tools: Names of the tools that it offers.
    """

    stage: str
    api: str
    body: dict[str, Any]
    tools: frozenset[str]


class Matcher:
    """Hands out the answers of a cassette, each once.

    Answers of a stage are given in the order in which they were recorded. Where several were under way at the same time,
    their order is chance, and the one whose request is most like the one that is asked now is given.

    Args:
        calls: The recorded calls.
    """

    def __init__(self, calls: Sequence[RecordedCall]) -> None:
        self._left = list(calls)
        self._given = 0
        self._lock = Lock()

    def match(self, wanted: Wanted) -> RecordedCall:
        """The answer to a request.

        Raises:
            Diverged: If there is none that fits; it says what was asked and what was nearest.
        """
        with self._lock:
            candidates = self._candidates(wanted.stage)
            if not candidates:
                raise self._none_left(wanted)
            call = max(candidates, key=lambda call: (likeness(wanted.body, call.body), -call.number))
            _check(wanted, call)
            self._left.remove(call)
            self._given += 1
            return call

    def left_over(self) -> Diverged | None:
        """Why the run ended too early; ``None`` where every answer was given."""
        if not self._left:
            return None
        stages = ", ".join(sorted({call.stage or "main" for call in self._left}))
        return Diverged(
            f"the run made {self._given} calls, the cassette has {self._given + len(self._left)}:"
            f" {len(self._left)} recorded answers were not asked for (stage {stages})",
            remedy=RECORD_AGAIN,
        )

    def _candidates(self, stage: str) -> list[RecordedCall]:
        """The next answer of a stage, and those that were under way together with it."""
        of_stage = [call for call in self._left if call.stage == stage]
        if not of_stage:
            return []
        ended = of_stage[0].started + of_stage[0].duration
        return [call for call in of_stage if call is of_stage[0] or call.started < ended]

    def _none_left(self, wanted: Wanted) -> Diverged:
        where = f"stage {wanted.stage!r}" if wanted.stage else "no stage"
        if self._left:
            nearest = max(self._left, key=lambda call: likeness(wanted.body, call.body))
            hint = f"nearest: call {nearest.number + 1}, {nearest.api} in stage {nearest.stage or 'main'!r}"
        else:
            hint = "all its answers were given"
        return Diverged(
            f"the run makes call {self._given + 1} ({wanted.api} in {where}) and the cassette has no answer to it; {hint}",
            remedy=RECORD_AGAIN,
        )


def _check(wanted: Wanted, call: RecordedCall) -> None:
    """An answer that no longer makes sense is no answer."""
    if call.api != wanted.api:
        raise Diverged(
            f"call {call.number + 1} was recorded from {call.api}, the run now asks {wanted.api}", remedy=RECORD_AGAIN
        )
    missing = [name for name in call.tool_calls if name not in wanted.tools]
    if missing:
        offered = ", ".join(sorted(wanted.tools)) or "none"
        raise Diverged(
            f"the recorded answer to call {call.number + 1} calls the tool {missing[0]!r}, which the request no longer"
            f" offers; it offers: {offered}",
            remedy=RECORD_AGAIN,
        )


def likeness(asked: dict[str, Any], recorded: dict[str, Any]) -> float:
    """How alike two requests are: the share of their parts that are the same, between 0 and 1."""
    ours, theirs = _parts(asked), _parts(recorded)
    union = len(ours | theirs)
    return len(ours & theirs) / union if union else 1.0


def _parts(body: dict[str, Any]) -> frozenset[str]:
    parts = set()
    for key, value in body.items():
        for item in value if isinstance(value, list) else [value]:
            parts.add(f"{key}:{digest(item)}")
    return frozenset(parts)
