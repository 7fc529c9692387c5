"""Aleph Alpha's completions."""

from __future__ import annotations

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_str, count, dicts
from pytest_tokenbudget.records.call import Usage


class AlephAlphaComplete(BuiltinFormat):
    """Completions of a prompt of parts."""

    api = "alephalpha.complete"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path and ``maximum_tokens``, which only this API has."""
        return request.ends("/complete") and request.body is not None and "maximum_tokens" in request.body

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for index, document in enumerate(answer.documents):
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
