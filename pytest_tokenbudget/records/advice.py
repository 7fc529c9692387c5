"""Advice on what could be saved, and its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_tokenbudget.records.composition import PartTotal

AdviceKind = Literal[
    "repeated_schemas",
    "large_tool",
    "unused_tool",
    "tool_by_intent",
    "wordy_schema",
    "repeated_text",
    "cache_unused",
    "cache_broken",
    "cache_too_short",
    "large_result",
    "history_growth",
    "extra_call",
    "failed_attempts",
    "sequential_calls",
    "observation",
]
Certainty = Literal["exact", "likely", "possible"]
"""The certainty of a saving: ``exact`` is counted, ``likely`` is an estimate, ``possible`` depends on what the model does."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that could be saved. It says what something costs, never whether the agent would still do its work.

    Attributes:
        kind: Kind of the waste.
        stage: Stage in which it lies.
        part: Part of the composition, ``calls`` or ``retries``.
        name: Tool name, else ``""``.
        tokens: Tokens that one run of the suite could save; 0 where only time or money is saved.
        cost: The same in USD; ``None`` where no price is known.
        seconds: The same in s; ``None`` where it cannot be told.
        share: Largest of its shares in the suite's tokens, seconds and USD, as a fraction.
        sure: How sure that is.
        text: The evidence, in one sentence.
        tests: Node ids of the tests that show it.
        recounted: Whether the saving was counted on the recorded requests with the cut made, as ``tokenbudget whatif`` does;
            else it is a sum of measured parts.
    """

    kind: AdviceKind
    stage: str
    part: str
    name: str
    tokens: int
    cost: float | None
    seconds: float | None
    share: float
    sure: Certainty
    text: str
    tests: tuple[str, ...] = ()
    recounted: bool = False


@dataclass(frozen=True, slots=True)
class CallEvidence:
    """One call of a test.

    Attributes:
        stage: Its stage.
        provider: Its provider.
        model: Its model.
        started: Start, s since the sample's start.
        latency: Duration, s.
        input_tokens: All that it read; ``None`` where unknown.
        output_tokens: All that it wrote; ``None`` where unknown.
        cached_input_tokens: The part of the input that came from a cache; ``None`` where the provider did not say.
        reasoning_tokens: The part of the output that is reasoning; ``None`` where the provider did not say.
        tool_calls: Names of the tools that it called.
        offered_tools: Number of tools that its request offered; ``None`` where unknown.
        finish_reason: Why the model stopped.
        failed: ``True`` for an attempt that failed.
        cost: USD, ``None`` where unknown.
        input_price: USD for one token of uncached input; ``None`` where no price is known.
        cached_price: USD for one token from the cache; ``None`` where no price is known.
        max_output_tokens: How many tokens its request allows the answer; ``None`` where that is not known.
    """

    stage: str
    provider: str
    model: str
    started: float
    latency: float
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    tool_calls: tuple[str, ...]
    offered_tools: int | None
    finish_reason: str | None
    failed: bool
    cost: float | None
    input_price: float | None = None
    cached_price: float | None = None
    max_output_tokens: int | None = None

    @property
    def ended(self) -> float:
        """End, s since the sample's start."""
        return self.started + self.latency


@dataclass(frozen=True, slots=True)
class SchemaAnatomy:
    """The parts of one tool's schema.

    Attributes:
        tokens: Tokens of the whole definition.
        description_tokens: Tokens of its descriptions.
        repeated_tokens: Tokens of sentences that stand elsewhere in the same request too.
        enum_tokens: Tokens of its lists of allowed values.
        example_tokens: Tokens of its examples and defaults.
        largest_field: Name of the largest field, ``""`` where there is none.
        largest_field_tokens: Its tokens.
    """

    tokens: int
    description_tokens: int
    repeated_tokens: int = 0
    largest_field: str = ""
    largest_field_tokens: int = 0
    enum_tokens: int = 0
    example_tokens: int = 0

    @property
    def words_tokens(self) -> int:
        """Tokens of what could be shorter: descriptions, lists of allowed values, and examples."""
        return min(self.tokens, self.description_tokens + self.enum_tokens + self.example_tokens)


@dataclass(frozen=True, slots=True)
class CacheBreak:
    """A piece that differs from call to call in front of others that do not.

    Attributes:
        part: The part of the composition that differs.
        tokens: Unchanged tokens behind it, over all calls, that no cache can serve.
        text: The piece and its cost, in one sentence.
    """

    part: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class StageEvidence:
    """One stage of one test, without the stages inside it.

    Attributes:
        stage: Its path.
        parts: Parts of its input.
        fresh_input_tokens: Input that no provider cache could serve; ``None`` where unknown.
    """

    stage: str
    parts: tuple[PartTotal, ...]
    fresh_input_tokens: int | None


@dataclass(frozen=True, slots=True)
class TestEvidence:
    """The evidence of one test.

    Attributes:
        nodeid: pytest's node id.
        calls: Its calls, in order of their starts.
        stages: Its stages.
        traffic: Where the answers came from: ``live``, ``replay`` or ``scripted``.
        schemas: How the schemas of the larger tools are made up, by tool.
        breaks: Broken cache prefixes, by stage.
        has_single_calls: Whether its calls were seen one by one; else each is an even share of what is stored of its stage,
            and their order is not known.
    """

    __test__ = False

    nodeid: str
    calls: tuple[CallEvidence, ...]
    stages: tuple[StageEvidence, ...]
    traffic: str = "live"
    schemas: dict[str, SchemaAnatomy] = field(default_factory=dict)
    breaks: dict[str, CacheBreak] = field(default_factory=dict)
    has_single_calls: bool = True
