"""The composition of a call's input, in tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

PartName = Literal["system", "tools", "user", "assistant", "tool_results", "images", "files", "framing"]
PART_NAMES: tuple[PartName, ...] = (
    "system",
    "tools",
    "user",
    "assistant",
    "tool_results",
    "images",
    "files",
    "framing",
)


class Piece(NamedTuple):
    """A piece of a prompt in the order in which the provider's cache sees it.

    Attributes:
        part: The part of the composition that it belongs to.
        name: Tool name for ``tools`` and ``tool_results``, else ``""``.
        tokens: Its tokens, scaled so that the pieces of a call add up to the call's input tokens.
        digest: Short hash of its content: equal text, equal digest. Never the text.
        milli: Thousandths of a token that the local count gave before scaling; ``None``: its tokens are that count.
    """

    part: PartName
    name: str
    tokens: int
    digest: str
    milli: int | None = None

    @property
    def counted_milli(self) -> int:
        """Thousandths of a token by the local count alone: equal text, equal number, whatever stands beside it."""
        return 1000 * self.tokens if self.milli is None else self.milli


@dataclass(frozen=True, slots=True)
class FixedPart:
    """The part of a call's prompt before anything that the model said: the code alone decides it.

    Attributes:
        opening: Short hash of how its text begins, by which its kind is known again after it has grown.
        tokens: Local count of the system prompt, the tool schemas, the response format and their framing.
        user_tokens: Local count of the first user turn.
    """

    opening: str
    tokens: int
    user_tokens: int


@dataclass(frozen=True, slots=True)
class FixedPrompt:
    """One kind of prompts among the calls of a stage: those that begin alike and have the same fixed part.

    Attributes:
        opening: Short hash of how its text begins.
        encoding: Name of the encoding or profile that counted.
        tokens: Local count of each call's system prompt, tool schemas, response format and their framing.
        user_tokens: Local count of the first user turn; ``None`` where the calls differ in it, or where it may hold what
            the model said, because an answer had come before.
        calls: Calls that have it.
    """

    opening: str
    encoding: str
    tokens: int
    user_tokens: int | None
    calls: int

    def order(self) -> tuple[str, str, int]:
        """The key that tells it from other kinds and sorts it among them."""
        return self.opening, self.encoding, self.tokens


@dataclass(frozen=True, slots=True)
class Composition:
    """The input of one call, split into pieces.

    Attributes:
        pieces: All pieces, in prompt order. Their tokens add up exactly to ``input_tokens``.
        input_tokens: The call's input tokens (the provider's number where there is one).
        counted_tokens: What the local count gave before scaling.
        encoding: Name of the encoding or profile that counted.
        estimated: Whether the local count is an estimate by its nature (no public tokenizer, encrypted parts, images
            of unknown size).
        fixed: What the code alone decides of it; ``None`` where that is not known.
    """

    pieces: tuple[Piece, ...]
    input_tokens: int
    counted_tokens: int
    encoding: str
    estimated: bool = False
    fixed: FixedPart | None = None

    @property
    def scale(self) -> float | None:
        """Provider's tokens per locally counted token; ``None`` where nothing was counted."""
        return self.input_tokens / self.counted_tokens if self.counted_tokens else None


@dataclass(frozen=True, slots=True)
class PartTotal:
    """One part of a stage's composition, summed over the calls of a sample.

    Attributes:
        part: Part of the composition.
        name: Tool name, else ``""``.
        tokens: Tokens over all calls.
        calls: Number of calls that carried it.
        distinct: Number of different contents among them.
        largest: Tokens of the largest single occurrence in a call.
        digest: Hash over the different contents, sorted; ``""`` where it is not known.
        repeated_tokens: Tokens spent on content that an earlier call of the stage had already carried.
        behind_tokens: The part of the repeated tokens that stands behind a call's common prefix with any earlier call, so
            that no provider's cache can serve it.
    """

    part: PartName
    name: str
    tokens: int
    calls: int
    distinct: int
    largest: int
    digest: str
    repeated_tokens: int = 0
    behind_tokens: int = 0

    @property
    def fresh_tokens(self) -> int:
        """Tokens that no provider's cache can serve: new content, and repeated content behind the common prefix."""
        return self.tokens - self.repeated_tokens + self.behind_tokens


