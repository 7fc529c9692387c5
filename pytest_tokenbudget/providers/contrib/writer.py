"""Writer's chat: OpenAI's dialect under ``/v1/chat``."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.openai_chat import parse_chat
from pytest_tokenbudget.providers.prompt_parts import chat_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat


def _has_messages_and_model(request: Request) -> bool:
    """Cohere's chat has its version in the path, Ollama's has ``/api/``."""
    return request.has("messages") and request.has("model")


class WriterChat(WireFormat):
    """Chat."""

    api = "writer.chat"
    common_path = True
    endpoints = (Endpoint("call", r"/v1/chat$", when=_has_messages_and_model),)
    read_prompt = staticmethod(chat_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions."""
        parse_chat(response.documents, accumulator)
