"""Names of providers and finish reasons as OpenTelemetry's GenAI conventions have them, as far as they have one.

Source: open-telemetry/semantic-conventions-genai, ``gen_ai.provider.name`` and the schema of ``gen_ai.output.messages``
(read 2026-11). A provider without a name there has a short one in lower case; a finish reason is the provider's own word.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS_BEFORE: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Names that version 0.1 of this package gave to providers -> those that they have now."""

FINISH_REASONS_BEFORE: Mapping[str, str] = {"tool_calls": "tool_call"}
"""Finish reasons of version 0.1 -> those of now."""


def current_provider(name: str) -> str:
    """The name that a provider has now, for one that may be of version 0.1."""
    return PROVIDERS_BEFORE.get(name, name)


_WORDS = {
    "stop": (
        "stop",
        "end_turn",
        "stop_sequence",
        "complete",
        "completed",
        "eos",
        "eos_token",
        "finish",
        "finished",
        "endoftext",
        "stop_criteria_met",
        "content_complete",
    ),
    "length": (
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "maximum_tokens",
        "model_length",
        "token_limit",
        "error_limit",
        "incomplete:max_output_tokens",
        "incomplete:max_tokens",
        "model_context_window_exceeded",
    ),
    "tool_call": ("tool_call", "tool_calls", "tool_use", "function_call", "requires_action"),
    "content_filter": (
        "content_filter",
        "content_filtered",
        "incomplete:content_filter",
        "guardrail_intervened",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "model_armor",
        "image_safety",
        "image_prohibited_content",
        "image_recitation",
        "error_toxic",
        "sensitive",
    ),
    "error": (
        "error",
        "failed",
        "malformed_function_call",
        "malformed_tool_use",
        "malformed_model_output",
        "unexpected_tool_call",
        "too_many_tool_calls",
        "missing_thought_signature",
        "insufficient_system_resource",
        "network_error",
        "abort",
        "timeout",
        "time_limit",
    ),
}
_NORMAL = {word: normal for normal, words in _WORDS.items() for word in words}

_VERTEX_NUMBERS = {
    1: "stop",
    2: "max_tokens",
    3: "safety",
    4: "recitation",
    5: "other",
    6: "blocklist",
    7: "prohibited_content",
    8: "spii",
    9: "malformed_function_call",
}
"""``Candidate.FinishReason`` of Vertex AI's protobuf, which some transports write as numbers."""


def finish_reason(value: object) -> str | None:
    """Normalise a finish reason.

    Args:
        value: What the provider sent: a word, or Vertex AI's enum number.

    Returns:
        ``stop``, ``length``, ``tool_call``, ``content_filter``, ``error``, else the provider's own word in lower case;
        ``None`` where it sent none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = _VERTEX_NUMBERS.get(value)
    if not isinstance(value, str) or not value:
        return None
    word = value.lower()
    if word.startswith("block:"):
        return "content_filter"
    return _NORMAL.get(word, word)