@dataclass(frozen=True)
class StageComposition:
    """The composition of the input of a stage's own calls over one sample, and their output: the unit that is explained.

    Attributes:
        calls: Number of successful calls.
        counted: The parts by the local count, in the order in which they first stand in a prompt. An unchanged text has
            the same number whatever stands beside it, so this is what is stored.
        reported_input: Input tokens of the calls whose request could be read, by the provider's number where it sent one;
            ``None``: the local count.
        output_tokens: What the calls wrote, reasoning included; ``None`` where unknown.
        reasoning_tokens: The part of it that was reasoning; ``None`` where unknown.
        failed_attempts: Attempts that failed.
        models: Names of the models that answered, sorted.
        estimated: Whether any of its counts is an estimate.
        fixed: What the code alone decides of its calls, by kind of prompt.
    """

    calls: int
    counted: tuple[PartTotal, ...] = ()
    reported_input: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    failed_attempts: int = 0
    models: tuple[str, ...] = ()
    estimated: bool = False
    fixed: tuple[FixedPrompt, ...] = ()

    def __post_init__(self) -> None:
        """Keep one form of what is the same: a reported number only where it is another than the count."""
        if self.reported_input is not None and (not self.counted or self.reported_input == self.counted_input):
            object.__setattr__(self, "reported_input", None)

    @property
    def input_tokens(self) -> int:
        """Sum of the parts."""
        return self.counted_input if self.reported_input is None else self.reported_input

    @property
    def counted_input(self) -> int:
        """Sum of the parts by the local count."""
        return sum([part.tokens for part in self.counted])

    @cached_property
    def parts(self) -> tuple[PartTotal, ...]:
        """The parts, scaled so that they add up to the input tokens."""
        if self.reported_input is None:
            return self.counted
        shares = split(self.reported_input, [part.tokens for part in self.counted])
        return tuple(map(_resized, self.counted, shares))

    @property
    def fresh_input_tokens(self) -> int:
        """Input that is no common prefix with an earlier call of the stage."""
        return sum([part.fresh_tokens for part in self.parts])


