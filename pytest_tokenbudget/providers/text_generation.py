"""Servers that complete texts: Hugging Face's text generation inference, SageMaker endpoints that run it, SGLang."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str


class HuggingFaceGeneration(BuiltinFormat):
    """Text generation inference; neither prompt nor total is told, so usage is unknown."""

    api = "huggingface.text_generation"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By the text in ``inputs`` with parameters, at an endpoint's root, a model or ``/generate``."""
        body = request.body
        if request.method != "POST" or body is None or not isinstance(body.get("inputs"), str):
            return False
        path = request.path
        if path.endswith(("/generate", "/generate_stream")):
            return True
        if "/pipeline/" in path and not path.endswith("/text-generation"):
            return False
        return (path == "" or "/models/" in path) and isinstance(body.get("parameters"), dict)

    def url_model(self, request: Request) -> str:
        """The model in the path, whose name may hold a slash."""
        return request.path.partition("/models/")[2]

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a list of generations, or from the events of a stream."""
        gather_generations(answer, accumulator)


class SGLangGeneration(BuiltinFormat):
    """SGLang's own completions; each event of a stream holds all that was written so far."""

    api = "sglang.generate"
    operation = "text_completion"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path, and a text or its tokens."""
        body = request.body or {}
        return request.ends("/generate") and ("text" in body or "input_ids" in body)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, from one for each prompt, or from the events of a stream."""
        last: dict[str, dict[str, Any]] = {}
        for index, document in enumerate(answer.documents):
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
        accumulator.usage = usages.sglang(last.values())


class SageMakerInvoke(BuiltinFormat):
    """A SageMaker endpoint that completes ``inputs``; other bodies are read by the format that they are in."""

    api = "sagemaker.invoke"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path and the text in ``inputs``."""
        body = request.body
        return request.ends("/invocations", "/invocations-response-stream") and body is not None and "inputs" in body

    def asked_stream(self, request: Request) -> bool:
        """By path."""
        return request.path.endswith("-stream")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a list of generations."""
        gather_generations(answer, accumulator)


def gather_generations(answer: Answer, accumulator: ResponseAccumulator) -> None:
    """Gather from ``[{"generated_text": ...}]`` or from the tokens of a stream."""
    for index, document in enumerate(answer.documents):
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
