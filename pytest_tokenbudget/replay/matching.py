"""Finds the recorded answer that belongs to a request: by stage and order, then by likeness."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from threading import Lock
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.providers.http_message import JsonObject, Request
from pytest_tokenbudget.records.prompt import Image, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult
from pytest_tokenbudget.replay.interaction import Interaction

RECORD_AGAIN = "pytest --tokenbudget-traffic=record"

OUT_OF_ORDER_MARGIN = 0.15
"""By how much more alike a later answer of a stage must be than the next one, to be taken out of order."""

ANSWERS_COMPARED = 16
"""The most answers that are compared: more branches beside each other are rare, and comparing takes time."""

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


@dataclass(frozen=True, slots=True)
class Match:
    """A recorded interaction that answers a request.

    Attributes:
        interaction: What was recorded.
        estimated: Whether it was recorded of another request of the same stage and kind, because this one has no answer.
    """

    interaction: Interaction
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class _Kind:
    """The features that two requests share whose answers have the same shape."""

    api: str
    path: str
    model: str
    streamed: bool
    offers_tools: bool
    tool_choice: str | None
    structured: bool


def _kind(api: str, path: str, body: JsonObject | None, prompt: Prompt | None) -> _Kind | None:
    """Tell what kind of answer a request wants; ``None`` for one that cannot be read, or that has no body (a poll)."""
    if body is None or prompt is None:
        return None
    structured = prompt.output_schema is not None or "response_format" in body
    return _Kind(api, path, prompt.model, bool(body.get("stream")), bool(prompt.tools), prompt.tool_choice, structured)


MOST_ESTIMATES = 10
"""Calls beyond a recording that are answered all the same; of a longer recording, as many as it has calls."""

_ANY_STAGE = "*"


def _identity(body: JsonObject | None, path: str) -> bytes:
    """Give a key that is the same for equal requests; those without a body, such as polls, are told apart by the path."""
    text = path if body is None else json.dumps(body, sort_keys=True)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Matcher:
    """Hands out the answers of a cassette, each once; safe with several threads.

    A request gets the first answer of its stage whose recorded request was exactly the same; else the most alike of the
    next answer and those that were under way together with it, whose order is chance; else a later one of the stage that
    is clearly more alike (branches that go on beside each other). A stage that the recording does not know (it was
    renamed, or opened since) takes from the others what is alike. A call beyond what a known stage has is answered with a
    recorded answer of the same stage and kind, and marked as estimated.

    Args:
        interactions: What was recorded.
        prompt_of: What a recorded request asks.
    """

    def __init__(self, interactions: Sequence[Interaction], prompt_of: Callable[[Interaction], Prompt | None]) -> None:
        self._interactions = tuple(interactions)
        self._prompt_of = prompt_of
        self._bags: dict[int, TokenBag] = {}
        self._lock = Lock()
        self._unused: dict[int, None] = dict.fromkeys(range(len(interactions)))
        self._of_stage: dict[str, dict[int, None]] = {}
        self._same: dict[tuple[str, bytes], deque[int]] = {}
        self._of_kind: dict[str, dict[_Kind, list[int]]] = {}
        self._estimates: Counter[str] = Counter()
        for number, recorded in enumerate(interactions):
            self._of_stage.setdefault(recorded.stage, {})[number] = None

    def match(self, wanted: Wanted) -> Match:
        """Give the answer to a request.

        Raises:
            Diverged: If there is none that fits; it says what was asked and what was nearest.
        """
        with self._lock:
            try:
                number = self._find(wanted)
                self._check(wanted, number)
            except Diverged:
                other = self._find_estimate(wanted)
                if other is None:
                    raise
                self._estimates[wanted.stage] += 1
                return Match(self._interactions[other], estimated=True)
            del self._unused[number], self._of_stage[self._interactions[number].stage][number]
            return Match(self._interactions[number])

    @property
    def estimates(self) -> Mapping[str, int]:
        """Calls beyond the recording that were answered all the same, by stage."""
        return self._estimates

    def _find_estimate(self, wanted: Wanted) -> int | None:
        """Find a recorded answer of the same stage and kind for a request that has none of its own.

        One that calls no tool is preferred, so that an agent's loop comes to its end; of several, the most alike.
        """
        if wanted.stage not in self._of_stage or self._estimates.total() >= max(
            MOST_ESTIMATES, len(self._interactions)
        ):
            return None
        prompt = wanted.prompt()
        kind = _kind(wanted.api, wanted.path, wanted.body, prompt)
        if kind is None:
            return None
        nearest = next(iter(self._of_stage[wanted.stage]), None)
        if nearest is not None and self._kind_of(nearest) == kind:
            return None  # it has an answer, which no longer fits
        offered = _tool_names(prompt)
        alike = [
            number
            for number in self._kinds_of(wanted.stage).get(kind, ())
            if offered.issuperset(self._interactions[number].tool_calls)
        ]
        final = [number for number in alike if not self._interactions[number].tool_calls]
        candidates = (final or alike)[: -ANSWERS_COMPARED - 1 : -1]
        return self._most_alike(wanted, token_bag(prompt), candidates)[1] if candidates else None

    def _kinds_of(self, stage: str) -> dict[_Kind, list[int]]:
        """Sort the whole answers of a stage by their kind."""
        if stage not in self._of_kind:
            found: dict[_Kind, list[int]] = {}
            for number, recorded in enumerate(self._interactions):
                whole = recorded.stage == stage and recorded.status == 200 and recorded.ending == "complete"
                if whole and recorded.fault is None and (kind := self._kind_of(number)) is not None:
                    found.setdefault(kind, []).append(number)
            self._of_kind[stage] = found
        return self._of_kind[stage]

    def _kind_of(self, number: int) -> _Kind | None:
        recorded = self._interactions[number]
        return _kind(recorded.api, urlsplit(recorded.url).path, recorded.body, self._prompt_of(recorded))

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
        of_stage = self._of_stage.get(wanted.stage)
        if of_stage is not None and not of_stage:
            raise self._no_answer(wanted, next(iter(self._unused), None))
        same = self._find_same(wanted, wanted.stage if of_stage is not None else _ANY_STAGE)
        if same is not None and interactions[same].api == wanted.api:
            return same
        candidates = list(islice(of_stage or self._unused, ANSWERS_COMPARED))
        if of_stage is not None and len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise self._no_answer(wanted, None)
        bag = token_bag(wanted.prompt())
        if of_stage is None:
            alike, best = self._most_alike(wanted, bag, candidates)
            if alike < LEAST_LIKENESS:
                raise self._no_answer(wanted, best)
            return best
        first = interactions[candidates[0]]
        together = [
            number for number in candidates if number == candidates[0] or interactions[number].started < first.ended
        ]
        alike, likely = self._most_alike(wanted, bag, together)
        if alike + OUT_OF_ORDER_MARGIN >= 1:
            return likely
        others = [number for number in candidates if number not in together]
        more, best = self._most_alike(wanted, bag, others) if others else (0.0, likely)
        return best if more > alike + OUT_OF_ORDER_MARGIN else likely

    def _find_same(self, wanted: Wanted, stage: str) -> int | None:
        """Find the first unused answer whose recorded request was exactly the same: most often it is the next one."""
        first = next(iter(self._unused if stage == _ANY_STAGE else self._of_stage[stage]), None)
        if first is not None and wanted.body is not None and self._interactions[first].body == wanted.body:
            return first
        if not self._same:
            self._index()
        numbers = self._same.get((stage, _identity(wanted.body, wanted.path)), deque())
        while numbers and numbers[0] not in self._unused:
            numbers.popleft()
        return numbers[0] if numbers else None

    def _index(self) -> None:
        for number, recorded in enumerate(self._interactions):
            key = _identity(recorded.body, urlsplit(recorded.url).path)
            for stage in (recorded.stage, _ANY_STAGE):
                self._same.setdefault((stage, key), deque()).append(number)

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


class AuxiliaryAnswers:
    """Answers auxiliary requests: by method and path in the order of the recording, the last one over and over.

    Args:
        auxiliary: The recorded auxiliary requests.
        others: All other interactions of the cassette, whose hosts are those of models.
    """

    def __init__(self, auxiliary: Sequence[Interaction], others: Sequence[Interaction]) -> None:
        self._hosts = {urlsplit(one.url).netloc for one in (*auxiliary, *others)}
        self._left: dict[tuple[str, str], deque[Interaction]] = {}
        for one in auxiliary:
            self._left.setdefault((one.method, urlsplit(one.url).path), deque()).append(one)

    def match(self, request: Request) -> Interaction | None:
        """The answer to an auxiliary request; ``None`` where it goes to a host that no recorded call went to.

        Raises:
            Diverged: If a recorded API is asked for what was not recorded.
        """
        path = request.url.path
        left = self._left.get((request.method, path))
        if left:
            return left.popleft() if len(left) > 1 else left[0]
        if request.url.netloc not in self._hosts:
            return None
        raise Diverged(
            f"the run asks {request.method} {path} beside its model, and the cassette has no answer to it",
            remedy=RECORD_AGAIN,
        )
