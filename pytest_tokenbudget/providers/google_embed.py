"""Google's embeddings: ``embedContent`` of the Gemini API and Vertex AI's ``predict``."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.google_generate import url_model
from pytest_tokenbudget.providers.loose import added, as_dict, count, dicts
from pytest_tokenbudget.records.call import Operation, Usage


class GoogleEmbed(BuiltinFormat):
    """``embedContent`` and ``batchEmbedContents``."""

    api = "google.embed_content"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By the method behind the colon of the path."""
        return request.ends(":embedContent", ":batchEmbedContents")

    def url_model(self, request: Request) -> str:
        """The model in the path."""
        return url_model(request)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            accumulator.read = accumulator.read or "embedding" in document or "embeddings" in document
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            usage = as_dict(document.get("usageMetadata"))
            accumulator.usage = Usage(input_tokens=count(usage.get("promptTokenCount")))


class VertexPredict(BuiltinFormat):
    """Vertex AI's ``predict`` where it embeds texts, or where PaLM of old completes them."""

    api = "google.predict_embed"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By path and instances that have ``content``; other models of ``predict`` are no language models."""
        body = request.body or {}
        return request.ends(":predict") and any(
            "content" in item or "messages" in item for item in dicts(body.get("instances"))
        )

    def url_model(self, request: Request) -> str:
        """The model in the path."""
        return url_model(request)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather the tokens of each text."""
        for index, document in enumerate(answer.documents):
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            metadata = as_dict(as_dict(document.get("metadata")).get("tokenMetadata"))
            if metadata:
                _completion(document, metadata, index, accumulator)
                continue
            held = [as_dict(item.get("embeddings")) for item in dicts(document.get("predictions"))]
            accumulator.read = accumulator.read or bool(held)
            counts = [count(as_dict(item.get("statistics")).get("token_count")) for item in held]
            accumulator.usage = Usage(input_tokens=added(*counts))

    def operation_of(self, request: Request, answer: Answer) -> Operation:
        """An answer that tells output tokens is a completion."""
        told = any("tokenMetadata" in as_dict(document.get("metadata")) for document in answer.documents)
        return "text_completion" if told else self.operation


def _completion(
    document: dict[str, Any], metadata: dict[str, Any], index: int, accumulator: ResponseAccumulator
) -> None:
    accumulator.read = True
    for prediction in dicts(document.get("predictions")):
        accumulator.text(prediction.get("content"), index)
        for candidate in dicts(prediction.get("candidates")):
            accumulator.text(candidate.get("content"), index)
    accumulator.usage = Usage(
        input_tokens=count(as_dict(metadata.get("inputTokenCount")).get("totalTokens")),
        output_tokens=count(as_dict(metadata.get("outputTokenCount")).get("totalTokens")),
    )
