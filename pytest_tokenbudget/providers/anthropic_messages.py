"""Anthropic's messages API: its own, on Vertex AI (``rawPredict``), and through gateways that speak it."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.inline_media import image_from_url, inline_file, inline_image
from pytest_tokenbudget.providers.loose import added, as_dict, as_str, compact, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    description,
    has_sealed_reasoning,
    kept,
    named_choice,
    parts_of,
    schema,
    texts,
    turn,
    with_names,
)
from pytest_tokenbudget.providers.wire_format import (
    AnswerWriter,
    Endpoint,
    Event,
    JsonObject,
    ResponseAccumulator,
    ScriptedAnswer,
    WireFormat,
    arguments,
    error_text,
    has,
    named_event,
    pieces,
)
from pytest_tokenbudget.records.call import BilledUsage, Usage
from pytest_tokenbudget.records.prompt import (
    File,
    Image,
    Message,
    OutputSchema,
    Part,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

_SERVER_TOOLS = frozenset({"server_tool_use", "mcp_tool_use"})
_EXTRA = ("mcp_servers", "container", "thinking", "context_management")
_TOOL_USES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


def messages_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a messages request asks, the system prompt first.

    A turn of nothing but tool results has the role ``tool``, whereas its ``wire_role`` stays ``user``.
    """
    messages: list[Message] = []
    system = _blocks(body.get("system"))
    if system:
        messages.append(Message("system", system, None, "system"))
    messages += [turn(as_str(item.get("role")), _blocks(item.get("content"))) for item in dicts(body.get("messages"))]
    choice = body.get("tool_choice")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(body.get("tools"))),
        tool_choice=None if choice is None else named_choice(choice),
        output_schema=_output_schema(body),
        opaque_reasoning=has_sealed_reasoning(messages),
        extra=kept(body, _EXTRA),
    )


def _blocks(value: object) -> tuple[Part, ...]:
    return parts_of(value, _block)


