"""Cohere: chat in versions 1 and 2, text generation of old, embeddings."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import added, as_dict, as_list, as_str, compact, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    completion_prompt,
    embedding_prompt,
    function_tool,
    kept,
    role_of,
    texts,
    tools,
    with_names,
)
from pytest_tokenbudget.providers.prompt_parts import message as chat_message
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, has, holds
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.prompt import File, Message, OutputSchema, Part, Prompt, Tool, ToolCall, ToolResult


def cohere_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a chat request asks; version 2 has ``messages``, version 1 has ``message``."""
    if "messages" in body:
        return _version_2(body, model, api)
    return _version_1(body, model, api)


def _version_2(body: dict[str, Any], model: str, api: str) -> Prompt:
    messages: list[Message] = []
    for item in dicts(body.get("messages")):
        found = chat_message(item)
        plan = texts(item.get("tool_plan"))
        messages.append(Message(found.role, plan + found.parts, found.name, found.wire_role))
    choice = as_str(body.get("tool_choice")).lower()
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=(*_documents(body), *with_names(messages)),
        tools=tools(body),
        tool_choice=choice or None,
        output_schema=_output_schema(body),
        extra=_extra(body),
    )


def _version_1(body: dict[str, Any], model: str, api: str) -> Prompt:
    messages: list[Message] = []
    if body.get("preamble"):
        messages.append(Message("system", texts(body["preamble"]), None, "preamble"))
    for item in dicts(body.get("chat_history")):
        wire_role = as_str(item.get("role"))
        parts: tuple[Part, ...] = (
            *texts(item.get("message")),
            *(_call(call) for call in dicts(item.get("tool_calls"))),
            *(_result(result) for result in dicts(item.get("tool_results"))),
        )
        messages.append(Message(role_of(wire_role), parts, None, wire_role))
    if body.get("message"):
        messages.append(Message("user", texts(body["message"]), None, "user"))
    results = tuple(_result(result) for result in dicts(body.get("tool_results")))
    if results:
        messages.append(Message("tool", results, None, "tool_results"))
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=(*_documents(body), *messages),
        tools=tuple(_tool(item) for item in dicts(body.get("tools"))),
        tool_choice=as_str(body.get("force_single_step")).lower() or None,
        output_schema=_output_schema(body),
        opaque_reasoning=bool(body.get("conversation_id")),
        extra=_extra(body),
    )


def _extra(body: dict[str, Any]) -> dict[str, Any]:
    names = ("connectors", "citation_options", "citation_quality", "safety_mode", "thinking", "conversation_id")
    return kept(body, names)


def _documents(body: dict[str, Any]) -> tuple[Message, ...]:
    files = tuple(File("text/plain", None, compact(item)) for item in as_list(body.get("documents")))
    return (Message("user", files, None, "documents"),) if files else ()


def _call(call: dict[str, Any]) -> ToolCall:
    return ToolCall(as_str(call.get("name")), compact(call.get("parameters", {})))


def _result(result: dict[str, Any]) -> ToolResult:
    return ToolResult(texts(compact(result.get("outputs", []))), as_str(as_dict(result.get("call")).get("name")))


def _tool(item: dict[str, Any]) -> Tool:
    return function_tool(item, item, "parameter_definitions")


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    wanted = as_dict(body.get("response_format"))
    found = wanted.get("json_schema", wanted.get("schema"))
    return OutputSchema(schema=found) if isinstance(found, dict) else None


def _usage(usage: dict[str, Any]) -> Usage:
    """Cohere: ``tokens`` is what the model read and wrote; ``billed_units`` leaves out the template."""
    tokens = as_dict(usage.get("tokens"))
    return Usage(
        input_tokens=count(tokens.get("input_tokens")),
        output_tokens=count(tokens.get("output_tokens")),
        cached_input_tokens=count(usage.get("cached_tokens")),
        reasoning_tokens=count(tokens.get("reasoning_tokens")),
    )


