"""Anthropic's text completions of old, which send no usage."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Response
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, has


class AnthropicComplete(WireFormat):
    """Completions of a prompt that ends with ``Assistant:``."""

    api = "anthropic.complete"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/complete$", when=has("max_tokens_to_sample")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or from its events."""
        for index, document in enumerate(response.documents):
            accumulator.named(document)
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            if "completion" in document:
                accumulator.read = True
                accumulator.text(document["completion"], index)
                accumulator.finish = document.get("stop_reason") or accumulator.finish
