"""Servers that complete texts: Hugging Face's text generation inference, SageMaker endpoints that run it, SGLang."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import added, as_dict, as_str, count
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, holds
from pytest_tokenbudget.records.call import Usage


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


def _has_text_or_ids(request: Request) -> bool:
    body = request.body or {}
    return "text" in body or "input_ids" in body


class SGLangGeneration(WireFormat):
    """SGLang's own completions; each event of a stream holds all that was written so far."""

    api = "sglang.generate"
    operation = "text_completion"
    common_path = True
    endpoints = (Endpoint("call", r"/generate$", when=_has_text_or_ids),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, from one for each prompt, or from the events of a stream."""
        last: dict[str, dict[str, Any]] = {}
        for index, document in enumerate(response.documents):
            meta = as_dict(document.get("meta_info"))
            if document.get("error"):
                accumulator.error = error_text(document["error"])
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

    def asks_stream(self, request: Request) -> bool:
        """Tell by the path."""
        return request.path.endswith("-stream")

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a list of generations."""
        _parse_generations(response, accumulator)


def _parse_generations(response: Response, accumulator: ResponseAccumulator) -> None:
    """Gather from ``[{"generated_text": ...}]`` or from the tokens of a stream."""
    for index, document in enumerate(response.documents):
        if document.get("error"):
            accumulator.error = error_text(document["error"])
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
