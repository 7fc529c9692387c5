"""Anthropic's text completions of old, which send no usage."""

from __future__ import annotations

from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text


class AnthropicComplete(BuiltinFormat):
    """Completions of a prompt that ends with ``Assistant:``."""

    api = "anthropic.complete"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path, a prompt, and the limit that only this API has."""
        return request.ends("/complete") and request.has("max_tokens_to_sample")

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a completion or from its events."""
        for index, document in enumerate(answer.documents):
            harvest.named(document)
            if document.get("error"):
                harvest.error = error_text(document["error"])
            if "completion" in document:
                harvest.read = True
                harvest.text(document["completion"], index)
                harvest.finish = document.get("stop_reason") or harvest.finish
