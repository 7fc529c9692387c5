"""Google's embeddings: ``embedContent`` of the Gemini API and Vertex AI's ``predict``."""

from __future__ import annotations

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.google_generate import url_model
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import added, as_dict, count, dicts


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            harvest.read = harvest.read or "embedding" in document or "embeddings" in document
            if document.get("error"):
                harvest.error = error_text(document["error"])
            usage = as_dict(document.get("usageMetadata"))
            harvest.usage = Usage(input_tokens=count(usage.get("promptTokenCount")))


class VertexPredict(BuiltinFormat):
    """Vertex AI's ``predict`` where it embeds texts."""

    api = "google.predict_embed"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By path and instances that have ``content``; other models of ``predict`` are no language models."""
        body = request.body or {}
        return request.ends(":predict") and any("content" in item for item in dicts(body.get("instances")))

    def url_model(self, request: Request) -> str:
        """The model in the path."""
        return url_model(request)

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather the tokens of each text."""
        for document in answer.documents:
            if document.get("error"):
                harvest.error = error_text(document["error"])
            held = [as_dict(item.get("embeddings")) for item in dicts(document.get("predictions"))]
            harvest.read = harvest.read or bool(held)
            counts = [count(as_dict(item.get("statistics")).get("token_count")) for item in held]
            harvest.usage = Usage(input_tokens=added(*counts))
