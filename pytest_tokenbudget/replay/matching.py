"""Which recorded answer belongs to a request: by stage and order, then by likeness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.providers.request import JsonObject
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.replay.likeness import Look, likeness, look_of, names
from pytest_tokenbudget.replay.take import Take

RECORD_AGAIN = "pytest --tokenbudget-traffic=record"

CLEARLY = 0.15
"""By how much more alike a later answer of a stage must be than the next one, to be taken out of order."""

AHEAD = 16
"""How many answers are looked at: more branches beside each other are rare, and looking takes time."""

ALIKE = 0.5
"""From which likeness on an answer of another stage is taken, where the request's stage has none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that wants an answer.

    Attributes:
        stage: Path of the stage that code has opened.
        api: Its wire format.
        body: Its JSON object.
        prompt: Reads what it asks, ``None`` where that cannot be read.
        path: Path of its URL; it tells polls apart, which have no body.
    """

    stage: str
    api: str
    body: JsonObject | None
    prompt: Callable[[], Prompt | None]
    path: str = ""

    def is_asked_by(self, take: Take) -> bool:
        """Whether a recorded request is exactly the same."""
        return take.body == self.body and (self.body is not None or urlsplit(take.url).path == self.path)


class Matcher:
    """Hands out the answers of a cassette, each once; safe with several threads.

    A request gets the first answer of its stage whose recorded request was exactly the same; else the most alike of the
    next answer and those that were under way together with it, whose order is chance; else a later one of the stage that
    is clearly more alike (branches that go on beside each other). A stage that the recording does not know (it was
    renamed, or opened since) takes from the others what is alike.

    Args:
        takes: What was recorded.
        prompt_of: What a recorded request asks.
    """

    def __init__(self, takes: Sequence[Take], prompt_of: Callable[[Take], Prompt | None]) -> None:
        self._takes = tuple(takes)
        self._left = list(range(len(takes)))
        self._prompt_of = prompt_of
        self._looks: dict[int, Look] = {}
        self._lock = Lock()

    def match(self, wanted: Wanted) -> Take:
        """The answer to a request.

        Raises:
            Diverged: If there is none that fits; it says what was asked and what was nearest.
        """
        with self._lock:
            number = self._find(wanted)
            self._check(wanted, number)
            self._left.remove(number)
            return self._takes[number]

    def left_over(self) -> Diverged | None:
        """Why the run ended too early; ``None`` where every answer was given."""
        if not self._left:
            return None
        stages = ", ".join(sorted({self._takes[number].stage or "main" for number in self._left}))
        return Diverged(
            f"the run made {len(self._takes) - len(self._left)} calls, the cassette has {len(self._takes)}:"
            f" {len(self._left)} recorded answers were not asked for (stage {stages})",
            remedy=RECORD_AGAIN,
        )

    def _find(self, wanted: Wanted) -> int:
        takes = self._takes
        of_stage = [number for number in self._left if takes[number].stage == wanted.stage]
        if not of_stage and any(take.stage == wanted.stage for take in takes):
            raise self._no_answer(wanted, self._left[0] if self._left else None)
        candidates = of_stage or self._left
        same = next((number for number in candidates if wanted.is_asked_by(takes[number])), None)
        if same is not None and takes[same].api == wanted.api:
            return same
        if len(of_stage) == 1:
            return of_stage[0]
        if not candidates:
            raise self._no_answer(wanted, None)
        candidates = candidates[:AHEAD]
        look = look_of(wanted.prompt())
        if not of_stage:
            alike, best = self._most_alike(wanted, look, candidates)
            if alike < ALIKE:
                raise self._no_answer(wanted, best)
            return best
        first = takes[of_stage[0]]
        together = [number for number in candidates if number == of_stage[0] or takes[number].started < first.ended]
        alike, likely = self._most_alike(wanted, look, together)
        if alike + CLEARLY >= 1:
            return likely
        others = [number for number in candidates if number not in together]
        more, best = self._most_alike(wanted, look, others) if others else (0.0, likely)
        return best if more > alike + CLEARLY else likely

    def _most_alike(self, wanted: Wanted, look: Look, candidates: Sequence[int]) -> tuple[float, int]:
        """The likeness and the number of the answer whose request is the most alike; of equals, the first."""
        scores = [self._likeness(wanted, look, number) for number in candidates]
        best = max(scores)
        return best, candidates[scores.index(best)]

    def _likeness(self, wanted: Wanted, look: Look, number: int) -> float:
        if number not in self._looks:
            self._looks[number] = look_of(self._prompt_of(self._takes[number]))
        return likeness(look, self._looks[number]) * (self._takes[number].api == wanted.api)

    def _check(self, wanted: Wanted, number: int) -> None:
        """An answer that no longer makes sense is no answer."""
        take = self._takes[number]
        if take.api != wanted.api:
            raise Diverged(
                f"call {number + 1} was recorded from {take.api}, the run now asks {wanted.api}", remedy=RECORD_AGAIN
            )
        if take.body == wanted.body or not take.tool_calls:
            return
        offered = names(wanted.prompt())
        missing = [name for name in take.tool_calls if name not in offered]
        # A tool that the recorded request did not offer either was never the agent's to answer.
        missing = [name for name in missing if name in names(self._prompt_of(take))]
        if missing:
            raise Diverged(
                f"the recorded answer to call {number + 1} calls the tool {missing[0]!r}, which the request no longer"
                f" offers; it offers: {', '.join(sorted(offered)) or 'none'}",
                remedy=RECORD_AGAIN,
            )

    def _no_answer(self, wanted: Wanted, nearest: int | None) -> Diverged:
        where = f"stage {wanted.stage!r}" if wanted.stage else "no stage"
        if nearest is None:
            hint = "all its answers were given"
        else:
            take = self._takes[nearest]
            hint = f"nearest: call {nearest + 1}, {take.api} {take.model} in stage {take.stage or 'main'!r}"
        return Diverged(
            f"the run makes call {len(self._takes) - len(self._left) + 1} ({wanted.api} in {where}, {_said(wanted.prompt())})"
            f" and the cassette has no answer to it; {hint}",
            remedy=RECORD_AGAIN,
        )


def _said(prompt: Prompt | None) -> str:
    """The last message in a few words."""
    if prompt is None or not prompt.messages:
        return "no messages"
    texts = [text for part in prompt.messages[-1].parts if (text := getattr(part, "text", None))]
    said = " ".join(" ".join(texts).split())
    return f"last message {said if len(said) <= 60 else said[:57] + '...'!r}"
