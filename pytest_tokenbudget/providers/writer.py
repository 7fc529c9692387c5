"""Writer's chat: OpenAI's dialect under ``/v1/chat``."""

from __future__ import annotations

from pytest_tokenbudget.providers import openai_chat
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request


class WriterChat(BuiltinFormat):
    """Chat."""

    api = "writer.chat"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path, messages and model; Cohere's chat has its version in the path, Ollama's has ``/api/``."""
        return request.ends("/v1/chat") and request.has("messages") and request.has("model")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions."""
        openai_chat.walk(answer.documents, accumulator)
