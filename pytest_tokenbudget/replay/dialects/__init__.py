"""How a scripted model writes its answers, one module a wire."""

from __future__ import annotations

from pytest_tokenbudget.replay.asked import JsonObject
from pytest_tokenbudget.replay.dialects import anthropic_messages, google_generate, openai_chat, openai_responses
from pytest_tokenbudget.replay.dialects.shape import Dialect

DIALECTS: tuple[Dialect, ...] = (
    openai_chat.DIALECT,
    openai_responses.DIALECT,
    anthropic_messages.DIALECT,
    google_generate.DIALECT,
)


def dialect_of(path: str, body: JsonObject) -> Dialect | None:
    """The dialect that a request speaks, by its path and body; ``None`` for none of these."""
    return next((dialect for dialect in DIALECTS if dialect.recognises(path, body)), None)
