"""A model call in the normal form, whatever the provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_tokenbudget.records.composition import Composition
from pytest_tokenbudget.records.prompt import Prompt

Source = Literal["provider", "counted", "calibrated"]
"""The source of a number: the provider's ``usage``, a local count, or a local count times a recorded ratio."""

Operation = Literal["chat", "text_completion", "embeddings", "other"]
"""OpenTelemetry's ``gen_ai.operation.name``, as far as tokens are concerned.

``other`` is a model endpoint that is neither counted as a call nor reported as unattributed (images, audio,
moderation, reranking, polls).
"""


AnsweredBy = Literal["network", "replay", "script", "mock"]
"""The side that answered a request: a provider over a network, the plugin itself, or something in the same process."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in the normal form; ``None`` is unknown, 0 is what the provider said.

    Attributes:
        input_tokens: All that the model read, cached and cache-written tokens included.
        output_tokens: All that the model wrote, reasoning included.
        cached_input_tokens: The part of the input that was read from a cache.
        cache_write_tokens: The part of the input that was written to a cache.
        reasoning_tokens: The part of the output that is reasoning.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Input plus output, ``None`` where either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class BilledUsage:
    """The price of an answer beside plain input and output tokens, as it says itself; empty where it says nothing.

    Attributes:
        quantities: What has a price of its own, above 0, by the names of genai-prices, sorted: parts of the tokens
            (``cache_write_1h_tokens``, ``input_audio_tokens``, ``output_image_tokens``) and others
            (``web_searches``, ``code_executions``, ``rerank_searches``, ``input_audio_seconds``, ``input_document_pages``).
            ``billed_input_tokens`` and ``billed_output_tokens`` are what Cohere takes money for, less than it counts.
        service_tier: The tier that served it (``"priority"``, ``"flex"``, ``"batch"``), ``""`` for the standard one.
        region: Where the provider was bound to answer from (``"us"``), ``""`` for anywhere.
        speed: ``"fast"`` where a faster answer was paid for, else ``""``.
        cost: USD that the provider itself says it takes, ``None`` where it says none.
    """

    quantities: tuple[tuple[str, int | float], ...] = ()
    service_tier: str = ""
    region: str = ""
    speed: str = ""
    cost: float | None = None

    def quantity(self, name: str) -> int | float:
        """A quantity by its name, 0 where none was told."""
        return dict(self.quantities).get(name, 0)


NOTHING_BILLED = BilledUsage()
"""The one of most answers, which say nothing of their price."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one exchange by a wire format.

    Attributes:
        api: Name of the wire format, ``"openai.chat"``.
        provider: Provider by host where known, else by API (OpenTelemetry's ``gen_ai.provider.name``); ``""`` until it is
            found by the host.
        operation: What kind of call it was.
        request_model: Model that was asked for.
        model: Model that answered, as the provider reports it; the requested one where it reports none.
        stream: Whether the answer was streamed.
        usage: Tokens; all ``None`` where the provider sent none.
        billed: What the answer says of its price beside them.
        tool_calls: Names of the client-side tool calls, in order.
        server_tool_calls: Names of the tools that the provider itself ran, in order.
        finish_reason: ``stop``, ``length``, ``tool_call``, ``content_filter``, ``error`` or the provider's own word in
            lower case; ``None`` if it sent none.
        output_text: All text that the model wrote, reasoning and tool arguments included, so that it can be counted
            where no output tokens were reported; else empty.
        first_content_at: Offset in the decoded body just after the event that first carried generated content (text,
            reasoning or tool call); ``None`` where there is none or the answer was not streamed.
        error: An error that the body itself reports (also inside a 200), else ``None``.
        problems: What could not be read, in words.
        id: The response's own id, where it has one; a later poll for a background response has the same.
    """

    api: str
    provider: str = ""
    operation: Operation = "chat"
    request_model: str = ""
    model: str = ""
    stream: bool = False
    usage: Usage = Usage()
    billed: BilledUsage = NOTHING_BILLED
    tool_calls: tuple[str, ...] = ()
    server_tool_calls: tuple[str, ...] = ()
    finish_reason: str | None = None
    output_text: str = ""
    first_content_at: int | None = None
    error: str | None = None
    problems: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call, or one attempt at it that failed.

    Attributes:
        stage: Path of its stage, ``"worker/finalize"``.
        provider: Provider, see :class:`Reading`.
        api: Wire format.
        operation: Kind of call.
        model: Model that answered.
        request_model: Model that was asked for.
        stream: Whether the answer was streamed.
        status: HTTP status, ``None`` where there was no response.
        error: Why it is an attempt and not a call: exception type, ``"http 429"``, the body's own error; else ``None``.
        attempt: 0 for a first try, then 1, 2, ... for retries of the same request.
        started: Start, s since the sample's start.
        latency: Duration until the last byte, s.
        ttft: Time to the first chunk that carries generated content, s; ``None`` where not streamed.
        usage: Tokens in the normal form.
        billed: What the answer says of its price beside them.
        input_source: Where the input tokens come from, ``None`` where they are unknown.
        output_source: Likewise for the output tokens.
        tool_calls: Names of client-side tool calls, in order.
        server_tool_calls: Names of server-side tool calls, in order.
        finish_reason: Normalised finish reason.
        cost: USD, ``None`` where the price is unknown.
        cost_problem: Why the cost is not known, in words; ``""`` where it is.
        composition: What the input consists of; ``None`` where the request could not be read.
        prompt: What was asked; not kept once the sample is composed.
        problems: What could not be read, in words.
        answered_by: Who answered, see :class:`~pytest_tokenbudget.records.exchange.Exchange`: no time of a ``"mock"`` says
            anything about a model.
        max_output_tokens: How many tokens the request allows the answer; ``None`` where it does not say.
        estimated: Whether a replay had no answer to it, and gave a recorded one of the same stage and kind instead.
    """

    stage: str
    provider: str
    api: str
    operation: Operation = "chat"
    model: str = ""
    request_model: str = ""
    stream: bool = False
    status: int | None = None
    error: str | None = None
    attempt: int = 0
    started: float = 0.0
    latency: float = 0.0
    ttft: float | None = None
    usage: Usage = Usage()
    billed: BilledUsage = NOTHING_BILLED
    input_source: Source | None = None
    output_source: Source | None = None
    tool_calls: tuple[str, ...] = ()
    server_tool_calls: tuple[str, ...] = ()
    finish_reason: str | None = None
    cost: float | int | None = None
    cost_problem: str = ""
    composition: Composition | None = None
    prompt: Prompt | None = None
    problems: tuple[str, ...] = ()
    answered_by: AnsweredBy = "network"
    max_output_tokens: int | None = None
    estimated: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether this is a call rather than a failed attempt."""
        return self.error is None
