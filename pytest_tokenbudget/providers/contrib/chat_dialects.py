"""APIs of few that speak OpenAI's chat under paths of their own: Writer's, IBM watsonx.ai's (and its text generation), Workers AI's."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, count, dicts
from pytest_tokenbudget.providers.openai_chat import Calls, chat_usage, parse_chat, tool_calls
from pytest_tokenbudget.providers.openai_responses import parse_responses, responses_prompt
from pytest_tokenbudget.providers.prompt_parts import chat_prompt, completion_prompt
from pytest_tokenbudget.providers.wire_format import (
    Endpoint,
    ResponseAccumulator,
    WireFormat,
    error_text,
    has,
    holds_any,
)
from pytest_tokenbudget.records.call import Operation, Usage
from pytest_tokenbudget.records.prompt import Prompt


def _has_messages_and_model(request: Request) -> bool:
    """Cohere's chat has its version in the path, Ollama's has ``/api/``."""
    return request.has("messages") and request.has("model")


class WriterChat(WireFormat):
    """Writer's chat."""

    api = "writer.chat"
    common_path = True
    endpoints = (Endpoint("call", r"/v1/chat$", when=_has_messages_and_model),)
    read_prompt = staticmethod(chat_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions."""
        parse_chat(response.documents, accumulator)


class WatsonxChat(WireFormat):
    """IBM watsonx.ai's chat."""

    api = "watsonx.chat"
    provider = "ibm.watsonx.ai"
    endpoints = (Endpoint("call", r"/text/chat(_stream)?$", when=has("messages")),)
    read_prompt = staticmethod(chat_prompt)
    model_markers = ("deployments",)
    stream_paths = ("_stream",)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather as from chat completions; the model stands in ``model_id``."""
        for document in response.documents:
            accumulator.model = accumulator.model or as_str(document.get("model_id"))
        parse_chat(response.documents, accumulator)


class WatsonxGeneration(WireFormat):
    """IBM watsonx.ai's text generation; in a stream the counts grow from event to event and the input's falls to 0."""

    api = "watsonx.generation"
    operation = "text_completion"
    provider = "ibm.watsonx.ai"
    endpoints = (
        Endpoint("call", r"/text/generation(_stream)?$|/generation/text(_stream)?$", when=has("input", "model_id")),
    )
    read_prompt = staticmethod(completion_prompt)
    model_markers = ("deployments",)
    stream_paths = ("_stream",)

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


class CloudflareRun(WireFormat):
    """A run of a model at Cloudflare's Workers AI by its own path. The newer ones answer in OpenAI's dialects inside the same frame."""

    api = "cloudflare.run"
    endpoints = (Endpoint("call", r"/ai/run/|/@[ch]f/", when=holds_any("messages", "prompt", "input")),)
    hosts = (
        ("gateway.ai.cloudflare.com", "cloudflare"),
        ("api.cloudflare.com", "cloudflare"),
    )

    def prompt(self, request: Request) -> Prompt | None:
        """Read what the model is asked; the model decides what a request looks like."""
        body, model = request.body, self.url_model(request)
        if body is None:
            return None
        if "messages" in body:
            return chat_prompt(body, model, self.api)
        return (responses_prompt if "input" in body else completion_prompt)(body, model, self.api)

    def url_model(self, request: Request) -> str:
        """The model in the path, ``@cf/meta/llama-3.1-8b-instruct``."""
        _, found, model = request.path.partition("/@")
        return f"@{model}" if found else request.path.partition("/ai/run/")[2]

    def operation_of(self, request: Request, response: Response) -> Operation:
        """A prompt that no text answers was for a model of images."""
        if "prompt" not in (request.body or {}):
            return "chat"
        return "text_completion" if any("response" in _held(found) for found in response.documents) else "other"

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a result, or from the events of a stream."""
        held = [_held(document) for document in response.documents]
        if any("choices" in document for document in held):
            parse_chat(held, accumulator)
        elif any("output" in document or "sequence_number" in document for document in held):
            parse_responses(held, accumulator)
        else:
            _run(held, accumulator)
        for document in response.documents:
            for error in dicts(document.get("errors")):
                accumulator.error = error_text(error)


def _held(document: dict[str, Any]) -> dict[str, Any]:
    return as_dict(document.get("result")) or document


def _run(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    calls: Calls = {}
    for index, document in enumerate(documents):
        accumulator.read = accumulator.read or "response" in document or "tool_calls" in document
        response = document.get("response")
        accumulator.text(compact(response) if isinstance(response, dict) else response, index)
        tool_calls(document.get("tool_calls"), 0, index, accumulator, calls)
        usage = as_dict(document.get("usage"))
        if usage:
            accumulator.note_usage(chat_usage(usage))
