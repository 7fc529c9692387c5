"""APIs of few that complete a text: Aleph Alpha's, Anthropic's of old (which sends no usage), llama.cpp's own, servers of ``inputs``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import added, as_dict, as_str, count, dicts
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has, holds, holds_any
from pytest_tokenbudget.records.call import Usage


class AlephAlphaComplete(WireFormat):
    """Aleph Alpha's completions of a prompt of parts."""

    api = "alephalpha.complete"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/complete$", when=holds("maximum_tokens")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for index, document in enumerate(response.documents):
            accumulator.model = accumulator.model or as_str(document.get("model_version"))
            accumulator.note_error(document.get("error"))
            for completion in dicts(document.get("completions")):
                accumulator.read = True
                accumulator.text(completion.get("completion"), index)
                accumulator.finish = completion.get("finish_reason") or accumulator.finish
            accumulator.usage = Usage(
                input_tokens=count(document.get("num_tokens_prompt_total")),
                output_tokens=count(document.get("num_tokens_generated")),
            )


class AnthropicComplete(WireFormat):
    """Anthropic's text completions of old, of a prompt that ends with ``Assistant:``; they send no usage."""

    api = "anthropic.complete"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/complete$", when=has("max_tokens_to_sample")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or from its events."""
        for index, document in enumerate(response.documents):
            accumulator.named(document)
            accumulator.note_error(document.get("error"))
            if "completion" in document:
                accumulator.read = True
                accumulator.text(document["completion"], index)
                accumulator.finish = document.get("stop_reason") or accumulator.finish


_STOPS = {"eos": "stop", "word": "stop", "limit": "length"}


def _llamacpp_usage(document: dict[str, Any]) -> Usage:
    """llama.cpp: all of the prompt counts as evaluated, also what ``cache_n`` took over from the request before."""
    return Usage(
        input_tokens=count(document.get("tokens_evaluated")),
        output_tokens=count(document.get("tokens_predicted")),
        cached_input_tokens=count(as_dict(document.get("timings")).get("cache_n")),
    )


class LlamaCppCompletion(WireFormat):
    """llama.cpp's own completion of a prompt, or of what stands around a gap; its other paths speak OpenAI's and Anthropic's dialects."""

    api = "llamacpp.completion"
    operation = "text_completion"
    common_path = True
    endpoints = (
        Endpoint("call", r"/completion$", when=holds("prompt")),
        Endpoint("call", r"/infill$", when=holds_any("input_prefix", "input_suffix")),
    )
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion, or from the events of a stream; the last one has the totals."""
        for index, document in enumerate(response.documents):
            accumulator.named(document)
            accumulator.note_error(document.get("error"))
            if isinstance(document.get("content"), str):
                accumulator.read = True
                accumulator.text(document["content"], index)
            stop = document.get("stop_type")
            accumulator.finish = _STOPS.get(stop) if isinstance(stop, str) and stop in _STOPS else accumulator.finish
            if document.get("stop") is True:
                accumulator.note_usage(_llamacpp_usage(document))


def _completes_inputs(request: Request) -> bool:
    """Text in ``inputs`` with parameters, at an endpoint's root or a model; ``/generate`` says enough itself."""
    body, path = request.body, request.path
    if body is None or not isinstance(body.get("inputs"), str):
        return False
    if path.endswith(("/generate", "/generate_stream")):
        return True
    if "/pipeline/" in path and not path.endswith("/text-generation"):
        return False
    return isinstance(body.get("parameters"), dict)


class HuggingFaceGeneration(WireFormat):
    """Text generation inference; neither prompt nor total is told, so usage is unknown."""

    api = "huggingface.text_generation"
    operation = "text_completion"

    endpoints = (Endpoint("call", r"^$|/generate(_stream)?$|/models/", when=_completes_inputs),)
    hosts = (
        ("huggingface.co", "huggingface"),
        ("huggingface.cloud", "huggingface"),
    )
    read_prompt = staticmethod(completion_prompt)

    def url_model(self, request: Request) -> str:
        """The model in the path, whose name may hold a slash."""
        return request.path.partition("/models/")[2]

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a list of generations, or from the events of a stream."""
        _parse_generations(response, accumulator)


def _sglang_usage(answers: Iterable[dict[str, Any]]) -> Usage:
    """SGLang's ``meta_info`` of each prompt of a request."""
    answers = list(answers)
    names = ("prompt_tokens", "completion_tokens", "cached_tokens")
    read, written, cached = (added(*(count(meta.get(name)) for meta in answers)) for name in names)
    return Usage(input_tokens=read, output_tokens=written, cached_input_tokens=cached)


class SGLangGeneration(WireFormat):
    """SGLang's own completions; each event of a stream holds all that was written so far."""

    api = "sglang.generate"
    operation = "text_completion"
    common_path = True
    endpoints = (Endpoint("call", r"/generate$", when=holds_any("text", "input_ids")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, from one for each prompt, or from the events of a stream."""
        last: dict[str, dict[str, Any]] = {}
        for index, document in enumerate(response.documents):
            meta = as_dict(document.get("meta_info"))
            accumulator.note_error(document.get("error"))
            if meta:
                accumulator.read = True
                accumulator.id = accumulator.id or as_str(meta.get("id"))
                accumulator.texts.clear()
                accumulator.text(document.get("text"), index)
                accumulator.finish = as_dict(meta.get("finish_reason")).get("type") or accumulator.finish
                last[as_str(meta.get("id"))] = meta
        accumulator.usage = _sglang_usage(last.values())


class SageMakerInvoke(WireFormat):
    """A SageMaker endpoint that completes ``inputs``; other bodies are read by the format that they are in."""

    api = "sagemaker.invoke"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/invocations(-response-stream)?$", when=holds("inputs")),)
    read_prompt = staticmethod(completion_prompt)
    stream_paths = ("-stream",)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a list of generations."""
        _parse_generations(response, accumulator)


def _parse_generations(response: Response, accumulator: ResponseAccumulator) -> None:
    """Gather from ``[{"generated_text": ...}]`` or from the tokens of a stream."""
    for index, document in enumerate(response.documents):
        accumulator.note_error(document.get("error"))
        token = as_dict(document.get("token"))
        if token:
            accumulator.read = True
            if token.get("special") is not True:
                accumulator.text(token.get("text"), index)
        elif "generated_text" in document:
            accumulator.read = True
            accumulator.text(document["generated_text"], index)
        reason = as_dict(document.get("details")).get("finish_reason")
        accumulator.finish = reason or accumulator.finish
