"""Finds the recorded answer that belongs to a request: by stage and order, then by likeness."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.providers.request import JsonObject
from pytest_tokenbudget.records.prompt import Image, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult
from pytest_tokenbudget.replay.interaction import Interaction

RECORD_AGAIN = "pytest --tokenbudget-traffic=record"

OUT_OF_ORDER_MARGIN = 0.15
"""By how much more alike a later answer of a stage must be than the next one, to be taken out of order."""

ANSWERS_COMPARED = 16
"""How many answers are compared: more branches beside each other are rare, and comparing takes time."""

LEAST_LIKENESS = 0.5
"""The likeness from which on an answer of another stage is taken, where the request's stage has none."""

WORDS_COMPARED = 1000
"""Words that are compared of a request, from its end: what is asked stands there."""

CHARACTERS_READ = 10 * WORDS_COMPARED
"""Characters of a message in which words are looked for, likewise from its end."""

ALL_WORDS_WEIGHT, LAST_MESSAGE_WEIGHT, SAME_MODEL_WEIGHT = 0.6, 0.3, 0.1
"""Weights of the conversation's words, of its last message's words and of the same model."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TokenBag:
    """The words by which a request is recognised. The system prompt and the tools are left out: they are what changes.

    Attributes:
        model: The model that is asked.
        words: Words of the conversation with their counts.
        last: Words of its last message.
    """

    model: str
    words: Counter[str]
    last: Counter[str]


def token_bag(prompt: Prompt | None) -> TokenBag:
    """Read the words of a request; of one that cannot be read, none."""
    if prompt is None:
        return TokenBag("", Counter(), Counter())
    words: list[str] = []
    last: list[str] | None = None
    for message in reversed(prompt.messages):
        if message.role == "system":
            continue
        spoken = _words(message)
        last = spoken if last is None else last
        words += spoken
        if len(words) > WORDS_COMPARED:
            break
    return TokenBag(prompt.model, Counter(words[:WORDS_COMPARED]), Counter((last or [])[:WORDS_COMPARED]))


def _words(message: Message) -> list[str]:
    return _WORD.findall(" ".join(_text(part) for part in message.parts)[-CHARACTERS_READ:])


def _text(part: Part) -> str:
    match part:
        case Text() | Reasoning():
            return part.text
        case ToolCall():
            return f"{part.name} {part.arguments}"
        case ToolResult():
            return " ".join(_text(inner) for inner in part.parts)
        case Image():
            return part.reference
        case _:
            return part.text or part.reference


def likeness(now: TokenBag, then: TokenBag) -> float:
    """Compare two requests: from 0 (nothing in common) to 1 (the same conversation with the same model)."""
    return (
        ALL_WORDS_WEIGHT * _shared(now.words, then.words)
        + LAST_MESSAGE_WEIGHT * _shared(now.last, then.last)
        + SAME_MODEL_WEIGHT * (now.model == then.model)
    )


def _shared(one: Counter[str], other: Counter[str]) -> float:
    """Compute the weighted Jaccard index."""
    whole = one.total() + other.total()
    if not whole:
        return 1.0
    common = (one & other).total()
    return common / (whole - common)


def _tool_names(prompt: Prompt | None) -> frozenset[str]:
    return frozenset() if prompt is None else frozenset(tool.name for tool in prompt.tools)


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

    def is_asked_by(self, recorded: Interaction) -> bool:
        """Tell whether a recorded request is exactly the same."""
        return recorded.body == self.body and (self.body is not None or urlsplit(recorded.url).path == self.path)


class Matcher:
    """Hands out the answers of a cassette, each once; safe with several threads.

    A request gets the first answer of its stage whose recorded request was exactly the same; else the most alike of the
    next answer and those that were under way together with it, whose order is chance; else a later one of the stage that
    is clearly more alike (branches that go on beside each other). A stage that the recording does not know (it was
    renamed, or opened since) interactions from the others what is alike.

    Args:
        interactions: What was recorded.
        prompt_of: What a recorded request asks.
    """

    def __init__(self, interactions: Sequence[Interaction], prompt_of: Callable[[Interaction], Prompt | None]) -> None:
        self._interactions = tuple(interactions)
        self._unused = list(range(len(interactions)))
        self._prompt_of = prompt_of
        self._bags: dict[int, TokenBag] = {}
        self._lock = Lock()

    def match(self, wanted: Wanted) -> Interaction:
        """Give the answer to a request.

        Raises:
            Diverged: If there is none that fits; it says what was asked and what was nearest.
        """
        with self._lock:
            number = self._find(wanted)
            self._check(wanted, number)
            self._unused.remove(number)
            return self._interactions[number]

    def left_over(self) -> Diverged | None:
        """Give the error of a run that ended too early; ``None`` where every answer was given."""
        if not self._unused:
            return None
        stages = ", ".join(sorted({self._interactions[number].stage or "main" for number in self._unused}))
        return Diverged(
            f"the run made {len(self._interactions) - len(self._unused)} calls, the cassette has {len(self._interactions)}:"
            f" {len(self._unused)} recorded answers were not asked for (stage {stages})",
            remedy=RECORD_AGAIN,
        )

    def _find(self, wanted: Wanted) -> int:
        interactions = self._interactions
        of_stage = [number for number in self._unused if interactions[number].stage == wanted.stage]
        if not of_stage and any(recorded.stage == wanted.stage for recorded in interactions):
            raise self._no_answer(wanted, self._unused[0] if self._unused else None)
        candidates = of_stage or self._unused
        same = next((number for number in candidates if wanted.is_asked_by(interactions[number])), None)
        if same is not None and interactions[same].api == wanted.api:
            return same
        if len(of_stage) == 1:
            return of_stage[0]
        if not candidates:
            raise self._no_answer(wanted, None)
        candidates = candidates[:ANSWERS_COMPARED]
        bag = token_bag(wanted.prompt())
        if not of_stage:
            alike, best = self._most_alike(wanted, bag, candidates)
            if alike < LEAST_LIKENESS:
                raise self._no_answer(wanted, best)
            return best
        first = interactions[of_stage[0]]
        together = [
            number for number in candidates if number == of_stage[0] or interactions[number].started < first.ended
        ]
        alike, likely = self._most_alike(wanted, bag, together)
        if alike + OUT_OF_ORDER_MARGIN >= 1:
            return likely
        others = [number for number in candidates if number not in together]
        more, best = self._most_alike(wanted, bag, others) if others else (0.0, likely)
        return best if more > alike + OUT_OF_ORDER_MARGIN else likely

    def _most_alike(self, wanted: Wanted, bag: TokenBag, candidates: Sequence[int]) -> tuple[float, int]:
        """Give the likeness and the number of the answer whose request is the most alike; of equals, the first."""
        scores = [self._likeness(wanted, bag, number) for number in candidates]
        best = max(scores)
        return best, candidates[scores.index(best)]

    def _likeness(self, wanted: Wanted, bag: TokenBag, number: int) -> float:
        if number not in self._bags:
            self._bags[number] = token_bag(self._prompt_of(self._interactions[number]))
        return likeness(bag, self._bags[number]) * (self._interactions[number].api == wanted.api)

    def _check(self, wanted: Wanted, number: int) -> None:
        """Refuse an answer that no longer makes sense."""
        recorded = self._interactions[number]
        if recorded.api != wanted.api:
            raise Diverged(
                f"call {number + 1} was recorded from {recorded.api}, the run now asks {wanted.api}",
                remedy=RECORD_AGAIN,
            )
        if recorded.body == wanted.body or not recorded.tool_calls:
            return
        offered = _tool_names(wanted.prompt())
        missing = [name for name in recorded.tool_calls if name not in offered]
        # A tool that the recorded request did not offer either was never the agent's to answer.
        missing = [name for name in missing if name in _tool_names(self._prompt_of(recorded))]
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
            recorded = self._interactions[nearest]
            hint = f"nearest: call {nearest + 1}, {recorded.api} {recorded.model} in stage {recorded.stage or 'main'!r}"
        return Diverged(
            f"the run makes call {len(self._interactions) - len(self._unused) + 1} ({wanted.api} in {where}, {_said(wanted.prompt())})"
            f" and the cassette has no answer to it; {hint}",
            remedy=RECORD_AGAIN,
        )


def _said(prompt: Prompt | None) -> str:
    """Quote the last message in a few words."""
    if prompt is None or not prompt.messages:
        return "no messages"
    texts = [text for part in prompt.messages[-1].parts if (text := getattr(part, "text", None))]
    said = " ".join(" ".join(texts).split())
    return f"last message {said if len(said) <= 60 else said[:57] + '...'!r}"
