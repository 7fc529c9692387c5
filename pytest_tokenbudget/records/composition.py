"""What the input of a call consists of, in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a prompt in the order in which the provider's cache sees it.

    Attributes:
        part: The part of the composition that it belongs to.
        name: Tool name for ``tools`` and ``tool_results``, else ``""``.
        tokens: Its tokens, scaled so that the pieces of a call add up to the call's input tokens.
        digest: Short hash of its content: equal text, equal digest. Never the text.
    """

    part: PartName
    name: str
    tokens: int
    digest: str


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What stands in a call's prompt before anything that the model said: the code alone decides it.

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
        digest: Hash over the different contents, sorted.
        repeated_tokens: Tokens spent on content that an earlier call of the stage had already carried.
    """

    part: PartName
    name: str
    tokens: int
    calls: int
    distinct: int
    largest: int
    digest: str
    repeated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StageComposition:
    """What the input of a stage consists of over one sample, and what its calls wrote: the unit that is explained.

    Attributes:
        calls: Number of successful calls.
        parts: Totals, sorted by part and name.
        input_tokens: Sum of the parts.
        fresh_input_tokens: Input that is no common prefix with an earlier call of the stage.
        output_tokens: What the calls wrote, reasoning included; ``None`` where unknown.
        reasoning_tokens: The part of it that was reasoning; ``None`` where unknown.
        history_growth: Median growth, in tokens, of the history (user, assistant, tool results) from call to call.
        attempts: Failed attempts.
        models: Names of the models that answered, sorted.
        prefix: Digests of the first pieces of the first call, in cache order: where a broken prefix is found.
        estimated: Whether any of its counts is an estimate.
        fixed: What the code alone decides of its calls, by kind of prompt.
    """

    calls: int
    parts: tuple[PartTotal, ...]
    input_tokens: int
    fresh_input_tokens: int
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    history_growth: float | int | None = None
    attempts: int = 0
    models: tuple[str, ...] = ()
    prefix: tuple[tuple[str, str], ...] = ()
    estimated: bool = False
    fixed: tuple[FixedPrompt, ...] = ()


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
    """

    metric: str
    stage: str
    part: str
    name: str
    delta: float | int
    text: str
