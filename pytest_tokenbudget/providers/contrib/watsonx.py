"""IBM watsonx.ai: chat in OpenAI's dialect under its own paths, and text generation."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_str, count, dicts
from pytest_tokenbudget.providers.openai_chat import parse_chat
from pytest_tokenbudget.providers.prompt_parts import chat_prompt, completion_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, has
from pytest_tokenbudget.records.call import Usage


class WatsonxChat(WireFormat):
    """Chat."""

    api = "watsonx.chat"
    provider = "ibm.watsonx.ai"
    endpoints = (Endpoint("call", r"/text/chat(_stream)?$", when=has("messages")),)
    read_prompt = staticmethod(chat_prompt)

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return request.segment_after("deployments")

    def asks_stream(self, request: Request) -> bool:
        """Tell by the path."""
        return request.path.endswith("_stream")

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions; the model stands in ``model_id``."""
        for document in response.documents:
            accumulator.model = accumulator.model or as_str(document.get("model_id"))
        parse_chat(response.documents, accumulator)


class WatsonxGeneration(WireFormat):
    """Text generation; in a stream the counts grow from event to event and the input's falls to 0."""

    api = "watsonx.generation"
    operation = "text_completion"
    provider = "ibm.watsonx.ai"
    endpoints = (
        Endpoint("call", r"/text/generation(_stream)?$|/generation/text(_stream)?$", when=has("input", "model_id")),
    )
    read_prompt = staticmethod(completion_prompt)

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return request.segment_after("deployments")

    def asks_stream(self, request: Request) -> bool:
        """Tell by the path."""
        return request.path.endswith("_stream")

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        read: list[int] = []
        written: list[int] = []
        for index, document in enumerate(response.documents):
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