def _note(usage: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    """Take what a usage tells; Cohere takes money for ``billed_units`` alone (docs.cohere.com, "Pricing", read 2026-11)."""
    accumulator.note_usage(_usage(usage))
    units = as_dict(usage.get("billed_units"))
    accumulator.billed = billed(
        {
            "billed_input_tokens": units.get("input_tokens"),
            "billed_output_tokens": units.get("output_tokens"),
            "rerank_searches": units.get("search_units"),
            "input_image_tokens": as_dict(usage.get("tokens")).get("image_tokens"),
        }
    )


def _counted_usage(counted: dict[str, Any]) -> Usage:
    """Cohere's chat before 2024, which counted in ``token_count``."""
    return Usage(input_tokens=count(counted.get("prompt_tokens")), output_tokens=count(counted.get("response_tokens")))


def _billed_usage(meta: dict[str, Any]) -> Usage:
    """Cohere's embeddings and older endpoints, which know ``billed_units`` only."""
    units = as_dict(meta.get("billed_units"))
    return Usage(
        input_tokens=added(count(units.get("input_tokens")), count(units.get("image_tokens"))),
        output_tokens=count(units.get("output_tokens")),
    )


class CohereChatV2(WireFormat):
    """Chat of version 2."""

    api = "cohere.chat_v2"
    endpoints = (Endpoint("call", r"/v2/chat$", when=has("messages")),)
    hosts = (
        ("cohere.ai", "cohere"),
        ("cohere.com", "cohere"),
    )
    read_prompt = staticmethod(cohere_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(response.documents):
            _event_v2(document, index, accumulator)


def _event_v2(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = document.get("type")
    message = document.get("message")
    if isinstance(message, dict):
        accumulator.read = True
        accumulator.named(document)
        _message(message, index, accumulator)
        accumulator.finish = document.get("finish_reason") or accumulator.finish
        _note(as_dict(document.get("usage")), accumulator)
        return
    delta = as_dict(document.get("delta"))
    inner = as_dict(delta.get("message"))
    if kind == "content-delta":
        content = as_dict(inner.get("content"))
        accumulator.text(content.get("text"), index)
        accumulator.text(content.get("thinking"), index)
    elif kind in ("tool-call-start", "tool-call-delta"):
        for call in _calls(inner.get("tool_calls")):
            function = as_dict(call.get("function"))
            if kind == "tool-call-start":
                accumulator.call(function.get("name"), function.get("arguments"), index)
            else:
                accumulator.text(function.get("arguments"), index)
    elif kind == "tool-plan-delta":
        accumulator.text(inner.get("tool_plan"), index)
    elif kind == "message-start":
        accumulator.read = True
        accumulator.named(document)
    elif kind == "message-end":
        accumulator.read = True
        accumulator.finish = delta.get("finish_reason")
        _note(as_dict(delta.get("usage")), accumulator)
        accumulator.note_error(delta.get("error"))
    elif document.get("error") or document.get("error_type"):
        accumulator.error = error_text(document.get("error") or document)


def _calls(value: object) -> list[dict[str, Any]]:
    """Tool calls: a list in a response, a single object in a stream."""
    return [value] if isinstance(value, dict) else dicts(value)


def _message(message: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    accumulator.text(message.get("tool_plan"), index)
    content = message.get("content")
    accumulator.text(content, index)
    for block in dicts(content):
        accumulator.text(block.get("thinking"), index)
        accumulator.text(block.get("text"), index)
    for call in _calls(message.get("tool_calls")):
        function = as_dict(call.get("function"))
        accumulator.call(function.get("name"), function.get("arguments"), index)


def _has_one_message(request: Request) -> bool:
    return request.body is not None and isinstance(request.body.get("message"), str)


class CohereChatV1(WireFormat):
    """Chat of version 1, whose stream is JSON lines."""

    api = "cohere.chat_v1"
    common_path = True
    endpoints = (Endpoint("call", r"/v1/chat$", when=_has_one_message),)
    read_prompt = staticmethod(cohere_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(response.documents):
            kind = document.get("event_type")
            if kind == "stream-end":
                self._response(as_dict(document.get("response")), None, accumulator)
                accumulator.finish = document.get("finish_reason") or accumulator.finish
            elif kind in ("text-generation", "tool-calls-chunk"):
                accumulator.text(document.get("text"), index)
            elif kind is None:
                if document.get("error") or ("message" in document and "text" not in document):
                    accumulator.error = error_text(document.get("error") or document)
                self._response(document, index, accumulator)

    def _response(self, document: dict[str, Any], index: int | None, accumulator: ResponseAccumulator) -> None:
        meta = as_dict(document.get("meta"))
        accumulator.read = accumulator.read or bool(meta) or "text" in document
        accumulator.model = accumulator.model or as_str(document.get("model"))
        accumulator.id = accumulator.id or as_str(document.get("response_id"))
        accumulator.finish = document.get("finish_reason") or accumulator.finish
        _note(meta, accumulator)
        if isinstance(document.get("token_count"), dict):
            accumulator.note_usage(_counted_usage(document["token_count"]))
        if index is not None:
            accumulator.text(document.get("text"), index)
        for call in dicts(document.get("tool_calls")):
            accumulator.tool_calls.append(as_str(call.get("name")))


class CohereGenerate(WireFormat):
    """Text generation of version 1, which knows billed units only."""

    api = "cohere.generate"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/v1/generate$", when=holds("prompt")),)
    read_prompt = staticmethod(completion_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(response.documents):
            accumulator.text(document.get("text"), index)
            held = as_dict(document.get("response")) or document
            accumulator.named(held)
            for generation in dicts(held.get("generations")):
                accumulator.read = True
                accumulator.text(generation.get("text"), index)
                accumulator.finish = generation.get("finish_reason") or accumulator.finish
            if held.get("meta"):
                accumulator.note_usage(_billed_usage(as_dict(held["meta"])))


class CohereEmbed(WireFormat):
    """Embeddings, which know billed units only."""

    api = "cohere.embed"
    operation = "embeddings"
    endpoints = (Endpoint("call", r"/v[12]/embed$", when=has("texts", "images", "inputs")),)
    read_prompt = staticmethod(embedding_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            accumulator.read = accumulator.read or "embeddings" in document
            accumulator.id = as_str(document.get("id"))
            accumulator.usage = _billed_usage(as_dict(document.get("meta")))
