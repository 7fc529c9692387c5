"""llama.cpp's own completions; its other paths speak OpenAI's and Anthropic's dialects."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, count
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, holds
from pytest_tokenbudget.records.call import Usage

_STOPS = {"eos": "stop", "word": "stop", "limit": "length"}


def _usage(document: dict[str, Any]) -> Usage:
    """llama.cpp: all of the prompt counts as evaluated, also what ``cache_n`` took over from the request before."""
    return Usage(
        input_tokens=count(document.get("tokens_evaluated")),
        output_tokens=count(document.get("tokens_predicted")),
        cached_input_tokens=count(as_dict(document.get("timings")).get("cache_n")),
    )


def _has_a_gap(request: Request) -> bool:
    body = request.body or {}
    return "input_prefix" in body or "input_suffix" in body


class LlamaCppCompletion(WireFormat):
    """Completion of a prompt, or of what stands around a gap; streamed or not."""

    api = "llamacpp.completion"
    operation = "text_completion"
    common_path = True
    endpoints = (
        Endpoint("call", r"/completion$", when=holds("prompt")),
        Endpoint("call", r"/infill$", when=_has_a_gap),
    )
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion, or from the events of a stream; the last one has the totals."""
        for index, document in enumerate(response.documents):
            accumulator.named(document)
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            if isinstance(document.get("content"), str):
                accumulator.read = True
                accumulator.text(document["content"], index)
            stop = document.get("stop_type")
            accumulator.finish = _STOPS.get(stop) if isinstance(stop, str) and stop in _STOPS else accumulator.finish
            if document.get("stop") is True:
                accumulator.note_usage(_usage(document))
