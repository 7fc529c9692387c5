"""Embeddings in OpenAI's dialect: OpenAI, Azure, Mistral, OpenRouter, Perplexity, Voyage, local servers."""

from __future__ import annotations

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict


class OpenAIEmbeddings(BuiltinFormat):
    """Embeddings: input tokens only."""

    api = "openai.embeddings"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By path and ``input``; model serving by ``input`` alone. Ollama's own ``/api/embeddings`` has a ``prompt``."""
        if request.ends("/embeddings", "/multimodalembeddings", "/contextualizedembeddings"):
            return request.has("input", "inputs", "model")
        return request.ends("/invocations") and isinstance((request.body or {}).get("input"), str | list)

    def url_model(self, request: Request) -> str:
        """The deployment that the URL names."""
        path = request.path
        marker = "deployments" if "/deployments/" in path else "serving-endpoints"
        return segment_after(path, marker)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            accumulator.named(document)
            accumulator.read = accumulator.read or "data" in document
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            usage = as_dict(document.get("usage"))
            if usage:
                accumulator.usage = usages.openai_embeddings(usage)
