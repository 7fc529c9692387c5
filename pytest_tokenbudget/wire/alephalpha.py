"""Aleph Alpha's completions."""

from __future__ import annotations

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_str, count, dicts


class AlephAlphaComplete(BuiltinFormat):
    """Completions of a prompt of parts."""

    api = "alephalpha.complete"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path and ``maximum_tokens``, which only this API has."""
        return request.ends("/complete") and request.body is not None and "maximum_tokens" in request.body

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from the one document."""
        for index, document in enumerate(answer.documents):
            harvest.model = harvest.model or as_str(document.get("model_version"))
            if document.get("error"):
                harvest.error = error_text(document["error"])
            for completion in dicts(document.get("completions")):
                harvest.read = True
                harvest.text(completion.get("completion"), index)
                harvest.finish = completion.get("finish_reason") or harvest.finish
            harvest.usage = Usage(
                input_tokens=count(document.get("num_tokens_prompt_total")),
                output_tokens=count(document.get("num_tokens_generated")),
            )
