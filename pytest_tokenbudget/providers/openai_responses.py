"""OpenAI's Responses API, as Azure, Bedrock, DeepSeek, OpenRouter and xAI speak it too.

A response in background mode is answered without usage; the numbers come with a later GET, a poll.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers.billing import openai_billed, searches_in
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.inline_media import image_from_url, inline_file
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, count, dicts
from pytest_tokenbudget.providers.openai_chat import write_error
from pytest_tokenbudget.providers.prompt_parts import (
    description,
    function_tool,
    has_sealed_reasoning,
    kept,
    named_choice,
    output_schema,
    parts_of,
    role_of,
    schema,
    texts,
    with_names,
)
from pytest_tokenbudget.providers.wire_format import (
    CREATED,
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
from pytest_tokenbudget.records.call import Usage
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

_CALLS = frozenset({"function_call", "custom_tool_call"})
_UNNAMED_CALLS = frozenset({"computer_call", "local_shell_call", "shell_call", "apply_patch_call"})
_RUN_BY_XAI = frozenset(
    {"x_keyword_search", "x_semantic_search", "x_thread_fetch", "x_user_search", "view_image", "view_x_video"}
)
"""Tools that xAI runs itself and answers as calls of custom tools (its documentation of ``x_search``, 2026-11)."""
_TEXTS = frozenset(
    {
        "response.output_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.code_interpreter_call_code.delta",
        "response.mcp_call_arguments.delta",
    }
)
_EXTRA = ("previous_response_id", "conversation", "prompt", "reasoning", "truncation", "context_management", "text")
_SERVER_STATE = ("previous_response_id", "conversation", "prompt")
_ADDED = "additional_tools"
_SENT_CALLS = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
_RESULTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)


def _has_items(request: Request) -> bool:
    """Model serving takes a list of input items."""
    return bool(dicts((request.body or {}).get("input")))


def responses_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a Responses request asks: each input item is one message, ``instructions`` the first.

    An item that is no message has its type as ``wire_role``; function calls that follow one another are the parallel
    calls of one turn.
    """
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append(Message("system", _content(body["instructions"]), None, "system"))
    given = body.get("input")
    if isinstance(given, str):
        messages.append(Message("user", texts(given), None, "user"))
    messages.extend(_input(item) for item in dicts(given) if item.get("type") != _ADDED)
    text_format = as_dict(as_dict(body.get("text")).get("format"))
    extra = kept(body, _EXTRA)
    if text_format.get("type") in (None, "text", "json_schema"):
        extra.pop("text", None)
    sealed = has_sealed_reasoning(messages)
    choice = body.get("tool_choice")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=(*(_tool(item) for item in dicts(body.get("tools"))), *_added(given)),
        tool_choice=None if choice is None else named_choice(choice),
        output_schema=_output_schema(text_format),
        opaque_reasoning=sealed or any(body.get(name) is not None for name in _SERVER_STATE),
        extra=extra,
    )


def _added(given: object) -> list[Tool]:
    """Tools that were made available in the course of the conversation; their kind is their item's type."""
    added = [item for item in dicts(given) if item.get("type") == _ADDED]
    return [replace(_tool(tool), kind=_ADDED) for item in added for tool in dicts(item.get("tools"))]


def _input(item: dict[str, Any]) -> Message:
    kind = as_str(item.get("type")) or "message"
    if kind == "message":
        wire_role = as_str(item.get("role"))
        return Message(role_of(wire_role), _content(item.get("content")), None, wire_role)
    if kind in _SENT_CALLS:
        arguments = item.get("arguments", item.get("input", item.get("action", "")))
        name = as_str(item.get("name")) or kind.removesuffix("_call")
        own_id = as_str(item.get("id"))
        call = ToolCall(name, compact(arguments), as_str(item.get("call_id")) or own_id, stored=bool(own_id))
        return Message("assistant", (call,), None, kind)
    if kind in _RESULTS:
        result = ToolResult(_result(item.get("output")), "", as_str(item.get("call_id")))
        return Message("tool", (result,), None, kind)
    if kind in ("reasoning", "compaction", "compaction_summary"):
        return Message("assistant", _reasoning(item), None, kind)
    if kind == "item_reference":
        return Message("assistant", (Reasoning(opaque=True),), None, kind)
    return Message("assistant", _server_tool(item, kind), None, kind)


