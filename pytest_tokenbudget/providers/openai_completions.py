"""Text completions: OpenAI's, vLLM's, Together's, Writer's."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.openai_chat import DEPLOYMENTS, ask_for_usage, parse_chat
from pytest_tokenbudget.providers.prompt_parts import completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has, holds


class OpenAICompletions(WireFormat):
    """Text completions: OpenAI's, vLLM's, Together's, Writer's. Chat formats are asked before, as some paths are shared."""

    api = "openai.completions"
    operation = "text_completion"
    endpoints = (
        Endpoint("call", r"/completions$", when=has("prompt", "model", "suffix")),
        Endpoint("call", r"/invocations$", when=holds("prompt")),
    )
    read_prompt = staticmethod(completion_prompt)
    model_markers = DEPLOYMENTS

    def ask_for_usage(self, request: Request, body: bytes) -> bytes | None:
        """Ask in ``stream_options``."""
        return ask_for_usage(request, body)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or its chunks; Writer streams ``value``."""
        parse_chat(response.documents, accumulator)
        for index, document in enumerate(response.documents):
            if "choices" not in document and isinstance(document.get("value"), str):
                accumulator.read = True
                accumulator.text(document["value"], index)
