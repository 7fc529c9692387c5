"""Mistral's conversations, which run its agents."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import openai_billed
from pytest_tokenbudget.providers.http_message import Response
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.openai_chat import chat_usage
from pytest_tokenbudget.providers.prompt_parts import content, role_of, texts, tools, with_names
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, has, holds
from pytest_tokenbudget.records.prompt import Message, Prompt, ToolCall, ToolResult


def _conversation_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a turn asks: ``inputs`` is a text or a list of entries; what went before is kept by the server."""
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append(Message("system", texts(body["instructions"]), None, "system"))
    given = body.get("inputs")
    if isinstance(given, str):
        messages.append(Message("user", texts(given), None, "user"))
    messages.extend(_sent_entry(item) for item in dicts(given))
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or as_str(body.get("agent_id")) or model,
        messages=with_names(messages),
        tools=tools(body),
        opaque_reasoning="model" not in body,
        extra={"completion_args": as_dict(body["completion_args"])} if body.get("completion_args") else {},
    )


def _sent_entry(item: dict[str, Any]) -> Message:
    kind = as_str(item.get("type"))
    if kind == "function.call":
        call = ToolCall(as_str(item.get("name")), compact(item.get("arguments", "")), as_str(item.get("tool_call_id")))
        return Message("assistant", (call,), None, kind)
    if kind == "function.result":
        result = ToolResult(texts(compact(item.get("result", ""))), "", as_str(item.get("tool_call_id")))
        return Message("tool", (result,), None, kind)
    wire_role = as_str(item.get("role")) or "user"
    return Message(role_of(wire_role), content(item.get("content")), None, wire_role)


def _entry(entry: dict[str, Any], index: int, accumulator: ResponseAccumulator, seen: set[str]) -> None:
    kind = as_str(entry.get("type"))
    accumulator.model = accumulator.model or as_str(entry.get("model"))
    if kind.startswith("message.output"):
        said = entry.get("content")
        accumulator.text(said, index)
        for piece in [said] if isinstance(said, dict) else dicts(said):
            accumulator.text(piece.get("text"), index)
    elif kind == "function.call":
        accumulator.call(entry.get("name"), entry.get("arguments"), index)
    elif kind == "function.call.delta":
        # every piece repeats the name; the id tells calls apart
        call_id = as_str(entry.get("tool_call_id"))
        if call_id not in seen:
            seen.add(call_id)
            accumulator.tool_calls.append(as_str(entry.get("name")))
        accumulator.text(entry.get("arguments"), index)
    elif kind in ("tool.execution", "tool.execution.started"):
        accumulator.server_tool_calls.append(
            as_str(entry.get("name")) or as_str(as_dict(entry.get("info")).get("name"))
        )


class MistralConversations(WireFormat):
    """A turn of a conversation, streamed or not."""

    api = "mistral.conversations"
    provider = "mistral_ai"
    endpoints = (
        Endpoint("call", r"/conversations(/|$)", when=holds("inputs")),  # OpenAI's conversations have ``items``
        Endpoint("batch", r"/batch/jobs$", when=has("requests", "input_files")),
    )
    read_prompt = staticmethod(_conversation_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        seen: set[str] = set()
        for index, document in enumerate(response.documents):
            kind = as_str(document.get("type"))
            if "outputs" in document or kind.startswith("conversation.response"):
                accumulator.read = True
                accumulator.id = accumulator.id or as_str(document.get("conversation_id"))
            if isinstance(document.get("usage"), dict):
                accumulator.note_usage(chat_usage(document["usage"]))
                accumulator.billed = openai_billed(document["usage"])
            if kind == "conversation.response.error" or document.get("error"):
                accumulator.error = error_text(document.get("error") or document)
            for entry in dicts(document.get("outputs")) or [document]:
                _entry(entry, index, accumulator, seen)