def _server_tool(item: dict[str, Any], kind: str) -> tuple[Part, ...]:
    """A call that the provider ran itself (web search, code interpreter, MCP) and that is sent back as history."""
    shown = {key: value for key, value in item.items() if key not in ("type", "id", "status", "result")}
    name = as_str(item.get("name")) or kind.removesuffix("_call")
    parts: list[Part] = [ToolCall(name, compact(shown), as_str(item.get("id")))]
    image = item.get("result")
    if kind == "image_generation_call" and isinstance(image, str):
        parts.append(image_from_url(f"data:image/png;base64,{image}"))
    return tuple(parts)


def _reasoning(item: dict[str, Any]) -> tuple[Part, ...]:
    plain = "".join(as_str(part.get("text")) for part in dicts(item.get("content")))
    summary = "".join(as_str(part.get("text")) for part in dicts(item.get("summary")))
    sealed = as_str(item.get("encrypted_content"))
    if plain:
        return (Reasoning(text=plain, size=len(plain)),)
    if sealed or not summary:
        # an item without content stands for what the server kept under its id
        return (Reasoning(text=summary, opaque=True, size=len(sealed)),)
    return (Reasoning(text=summary, size=len(summary)),)


def _result(output: object) -> tuple[Text | Image | File, ...]:
    if isinstance(output, str):
        return texts(output)
    if isinstance(output, list):
        return tuple(part for part in _content(output) if isinstance(part, Text | Image | File))
    found = as_dict(output)
    if found.get("type") in ("computer_screenshot", "input_image"):
        return (image_from_url(as_str(found.get("image_url")) or as_str(found.get("file_id"))),)
    return texts(compact(output)) if output is not None else ()


def _content(value: object) -> tuple[Part, ...]:
    return parts_of(value, _part)


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind == "input_image":
        url = item.get("image_url")
        url = url if isinstance(url, str) else as_str(as_dict(url).get("url"))
        return (image_from_url(url or as_str(item.get("file_id")), as_str(item.get("detail")) or None),)
    if kind == "input_file":
        data = as_str(item.get("file_data"))
        if data:
            return (inline_file(data),)
        return (File(reference=as_str(item.get("file_id")) or as_str(item.get("file_url"))),)
    if kind == "input_audio":
        held = as_dict(item.get("input_audio")) or item
        return (inline_file(as_str(held.get("data")), f"audio/{as_str(held.get('format')) or 'unknown'}"),)
    if kind in ("message", "") and isinstance(item.get("content"), list | str):
        return _content(item["content"])
    return texts(item.get("text", item.get("refusal")))


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type")) or "function"
    if kind == "function":
        held = as_dict(item.get("function")) or item
        return function_tool(item, held)
    return Tool(
        name=as_str(item.get("name")) or as_str(item.get("server_label")) or kind,
        description=description(item.get("description", item.get("server_description"))),
        parameters=schema(item.get("parameters")),
        definition=item,
        kind=kind,
    )


def _output_schema(text_format: dict[str, Any]) -> OutputSchema | None:
    wanted = text_format.get("schema")
    if text_format.get("type") != "json_schema" or not isinstance(wanted, dict):
        return None
    return output_schema(text_format, wanted)


def responses_usage(usage: dict[str, Any]) -> Usage:
    """The Responses API: input includes cached tokens, output includes reasoning."""
    details = as_dict(usage.get("input_tokens_details")) or as_dict(usage.get("input_token_details"))
    written = as_dict(usage.get("output_tokens_details")) or as_dict(usage.get("output_token_details"))
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
        cache_write_tokens=count(details.get("cache_write_tokens")),
        reasoning_tokens=count(written.get("reasoning_tokens")),
    )


