"""Requests become prompts: one module per API, each with ``prompt(body, model, api)``.

Nothing that costs tokens is left out: roles, participants' names, texts and arguments stand as on the wire, schemas in
their own key order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_tokenbudget.providers.prompts import (
    anthropic_messages,
    bedrock_converse,
    bedrock_invoke,
    cohere_chat,
    google_generate,
    google_interactions,
    mistral_conversations,
    openai_chat,
    openai_responses,
    plain,
)
from pytest_tokenbudget.records.prompt import Prompt

Build = Callable[[dict[str, Any], str, str], Prompt]


def _by_shape(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Where the model decides what a request looks like."""
    if "messages" in body:
        return openai_chat.prompt(body, model, api)
    return openai_responses.prompt(body, model, api) if "input" in body else plain.completion(body, model, api)


PROMPTS: Mapping[str, Build] = {
    "alephalpha.complete": plain.completion,
    "anthropic.complete": plain.completion,
    "anthropic.messages": anthropic_messages.prompt,
    "bedrock.converse": bedrock_converse.prompt,
    "bedrock.converse_stream": bedrock_converse.prompt,
    "bedrock.invoke": bedrock_invoke.prompt,
    "bedrock.invoke_stream": bedrock_invoke.prompt,
    "cloudflare.run": _by_shape,
    "cohere.chat_v1": cohere_chat.prompt,
    "cohere.chat_v2": cohere_chat.prompt,
    "cohere.embed": plain.embedding,
    "cohere.generate": plain.completion,
    "google.embed_content": plain.embedding,
    "google.generate_content": google_generate.prompt,
    "google.interactions": google_interactions.prompt,
    "google.predict_embed": plain.embedding,
    "google.stream_generate_content": google_generate.prompt,
    "huggingface.text_generation": plain.completion,
    "llamacpp.completion": plain.completion,
    "mistral.chat": openai_chat.prompt,
    "mistral.conversations": mistral_conversations.prompt,
    "ollama.chat": plain.ollama_chat,
    "ollama.embed": plain.embedding,
    "ollama.generate": plain.ollama_generate,
    "openai.chat": openai_chat.prompt,
    "openai.completions": plain.completion,
    "openai.embeddings": plain.embedding,
    "openai.responses": openai_responses.prompt,
    "openai.responses.compact": openai_responses.prompt,
    "replicate.predictions": plain.completion,
    "sagemaker.invoke": plain.completion,
    "sglang.generate": plain.completion,
    "watsonx.chat": openai_chat.prompt,
    "watsonx.generation": plain.completion,
    "writer.chat": openai_chat.prompt,
}
"""The builder of each API's prompts."""


def prompt_for(api: str, body: dict[str, Any], model: str = "") -> Prompt | None:
    """What a request asks.

    Args:
        api: Name of the wire format, ``"openai.chat"``.
        body: The request's JSON object.
        model: Model by the URL, for APIs whose body does not name it.

    Returns:
        The prompt, or ``None`` where the API is not known or the body is too deeply nested to be read.
    """
    build = PROMPTS.get(api)
    if build is None:
        return None
    try:
        return build(body, model, api)
    except RecursionError:
        return None
