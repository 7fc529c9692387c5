"""Google's embeddings: ``embedContent`` of the Gemini API, and Vertex AI's ``predict``."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.google_generate import GoogleFormat
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import added, as_dict, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    embedding_prompt,
)
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, has
from pytest_tokenbudget.records.call import Operation, Usage


class GoogleEmbed(GoogleFormat):
    """``embedContent`` and ``batchEmbedContents``."""

    api = "google.embed_content"
    operation = "embeddings"
    provider = "gcp.gemini"
    endpoints = (
        Endpoint("call", r":(embedContent|batchEmbedContents)$"),
        Endpoint("batch", r":asyncBatchEmbedContent$", when=has("batch", "requests")),
    )
    read_prompt = staticmethod(embedding_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            accumulator.read = accumulator.read or "embedding" in document or "embeddings" in document
            accumulator.note_error(document.get("error"))
            usage = as_dict(document.get("usageMetadata"))
            accumulator.usage = Usage(input_tokens=count(usage.get("promptTokenCount")))


def _embeds_texts(request: Request) -> bool:
    """Instances that have ``content``; other models of ``predict`` are no language models."""
    return any("content" in item or "messages" in item for item in dicts((request.body or {}).get("instances")))


class VertexPredict(GoogleFormat):
    """Vertex AI's ``predict`` where it embeds texts, or where PaLM of old completes them."""

    api = "google.predict_embed"
    operation = "embeddings"
    provider = "gcp.vertex_ai"
    endpoints = (Endpoint("call", r":predict$", when=_embeds_texts),)
    read_prompt = staticmethod(embedding_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather the tokens of each text."""
        for index, document in enumerate(response.documents):
            accumulator.note_error(document.get("error"))
            metadata = as_dict(as_dict(document.get("metadata")).get("tokenMetadata"))
            if metadata:
                _completion(document, metadata, index, accumulator)
                continue
            held = [as_dict(item.get("embeddings")) for item in dicts(document.get("predictions"))]
            accumulator.read = accumulator.read or bool(held)
            counts = [count(as_dict(item.get("statistics")).get("token_count")) for item in held]
            accumulator.usage = Usage(input_tokens=added(*counts))

    def operation_of(self, request: Request, response: Response) -> Operation:
        """An answer that tells output tokens is a completion."""
        told = any("tokenMetadata" in as_dict(document.get("metadata")) for document in response.documents)
        return "text_completion" if told else self.operation


def _completion(
    document: dict[str, Any], metadata: dict[str, Any], index: int, accumulator: ResponseAccumulator
) -> None:
    accumulator.read = True
    for prediction in dicts(document.get("predictions")):
        accumulator.text(prediction.get("content"), index)
        accumulator.texts_in(prediction.get("candidates"), index, "content")
    accumulator.usage = Usage(
        input_tokens=count(as_dict(metadata.get("inputTokenCount")).get("totalTokens")),
        output_tokens=count(as_dict(metadata.get("outputTokenCount")).get("totalTokens")),
    )