def parse_responses(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from responses and from the events of streams.

    The response that an event carries is the truth of the moment, so the last one counts; where a stream was cut, the
    items that were finished before stand in for it.
    """
    last: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    for index, document in enumerate(documents):
        kind = as_str(document.get("type"))
        if kind in _TEXTS:
            accumulator.text(document.get("delta"), index)
        elif kind == "response.output_item.added":
            item = as_dict(document.get("item"))
            if accumulator.first is None and as_str(item.get("type")).endswith("_call"):
                accumulator.first = index
        elif kind == "response.output_item.done":
            items.append(as_dict(document.get("item")))
        elif kind == "error":
            accumulator.error = error_text(document.get("error") or document)
        else:
            response = document.get("response", document)
            if isinstance(response, dict) and ("output" in response or "usage" in response or "status" in response):
                last = {**last, **{key: value for key, value in response.items() if value is not None}}
                if response.get("usage"):
                    accumulator.note_usage(responses_usage(as_dict(response["usage"])))
            else:
                accumulator.note_error(document.get("error"))
    if last or items:
        _response(last, items, accumulator)


def _response(response: dict[str, Any], items: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    accumulator.read = True
    accumulator.named(response)
    accumulator.note_error(response.get("error"))
    status = as_str(response.get("status"))
    reason = as_str(as_dict(response.get("incomplete_details")).get("reason"))
    accumulator.finish = f"{status}:{reason}" if reason else status
    streamed = accumulator.first is not None or bool(accumulator.texts)
    written = dicts(response.get("output")) or items
    for item in written:
        _item(item, accumulator, with_texts=not streamed)
    if response.get("usage"):
        tools = searches_in(written)
        accumulator.billed = openai_billed(as_dict(response["usage"]), tier=response.get("service_tier"), tools=tools)


def _item(item: dict[str, Any], accumulator: ResponseAccumulator, *, with_texts: bool) -> None:
    kind, name = as_str(item.get("type")), as_str(item.get("name"))
    if kind == "custom_tool_call" and name in _RUN_BY_XAI:
        accumulator.server_tool_calls.append(name)
    elif kind in _CALLS:
        accumulator.tool_calls.append(name)
    elif kind in _UNNAMED_CALLS:
        accumulator.tool_calls.append(kind.removesuffix("_call"))
    elif kind.endswith("_call"):
        accumulator.server_tool_calls.append(name or kind.removesuffix("_call"))
    if with_texts:
        for key in ("content", "summary"):
            for piece in dicts(item.get(key)):
                accumulator.text(piece.get("text", piece.get("refusal")), 0)
        for key in ("name", "arguments", "input", "code"):
            accumulator.text(item.get(key), 0)


def _write_usage(told: Usage) -> JsonObject:
    """``usage``: parts are contained in their whole."""
    return {
        "input_tokens": told.input_tokens or 0,
        "input_tokens_details": {
            "cached_tokens": told.cached_input_tokens or 0,
            "cache_write_tokens": told.cache_write_tokens or 0,
        },
        "output_tokens": told.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": told.reasoning_tokens or 0},
        "total_tokens": told.total_tokens or 0,
    }


def _write_output(answer: ScriptedAnswer) -> list[JsonObject]:
    number, reply = answer.number, answer.reply
    items: list[JsonObject] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": summary})
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    items += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": arguments(call),
            "status": "completed",
        }
        for call in reply.calls
    ]
    return items


def _write_plain(answer: ScriptedAnswer) -> JsonObject:
    """A ``response``."""
    cut_short = answer.finish in ("length", "content_filter")
    reason = "max_output_tokens" if answer.finish == "length" else answer.finish
    body = answer.body
    return {
        "id": f"resp_{answer.number}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut_short else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if cut_short else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": answer.answering_model,
        "output": _write_output(answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": None if answer.usage is None else _write_usage(answer.usage),
    }


Sized = tuple[JsonObject, int]


def _message_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    where = {**place, "content_index": 0}
    part = item["content"][0]
    deltas: list[Sized] = [
        ({"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}, len(piece))
        for piece in pieces(part["text"])
    ]
    begun = ({"type": "response.content_part.added", **where, "part": {**part, "text": ""}}, 0)
    done = ({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}, 0)
    ended = ({"type": "response.content_part.done", **where, "part": part}, 0)
    return {**item, "status": "in_progress", "content": []}, [begun, *deltas, done, ended]


def _call_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    kind = "response.function_call_arguments"
    deltas: list[Sized] = [
        ({"type": f"{kind}.delta", **place, "delta": piece}, len(piece)) for piece in pieces(item["arguments"])
    ]
    done = ({"type": f"{kind}.done", **place, "arguments": item["arguments"], "name": item["name"]}, 0)
    return {**item, "status": "in_progress", "arguments": ""}, [*deltas, done]


def _reasoning_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    where = {**place, "summary_index": 0}
    kind = "response.reasoning_summary_text"
    part = item["summary"][0]
    added = ({"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}, 0)
    deltas: list[Sized] = [
        ({"type": f"{kind}.delta", **where, "delta": piece}, len(piece)) for piece in pieces(part["text"])
    ]
    done = ({"type": f"{kind}.done", **where, "text": part["text"]}, 0)
    ended = ({"type": "response.reasoning_summary_part.done", **where, "part": part}, 0)
    return {**item, "summary": []}, [added, *deltas, done, ended]


_WRITERS = {"message": _message_events, "function_call": _call_events, "reasoning": _reasoning_events}


def _write_events(answer: ScriptedAnswer) -> list[Event]:
    """Write the events from ``response.created`` to ``response.completed``, numbered."""
    whole = _write_plain(answer)
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    sequence: list[Sized] = [
        ({"type": "response.created", "response": begun}, 0),
        ({"type": "response.in_progress", "response": begun}, 0),
    ]
    for index, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": index}
        empty, inner = _WRITERS[item["type"]](place, item)
        sequence.append(({"type": "response.output_item.added", "output_index": index, "item": empty}, 0))
        sequence += inner
        sequence.append(({"type": "response.output_item.done", "output_index": index, "item": item}, 0))
    last = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    sequence.append(({"type": last, "response": whole}, 0))
    return [
        named_event({**value, "sequence_number": number}, written) for number, (value, written) in enumerate(sequence)
    ]


class _Responses(WireFormat):
    """All requests for responses: they ask and answer in the same shape."""

    api = "openai.responses"
    read_prompt = staticmethod(responses_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        parse_responses(response.documents, accumulator)


class OpenAIResponses(_Responses):
    """Responses, streamed or not."""

    endpoints = (
        Endpoint("call", r"/responses$", when=has("input", "prompt", "model", "conversation")),
        Endpoint("call", r"/invocations$", when=_has_items),
        Endpoint("auxiliary", r"/responses/input_tokens$|/responses/[^/]+/cancel$"),
    )
    writer = AnswerWriter(_write_plain, _write_events, write_error)


class OpenAIResponsesCompact(_Responses):
    """The compaction of a conversation, a model call like any other."""

    api = "openai.responses.compact"
    endpoints = (Endpoint("call", r"/responses/compact$"),)


class OpenAIResponsesPoll(_Responses):
    """The GET of a response, which tells the usage of one that was asked for before."""

    api = "openai.responses.poll"
    operation = "other"
    endpoints = (
        Endpoint("auxiliary", r"/responses/[^/]+/input_items$", methods=("GET",)),
        Endpoint("auxiliary", r"/responses/resp_[^/]+$|/v1/responses/[^/]+$", methods=("GET",), reads=True),
    )
