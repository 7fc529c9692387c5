"""llama.cpp's own completions; its other paths speak OpenAI's and Anthropic's dialects."""

from __future__ import annotations

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request

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

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion, or from the events of a stream; the last one has the totals."""
        for index, document in enumerate(answer.documents):
            accumulator.named(document)
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            if isinstance(document.get("content"), str):
                accumulator.read = True
                accumulator.text(document["content"], index)
            stop = document.get("stop_type")
            accumulator.finish = _STOPS.get(stop) if isinstance(stop, str) and stop in _STOPS else accumulator.finish
            if document.get("stop") is True:
                accumulator.usage = usages.llamacpp(document)
