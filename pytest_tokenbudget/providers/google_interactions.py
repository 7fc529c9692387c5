"""Google's Interactions API."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import billed, modality_tokens
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.inline_media import inline_file, inline_image
from pytest_tokenbudget.providers.loose import added, as_dict, as_str, compact, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    function_tool,
    has_sealed_reasoning,
    kept,
    texts,
    turn,
    with_names,
)
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat
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


def _prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what an interaction asks: ``input`` is a text, a list of parts, or a list of turns."""
    messages: list[Message] = []
    if body.get("system_instruction"):
        messages.append(Message("system", texts(body["system_instruction"]), None, "system"))
    given = body.get("input")
    turns = dicts(given) if isinstance(given, list) else dicts([given])
    if any("role" in item for item in turns):
        messages += [turn(as_str(item.get("role")) or "user", _parts(item.get("content"))) for item in turns]
    else:
        messages.append(turn("user", texts(given) if isinstance(given, str) else _parts(turns)))
    wanted = body.get("response_format")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or as_str(body.get("agent")) or model,
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(body.get("tools"))),
        output_schema=OutputSchema(schema=wanted) if isinstance(wanted, dict) else None,
        opaque_reasoning=bool(body.get("previous_interaction_id")) or has_sealed_reasoning(messages),
        extra=kept(body, ("previous_interaction_id",)),
    )


def _parts(value: object) -> tuple[Part, ...]:
    if isinstance(value, str):
        return texts(value)
    held = value if isinstance(value, list) else [value]
    return tuple(part for item in dicts(held) for part in _part(item))


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind in ("function_call", "mcp_server_tool_call"):
        return (ToolCall(as_str(item.get("name")), compact(item.get("arguments", {})), as_str(item.get("id"))),)
    if kind in ("function_result", "mcp_server_tool_result"):
        result = item.get("result")
        return (ToolResult(texts(compact(result)), as_str(item.get("name")), as_str(item.get("call_id"))),)
    if kind == "thought":
        plain = "".join(part.text for part in _parts(item.get("summary")) if isinstance(part, Text))
        return (Reasoning(text=plain, opaque=True, size=len(as_str(item.get("signature")))),)
    if kind in ("image", "audio", "document", "video"):
        data, media_type = as_str(item.get("data")), as_str(item.get("mime_type"))
        if kind == "image":
            return (inline_image(data) if data else Image(reference=as_str(item.get("uri"))),)
        return (inline_file(data, media_type) if data else File(media_type, reference=as_str(item.get("uri"))),)
    return texts(item.get("text"))


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type")) or "function"
    if kind == "function":
        return function_tool(item, as_dict(item.get("function")) or item)
    return Tool(name=as_str(item.get("name")) or kind, definition=item, kind=kind)


def _usage(usage: dict[str, Any]) -> Usage:
    """The Interactions API: tool prompts and thoughts come on top."""
    thoughts = count(usage.get("total_thought_tokens"))
    return Usage(
        input_tokens=added(count(usage.get("total_input_tokens")), count(usage.get("total_tool_use_tokens"))),
        output_tokens=added(count(usage.get("total_output_tokens")), thoughts),
        cached_input_tokens=count(usage.get("total_cached_tokens")),
        reasoning_tokens=thoughts,
    )


def _event(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    start = as_dict(document.get("step")) or as_dict(document.get("content"))
    if start:
        _step(start, index, accumulator)
    delta = as_dict(document.get("delta"))
    if delta.get("type") == "function_call" and delta.get("name"):
        _step(delta, index, accumulator)
        return
    accumulator.text(delta.get("text"), index)
    accumulator.text(as_dict(delta.get("content")).get("text"), index)
    accumulator.text(delta.get("arguments"), index)


def _step(step: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = as_str(step.get("type"))
    if kind == "function_call":
        accumulator.call(step.get("name"), step.get("arguments"), index)
    elif kind.endswith("_call"):
        accumulator.server_tool_calls.append(as_str(step.get("name")) or kind.removesuffix("_call"))
        accumulator.text(compact(step["arguments"]) if step.get("arguments") else "", index)
    else:
        accumulator.text(step.get("text"), index)
        for key in ("content", "summary"):
            accumulator.texts_in(step.get(key), index)


def _asks_interaction(request: Request) -> bool:
    return request.has("input") and request.has("model", "agent")


class GoogleInteractions(WireFormat):
    """Interactions, streamed or not."""

    api = "google.interactions"
    provider = "gcp.gemini"
    endpoints = (Endpoint("call", r"/interactions$", when=_asks_interaction),)
    read_prompt = staticmethod(_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from an interaction, or from the events of a stream."""
        whole = not response.streamed
        for index, document in enumerate(response.documents):
            held = as_dict(document.get("interaction")) or document
            if held.get("object") == "interaction" or "usage" in held or "interaction" in document:
                accumulator.read = True
                accumulator.named(held)
                accumulator.finish = held.get("status") or accumulator.finish
            usage = as_dict(held.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage"))
            if usage:
                accumulator.note_usage(_usage(usage))
                accumulator.billed = billed(
                    {
                        **modality_tokens(usage.get("input_tokens_by_modality"), "input_{}_tokens"),
                        **modality_tokens(usage.get("cached_tokens_by_modality"), "cache_{}_read_tokens"),
                        **modality_tokens(usage.get("output_tokens_by_modality"), "output_{}_tokens"),
                    }
                )
            accumulator.note_error(document.get("error"))
            if whole:
                for step in dicts(held.get("steps")) or dicts(held.get("outputs")):
                    _step(step, index, accumulator)
            else:
                _event(document, index, accumulator)
