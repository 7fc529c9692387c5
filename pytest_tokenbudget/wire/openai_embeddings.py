"""Embeddings in OpenAI's dialect: OpenAI, Azure, Mistral, OpenRouter, Perplexity, Voyage, local servers."""

from __future__ import annotations

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text, segment_after
from pytest_tokenbudget.wire.loose import as_dict


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            harvest.named(document)
            harvest.read = harvest.read or "data" in document
            if document.get("error"):
                harvest.error = error_text(document["error"])
            usage = as_dict(document.get("usage"))
            if usage:
                harvest.usage = usages.openai_embeddings(usage)
