"""Servers that complete texts: Hugging Face's text generation inference, SageMaker endpoints that run it, SGLang."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_dict, as_str


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a list of generations, or from the events of a stream."""
        gather_generations(answer, harvest)


class SGLangGeneration(BuiltinFormat):
    """SGLang's own completions; each event of a stream holds all that was written so far."""

    api = "sglang.generate"
    operation = "text_completion"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path, and a text or its tokens."""
        body = request.body or {}
        return request.ends("/generate") and ("text" in body or "input_ids" in body)

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a response, from one for each prompt, or from the events of a stream."""
        last: dict[str, dict[str, Any]] = {}
        for index, document in enumerate(answer.documents):
            meta = as_dict(document.get("meta_info"))
            if document.get("error"):
                harvest.error = error_text(document["error"])
            if meta:
                harvest.read = True
                harvest.id = harvest.id or as_str(meta.get("id"))
                harvest.texts.clear()
                harvest.text(document.get("text"), index)
                harvest.finish = as_dict(meta.get("finish_reason")).get("type") or harvest.finish
                last[as_str(meta.get("id"))] = meta
        harvest.usage = usages.sglang(last.values())


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a list of generations."""
        gather_generations(answer, harvest)


def gather_generations(answer: Answer, harvest: Harvest) -> None:
    """Gather from ``[{"generated_text": ...}]`` or from the tokens of a stream."""
    for index, document in enumerate(answer.documents):
        if document.get("error"):
            harvest.error = error_text(document["error"])
        token = as_dict(document.get("token"))
        if token:
            harvest.read = True
            if token.get("special") is not True:
                harvest.text(token.get("text"), index)
        elif "generated_text" in document:
            harvest.read = True
            harvest.text(document["generated_text"], index)
        reason = as_dict(document.get("details")).get("finish_reason")
        harvest.finish = reason or harvest.finish
