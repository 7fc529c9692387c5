"""The APIs that the server speaks, one module a family."""

from __future__ import annotations

from ledger_server.wires import anthropic, bedrock, cohere, google, ollama, openai_chat, openai_responses
from ledger_server.wires.shape import Wire

WIRES: dict[str, Wire] = {
    wire.api: wire
    for wire in (
        openai_chat.CHAT,
        openai_chat.EMBEDDINGS,
        openai_responses.RESPONSES,
        anthropic.MESSAGES,
        google.GENERATE,
        cohere.CHAT,
        ollama.CHAT,
        ollama.GENERATE,
        bedrock.CONVERSE,
        bedrock.INVOKE,
    )
}


def find(path: str) -> Wire | None:
    """The wire that a path belongs to, ``None`` if it is no model call."""
    return next((wire for wire in WIRES.values() if wire.matches(path)), None)
