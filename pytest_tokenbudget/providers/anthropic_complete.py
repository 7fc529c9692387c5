"""Anthropic's text completions of old, which send no usage."""

from __future__ import annotations

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request


class AnthropicComplete(BuiltinFormat):
    """Completions of a prompt that ends with ``Assistant:``."""

    api = "anthropic.complete"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path, a prompt, and the limit that only this API has."""
        return request.ends("/complete") and request.has("max_tokens_to_sample")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or from its events."""
        for index, document in enumerate(answer.documents):
            accumulator.named(document)
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            if "completion" in document:
                accumulator.read = True
                accumulator.text(document["completion"], index)
                accumulator.finish = document.get("stop_reason") or accumulator.finish
