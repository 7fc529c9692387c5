"""Embeddings in OpenAI's shape: OpenAI's, Azure's, Mistral's, OpenRouter's, Perplexity's, Voyage's, local servers'."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import openai_billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, count, first_count
from pytest_tokenbudget.providers.openai_chat import DEPLOYMENTS
from pytest_tokenbudget.providers.prompt_parts import embedding_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has
from pytest_tokenbudget.records.call import Usage


def _usage(usage: dict[str, Any]) -> Usage:
    """Embeddings; Voyage sends ``total_tokens`` only, which is the input."""
    read = first_count(usage.get("prompt_tokens"), usage.get("input_tokens"), usage.get("total_tokens"))
    details = as_dict(usage.get("prompt_tokens_details"))
    return Usage(
        input_tokens=read,
        output_tokens=count(usage.get("completion_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
    )


def _has_texts(request: Request) -> bool:
    return isinstance((request.body or {}).get("input"), str | list)


class OpenAIEmbeddings(WireFormat):
    """Embeddings: OpenAI's, Azure's, Mistral's, OpenRouter's, Perplexity's, Voyage's, local servers'. Ollama's own have a ``prompt``."""

    api = "openai.embeddings"
    operation = "embeddings"
    endpoints = (
        Endpoint("call", r"/(multimodal|contextualized)?embeddings$", when=has("input", "inputs", "model")),
        Endpoint("call", r"/invocations$", when=_has_texts),
    )
    hosts = (
        ("voyageai.com", "voyage"),
        ("jina.ai", "jina"),
    )
    read_prompt = staticmethod(embedding_prompt)
    model_markers = DEPLOYMENTS

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            accumulator.named(document)
            accumulator.read = accumulator.read or "data" in document
            accumulator.note_error(document.get("error"))
            usage = as_dict(document.get("usage"))
            if usage:
                accumulator.note_usage(_usage(usage))
                accumulator.billed = openai_billed(usage)
