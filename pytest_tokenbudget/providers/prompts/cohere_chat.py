"""Prompts of Cohere's chat API, versions 1 and 2."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts import openai_chat
from pytest_tokenbudget.providers.prompts.shape import description, role_of, schema, texts, with_names
from pytest_tokenbudget.records.prompt import File, Message, OutputSchema, Part, Prompt, Tool, ToolCall, ToolResult


def prompt(body: dict[str, Any], model: str = "", api: str = "") -> Prompt:
    """What a chat request asks; version 2 has ``messages``, version 1 has ``message``."""
    if "messages" in body:
        return _version_2(body, model, api or "cohere.chat_v2")
    return _version_1(body, model, api or "cohere.chat_v1")


def _version_2(body: dict[str, Any], model: str, api: str) -> Prompt:
    messages: list[Message] = []
    for item in dicts(body.get("messages")):
        found = openai_chat.message(item)
        plan = texts(item.get("tool_plan"))
        messages.append(Message(found.role, plan + found.parts, found.name, found.wire_role))
    choice = as_str(body.get("tool_choice")).lower()
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=(*_documents(body), *with_names(messages)),
        tools=openai_chat.tools(body),
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
    return {name: body[name] for name in names if body.get(name) is not None}


def _documents(body: dict[str, Any]) -> tuple[Message, ...]:
    files = tuple(File("text/plain", None, compact(item)) for item in as_list(body.get("documents")))
    return (Message("user", files, None, "documents"),) if files else ()


def _call(call: dict[str, Any]) -> ToolCall:
    return ToolCall(as_str(call.get("name")), compact(call.get("parameters", {})))


def _result(result: dict[str, Any]) -> ToolResult:
    return ToolResult(texts(compact(result.get("outputs", []))), as_str(as_dict(result.get("call")).get("name")))


def _tool(item: dict[str, Any]) -> Tool:
    return Tool(
        name=as_str(item.get("name")),
        description=description(item.get("description")),
        parameters=schema(item.get("parameter_definitions")),
        definition=item,
    )


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    wanted = as_dict(body.get("response_format"))
    found = wanted.get("json_schema", wanted.get("schema"))
    return OutputSchema(schema=found) if isinstance(found, dict) else None
