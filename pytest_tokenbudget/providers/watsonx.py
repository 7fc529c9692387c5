"""IBM watsonx.ai: chat in OpenAI's dialect under its own paths, and text generation."""

from __future__ import annotations

from pytest_tokenbudget.providers import openai_chat
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_str, count, dicts
from pytest_tokenbudget.records.call import Usage


class WatsonxChat(BuiltinFormat):
    """Chat."""

    api = "watsonx.chat"

    def recognises(self, request: Request) -> bool:
        """By path."""
        return request.ends("/text/chat", "/text/chat_stream") and request.has("messages")

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return segment_after(request.path, "deployments")

    def asked_stream(self, request: Request) -> bool:
        """By path."""
        return request.path.endswith("_stream")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions; the model stands in ``model_id``."""
        for document in answer.documents:
            accumulator.model = accumulator.model or as_str(document.get("model_id"))
        openai_chat.walk(answer.documents, accumulator)


class WatsonxGeneration(BuiltinFormat):
    """Text generation; in a stream the counts grow from event to event and the input's falls to 0."""

    api = "watsonx.generation"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path."""
        paths = ("/text/generation", "/text/generation_stream", "/generation/text", "/generation/text_stream")
        return request.ends(*paths) and request.has("input", "model_id")

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return segment_after(request.path, "deployments")

    def asked_stream(self, request: Request) -> bool:
        """By path."""
        return request.path.endswith("_stream")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        read: list[int] = []
        written: list[int] = []
        for index, document in enumerate(answer.documents):
            accumulator.model = accumulator.model or as_str(document.get("model_id"))
            for error in dicts(document.get("errors")):
                accumulator.error = error_text(error)
            for result in dicts(document.get("results")):
                accumulator.read = True
                accumulator.text(result.get("generated_text"), index)
                reason = as_str(result.get("stop_reason")).lower()
                accumulator.finish = accumulator.finish if reason in ("", "not_finished") else reason
                read.extend(n for n in [count(result.get("input_token_count"))] if n is not None)
                written.extend(n for n in [count(result.get("generated_token_count"))] if n is not None)
        accumulator.usage = Usage(input_tokens=max(read, default=None), output_tokens=max(written, default=None))
