"""Aleph Alpha's completions."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Response
from pytest_tokenbudget.providers.loose import as_str, count, dicts
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, holds
from pytest_tokenbudget.records.call import Usage


class AlephAlphaComplete(WireFormat):
    """Completions of a prompt of parts."""

    api = "alephalpha.complete"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/complete$", when=holds("maximum_tokens")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for index, document in enumerate(response.documents):
            accumulator.model = accumulator.model or as_str(document.get("model_version"))
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            for completion in dicts(document.get("completions")):
                accumulator.read = True
                accumulator.text(completion.get("completion"), index)
                accumulator.finish = completion.get("finish_reason") or accumulator.finish
            accumulator.usage = Usage(
                input_tokens=count(document.get("num_tokens_prompt_total")),
                output_tokens=count(document.get("num_tokens_generated")),
            )