def _block(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind in _TOOL_USES:
        return (ToolCall(as_str(item.get("name")), compact(item.get("input", {})), as_str(item.get("id"))),)
    if kind == "tool_result" or kind.endswith("_tool_result"):
        return (ToolResult(_result(item.get("content")), "", as_str(item.get("tool_use_id"))),)
    if kind == "thinking":
        text = as_str(item.get("thinking"))
        return (Reasoning(text=text, opaque=not text, size=len(text) or len(as_str(item.get("signature")))),)
    if kind == "redacted_thinking":
        return (Reasoning(opaque=True, size=len(as_str(item.get("data")))),)
    if kind == "compaction":
        return texts(item.get("content"))
    if kind in ("image", "document", "search_result", "container_upload"):
        return tuple(_media(item, kind))
    return texts(item.get("text"))


def _media(item: dict[str, Any], kind: str) -> tuple[Text | Image | File, ...]:
    source = item.get("source")
    if kind == "search_result" or isinstance(source, str):
        inner = "\n".join(part.text for part in _blocks(item.get("content")) if isinstance(part, Text))
        return (File("text/plain", None, "\n".join(filter(None, (as_str(item.get("title")), inner))), as_str(source)),)
    held = as_dict(source)
    data, media_type = as_str(held.get("data")), as_str(held.get("media_type"))
    where = as_str(held.get("url")) or as_str(held.get("file_id")) or as_str(item.get("file_id"))
    if kind == "image":
        return (inline_image(data) if data else image_from_url(where),)
    lead = tuple(text for key in ("title", "context") for text in texts(item.get(key)))
    if held.get("type") == "text":
        return (*lead, File(media_type or "text/plain", len(data), data))
    if held.get("type") == "content":
        return (*lead, *(part for part in _blocks(held.get("content")) if isinstance(part, Text | Image | File)))
    return (*lead, inline_file(data, media_type) if data else File(media_type, reference=where))


def _result(content: object) -> tuple[Text | Image | File, ...]:
    if not isinstance(content, list):
        return texts(content) if isinstance(content, str) else texts(compact(content) if content else "")
    found: list[Text | Image | File] = []
    for item in content:
        parts = _blocks([item])
        if parts:
            found.extend(part for part in parts if isinstance(part, Text | Image | File))
        else:
            found.extend(texts(compact(item)))
    return tuple(found)


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type"))
    return Tool(
        name=as_str(item.get("name")) or kind,
        description=description(item.get("description")),
        parameters=schema(item.get("input_schema")),
        definition=item,
        kind="function" if kind in ("", "custom", "function") else kind,
    )


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    wanted = as_dict(as_dict(body.get("output_config")).get("format")) or as_dict(body.get("output_format"))
    found = wanted.get("schema")
    return OutputSchema(schema=found) if isinstance(found, dict) else None


def messages_usage(usage: dict[str, Any]) -> Usage:
    """Anthropic: input leaves out what the cache read and wrote, output includes thinking."""
    read, cached = count(usage.get("input_tokens")), count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(usage.get("output_tokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=count(as_dict(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def _billed(usage: dict[str, Any]) -> BilledUsage:
    """Writes to the cache for an hour, searches, tier, place and speed (docs.anthropic.com, "Pricing", read 2026-11)."""
    return billed(
        {
            "cache_write_1h_tokens": as_dict(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"),
            "web_searches": as_dict(usage.get("server_tool_use")).get("web_search_requests"),
        },
        tier=usage.get("service_tier"),
        region=usage.get("inference_geo"),
        speed=usage.get("speed"),
    )


def parse_messages(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from messages and from the events of streams.

    ``message_delta`` is cumulative: its fields that are not null replace those of ``message_start``, also where server
    tools made the input larger on the way. Zeros, which some gateways end with, replace no number.
    """
    usage: dict[str, Any] = {}
    for index, document in enumerate(documents):
        kind = document.get("type")
        if kind == "content_block_delta":
            _delta(document.get("delta"), index, accumulator)
        elif kind == "content_block_start":
            _written_block(as_dict(document.get("content_block")), index, accumulator)
        elif kind == "message_start":
            _message(as_dict(document.get("message")), index, accumulator, usage)
        elif kind == "message_delta":
            _overlay(usage, document.get("usage"))
            accumulator.finish = as_dict(document.get("delta")).get("stop_reason") or accumulator.finish
        elif kind == "error" or document.get("error"):
            accumulator.error = error_text(document.get("error") or document)
        elif kind == "message" or "content" in document:
            _message(document, index, accumulator, usage)
    if usage:
        accumulator.note_usage(messages_usage(usage))
        accumulator.billed = _billed(usage)


def _message(message: dict[str, Any], index: int, accumulator: ResponseAccumulator, usage: dict[str, Any]) -> None:
    accumulator.read = True
    accumulator.named(message)
    _overlay(usage, message.get("usage"))
    accumulator.finish = message.get("stop_reason") or accumulator.finish
    for block in dicts(message.get("content")):
        _written_block(block, index, accumulator)


def _overlay(usage: dict[str, Any], newer: object) -> None:
    told = {key: value for key, value in as_dict(newer).items() if value is not None}
    if told.get("input_tokens") == 0 and usage.get("input_tokens") and _cached({**usage, **told}) <= _cached(usage):
        told = {key: value for key, value in told.items() if value and key != "cache_creation"}
    usage.update(told)


def _cached(usage: dict[str, Any]) -> int:
    return sum(count(usage.get(key)) or 0 for key in ("cache_read_input_tokens", "cache_creation_input_tokens"))


def _written_block(block: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = as_str(block.get("type"))
    if kind == "tool_use":
        accumulator.call(block.get("name"), block.get("input"), index)
    elif kind in _SERVER_TOOLS:
        accumulator.server_tool_calls.append(as_str(block.get("name")))
        accumulator.text(compact(block["input"]) if block.get("input") else "", index)
    else:
        accumulator.text(block.get("text"), index)
        accumulator.text(block.get("thinking"), index)


def _delta(delta: Any, index: int, accumulator: ResponseAccumulator) -> None:
    if delta.__class__ is dict:
        for key in ("text", "partial_json", "thinking"):
            value = delta.get(key)
            if value:
                accumulator.text(value, index)


_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_call": "tool_use", "content_filter": "refusal"}
_SIGNATURE = "c2NyaXB0ZWQ="


def _write_usage(told: Usage) -> JsonObject:
    """``usage``: cache reads and writes stand beside ``input_tokens``, not inside."""
    cached, wrote = told.cached_input_tokens or 0, told.cache_write_tokens or 0
    return {
        "input_tokens": max(0, (told.input_tokens or 0) - cached - wrote),
        "cache_creation_input_tokens": wrote,
        "cache_read_input_tokens": cached,
        "output_tokens": told.output_tokens or 0,
    }


def _write_error(status: int, message: str) -> JsonObject:
    """The error object."""
    kind = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kind.get(status, "api_error"), "message": message}}


def _write_blocks(answer: ScriptedAnswer) -> list[JsonObject]:
    reply = answer.reply
    blocks: list[JsonObject] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": _SIGNATURE})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)} for call in reply.calls
    ]
    return blocks


def _write_plain(answer: ScriptedAnswer) -> JsonObject:
    """A ``message``. Where no usage is to be told it is left out, which the SDK accepts."""
    body: JsonObject = {
        "id": f"msg_{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.answering_model,
        "content": _write_blocks(answer),
        "stop_reason": _FINISH.get(answer.finish, answer.finish),
        "stop_sequence": None,
    }
    if answer.usage is not None:
        body["usage"] = _write_usage(answer.usage)
    return body


def _write_deltas(block: JsonObject, written: str) -> tuple[JsonObject, list[tuple[JsonObject, int]]]:
    """The empty block with which it begins, and its deltas with their sizes."""
    if block["type"] == "text":
        empty = {**block, "text": ""}
        return empty, [({"type": "text_delta", "text": piece}, len(piece)) for piece in pieces(block["text"])]
    if block["type"] == "thinking":
        empty = {**block, "thinking": "", "signature": ""}
        found = [({"type": "thinking_delta", "thinking": piece}, len(piece)) for piece in pieces(block["thinking"])]
        return empty, [*found, ({"type": "signature_delta", "signature": _SIGNATURE}, 0)]
    empty = {**block, "input": {}}
    return empty, [({"type": "input_json_delta", "partial_json": piece}, len(piece)) for piece in pieces(written)]


def _write_events(answer: ScriptedAnswer) -> list[Event]:
    """Write the events from ``message_start`` (the input's usage) to ``message_stop`` (the output's usage just before)."""
    whole = _write_plain(answer)
    begun = {**whole, "content": [], "stop_reason": None}
    if answer.usage is not None:
        begun["usage"] = {**_write_usage(answer.usage), "output_tokens": 1}
    written = [named_event({"type": "message_start", "message": begun}), named_event({"type": "ping"})]
    jsons = iter([arguments(call) for call in answer.reply.calls])
    for index, block in enumerate(whole["content"]):
        empty, deltas = _write_deltas(block, next(jsons) if block["type"] == "tool_use" else "")
        written.append(named_event({"type": "content_block_start", "index": index, "content_block": empty}))
        written += [
            named_event({"type": "content_block_delta", "index": index, "delta": delta}, size) for delta, size in deltas
        ]
        written.append(named_event({"type": "content_block_stop", "index": index}))
    ended: JsonObject = {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}}
    if answer.usage is not None:
        ended["usage"] = {"output_tokens": answer.usage.output_tokens or 0}
    return [*written, named_event(ended), named_event({"type": "message_stop"})]


def _asks_messages(request: Request) -> bool:
    """The messages in the body tell; a thread's messages at OpenAI have none."""
    return request.has("messages") and request.has("model", "max_tokens", "anthropic_version")


def _asks_claude(request: Request) -> bool:
    return "/publishers/anthropic/" in request.path or "anthropic_version" in (request.body or {})


class AnthropicMessages(WireFormat):
    """Messages, streamed or not."""

    api = "anthropic.messages"
    endpoints = (
        Endpoint("call", r"/messages$", when=_asks_messages),
        Endpoint("auxiliary", r"/count-tokens:rawPredict$|/messages/count_tokens$|/messages/batches/[^/]+/cancel$"),
        Endpoint("call", r":(streamRawP|rawP)redict$", when=_asks_claude),
        Endpoint("batch", r"/messages/batches$", when=has("requests")),
    )
    hosts = (("anthropic.com", "anthropic"),)
    writer = AnswerWriter(_write_plain, _write_events, _write_error, call_id="toolu")
    read_prompt = staticmethod(messages_prompt)

    def url_model(self, request: Request) -> str:
        """The model in a path of Vertex AI."""
        return request.segment_after("models").partition(":")[0]

    def asks_stream(self, request: Request) -> bool:
        """Tell by the body, or by the path on Vertex AI."""
        return request.path.endswith(":streamRawPredict") or super().asks_stream(request)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a message, or from the events of a stream."""
        parse_messages(response.documents, accumulator)