def _resized(part: PartTotal, tokens: int) -> PartTotal:
    """Give a part so many tokens, and scale its other numbers likewise."""
    if tokens == part.tokens:
        return part

    def scaled(number: int) -> int:
        return (2 * number * tokens + part.tokens) // (2 * part.tokens) if part.tokens else number

    return PartTotal(
        part.part,
        part.name,
        tokens,
        part.calls,
        part.distinct,
        scaled(part.largest),
        part.digest,
        scaled(part.repeated_tokens),
        scaled(part.behind_tokens),
    )


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total in proportion to weights, by the largest remainder.

    Each share is its exact quota rounded down, and the units that are left go to the largest fractions, earlier ones
    first (Hamilton's method). A total equal to the weights' sum gives the weights back.

    Args:
        total: What to split, at least 0.
        weights: At least 0 each; where all are 0, all stands in the first share.

    Returns:
        Shares that add up to the total exactly; empty where there are no weights.
    """
    if not weights:
        return []
    whole = sum(weights)
    if whole <= 0:
        return [total, *[0] * (len(weights) - 1)]
    quotas = [divmod(total * weight, whole) for weight in weights]
    shares = [quota for quota, _ in quotas]
    missing = total - sum(shares)
    if missing:
        for index in sorted(range(len(quotas)), key=lambda at: -quotas[at][1])[:missing]:
            shares[index] += 1
    return shares


Compositions = Mapping[str, StageComposition]
"""Compositions by stage path. Each call counts in the innermost stage that it was made in, and in no other."""


def inside(path: str, stage: str) -> bool:
    """Tell whether ``path`` is ``stage`` or lies within it; everything lies within the whole test (``""``)."""
    return not stage or path == stage or path.startswith(stage + "/")


def within(compositions: Compositions, stage: str) -> StageComposition | None:
    """Add up the compositions of a stage and of those inside it.

    Args:
        compositions: Compositions by stage path.
        stage: Path of the stage, ``""`` for the whole test.

    Returns:
        The sum; ``None`` where there is no such stage. Its number of different contents counts one that two stages carry
        twice, and its digests are known only for parts that a single stage carries.
    """
    found = [compositions[path] for path in sorted(compositions) if inside(path, stage)]
    if len(found) < 2:
        return found[0] if found else None
    parts: dict[tuple[PartName, str], PartTotal] = {}
    for part in (part for composition in found for part in composition.counted):
        key = (part.part, part.name)
        parts[key] = part if key not in parts else _sum(parts[key], part)
    return StageComposition(
        calls=sum(each.calls for each in found),
        counted=tuple(parts.values()),
        reported_input=sum(each.input_tokens for each in found),
        output_tokens=_known_sum([each.output_tokens for each in found if each.calls]),
        reasoning_tokens=sum_of_known([each.reasoning_tokens for each in found]),
        failed_attempts=sum(each.failed_attempts for each in found),
        models=tuple(sorted({model for each in found for model in each.models})),
        estimated=any(each.estimated for each in found),
        fixed=_merged(prompt for each in found for prompt in each.fixed),
    )


def fixed_within(compositions: Compositions, stage: str) -> tuple[FixedPrompt, ...]:
    """Give what the code alone decides of the calls of a stage and of those inside it."""
    return _merged(prompt for path, own in compositions.items() if inside(path, stage) for prompt in own.fixed)


def _merged(prompts: Iterable[FixedPrompt]) -> tuple[FixedPrompt, ...]:
    """The kinds of prompts of several stages together; the calls of a kind that several have are added."""
    merged: dict[tuple[str, str, int], FixedPrompt] = {}
    for prompt in prompts:
        key = prompt.order()
        same = merged.get(key)
        if same is None:
            merged[key] = prompt
        else:
            user = prompt.user_tokens if prompt.user_tokens == same.user_tokens else None
            merged[key] = replace(same, calls=same.calls + prompt.calls, user_tokens=user)
    return tuple(merged[key] for key in sorted(merged))


def all_stages(paths: Iterable[str]) -> tuple[str, ...]:
    """Name these stages and those that hold them, sorted; the whole test (``""``) is none of them."""
    found: set[str] = set()
    for path in paths:
        around = path
        while around:
            found.add(around)
            around = around.rpartition("/")[0]
    return tuple(sorted(found))


def inclusive(compositions: Compositions) -> dict[str, StageComposition]:
    """Give each stage the calls of the stages inside it as well; the whole test stands under ``""``."""
    found = {stage: within(compositions, stage) for stage in ("", *all_stages(compositions))}
    return {stage: composition for stage, composition in found.items() if composition is not None}


def _sum(one: PartTotal, other: PartTotal) -> PartTotal:
    return PartTotal(
        one.part,
        one.name,
        one.tokens + other.tokens,
        one.calls + other.calls,
        one.distinct + other.distinct,
        max(one.largest, other.largest),
        "",
        one.repeated_tokens + other.repeated_tokens,
        one.behind_tokens + other.behind_tokens,
    )


def _known_sum(values: Iterable[int | None]) -> int | None:
    """The sum; ``None`` as soon as one value is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def sum_of_known(values: Iterable[int | None]) -> int | None:
    """Add the values that are known; ``None`` where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a metric changed.

    The causes of one metric add up to its difference.

    Attributes:
        metric: The metric, ``"worker.input_tokens"``.
        stage: Stage in which the cause lies, ``""`` where it is none's.
        part: ``system``, ``tools``, ``user``, ``assistant``, ``tool_results``, ``images``, ``files``, ``framing``,
            ``calls``, ``output``, ``reasoning``, ``retries``, ``stage`` or ``model``.
        name: Tool or stage name, else ``""``.
        delta: Its share of the difference, in the metric's unit.
        text: The reason in words.
        diff: Lines of a unified diff of the text that changed, redacted; empty where the texts are not known.
    """

    metric: str
    stage: str
    part: str
    name: str
    delta: float | int
    text: str
    diff: tuple[str, ...] = ()
