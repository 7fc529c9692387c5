"""llama.cpp's own completions; its other paths speak OpenAI's and Anthropic's dialects."""

from __future__ import annotations

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text

_STOPS = {"eos": "stop", "word": "stop", "limit": "length"}


class LlamaCppCompletion(BuiltinFormat):
    """Completion of a prompt, or of what stands around a gap; streamed or not."""

    api = "llamacpp.completion"
    operation = "text_completion"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path and what is to be completed."""
        body = request.body or {}
        return (request.ends("/completion") and "prompt" in body) or (
            request.ends("/infill") and ("input_prefix" in body or "input_suffix" in body)
        )

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a completion, or from the events of a stream; the last one has the totals."""
        for index, document in enumerate(answer.documents):
            harvest.named(document)
            if document.get("error"):
                harvest.error = error_text(document["error"])
            if isinstance(document.get("content"), str):
                harvest.read = True
                harvest.text(document["content"], index)
            stop = document.get("stop_type")
            harvest.finish = _STOPS.get(stop) if isinstance(stop, str) and stop in _STOPS else harvest.finish
            if document.get("stop") is True:
                harvest.usage = usages.llamacpp(document)
