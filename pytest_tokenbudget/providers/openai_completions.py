"""Text completions: OpenAI's, vLLM's, Together's, Writer's."""

from __future__ import annotations

from pytest_tokenbudget.providers import openai_chat
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request


class OpenAICompletions(BuiltinFormat):
    """Completions of a prompt."""

    api = "openai.completions"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path; model serving by the prompt in the body. Chat formats are asked before."""
        if request.ends("/completions"):
            return request.has("prompt", "model", "suffix")
        return request.ends("/invocations") and request.body is not None and "prompt" in request.body

    def url_model(self, request: Request) -> str:
        """The deployment or engine that the URL names."""
        path = request.path
        for marker in ("deployments", "engines", "serving-endpoints", "endpoints"):
            if f"/{marker}/" in path:
                return segment_after(path, marker)
        return ""

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or its chunks; Writer streams ``value``."""
        openai_chat.walk(answer.documents, accumulator)
        for index, document in enumerate(answer.documents):
            if "choices" not in document and isinstance(document.get("value"), str):
                accumulator.read = True
                accumulator.text(document["value"], index)
