"""Prompts of Google's ``generateContent`` (Gemini API and Vertex AI)."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts.media import inline_file, inline_image
from pytest_tokenbudget.providers.prompts.shape import description, function_tool, schema, texts, turn_role, with_names
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

_SCHEMAS = ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "_responseJsonSchema")


def prompt(body: dict[str, Any], model: str = "", api: str = "google.generate_content") -> Prompt:
    """What a ``generateContent`` request asks, the system instruction first; camel case or snake case, as protobuf allows."""
    messages: list[Message] = []
    instruction = either(body, "systemInstruction", "system_instruction")
    system = _parts(instruction) if instruction else ()
    if system:
        messages.append(Message("system", system, None, as_str(as_dict(instruction).get("role")) or "system"))
    contents = body.get("contents")
    for item in contents if isinstance(contents, list) else [contents]:
        if isinstance(item, dict | str):
            wire_role = as_str(as_dict(item).get("role")) or "user"
            parts = _parts(item)
            messages.append(Message(turn_role(wire_role, parts), parts, None, wire_role))
    config = as_dict(either(body, "generationConfig", "generation_config"))
    cached = either(body, "cachedContent", "cached_content")
    extra = {"cachedContent": cached} if cached else {}
    thinking = either(config, "thinkingConfig", "thinking_config")
    if thinking:
        extra["thinkingConfig"] = thinking
    return Prompt(
        api=api,
        model=model or as_str(body.get("model")),
        messages=with_names(messages),
        tools=tuple(tool for item in dicts(body.get("tools")) for tool in _tools(item)),
        tool_choice=_choice(as_dict(either(body, "toolConfig", "tool_config"))),
        output_schema=_output_schema(config),
        opaque_reasoning=bool(cached) or any(isinstance(p, Reasoning) and p.opaque for m in messages for p in m.parts),
        extra=extra,
    )


def either(body: dict[str, Any], camel: str, snake: str) -> Any:
    """A field by its camel-case name, else by its snake-case one."""
    value = body.get(camel)
    return body.get(snake) if value is None else value


def _parts(content: object) -> tuple[Part, ...]:
    if isinstance(content, str):
        return texts(content)
    held = as_dict(content).get("parts", content)
    parts: list[Part] = []
    for item in held if isinstance(held, list) else [held]:
        if isinstance(item, str):
            parts.extend(texts(item))
        elif isinstance(item, dict):
            parts.extend(_part(item))
    return tuple(parts)


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    found: list[Part] = []
    call = as_dict(either(item, "functionCall", "function_call"))
    answer = as_dict(either(item, "functionResponse", "function_response"))
    inline = as_dict(either(item, "inlineData", "inline_data"))
    file = as_dict(either(item, "fileData", "file_data"))
    if call:
        found.append(ToolCall(as_str(call.get("name")), compact(call.get("args", {})), as_str(call.get("id"))))
    if answer:
        found.append(_result(answer))
    found.extend(_server_tool(item))
    if inline:
        found.append(_inline(inline))
    if file:
        media_type = as_str(either(file, "mimeType", "mime_type"))
        where = as_str(either(file, "fileUri", "file_uri"))
        found.append(Image(reference=where) if media_type.startswith("image/") else File(media_type, reference=where))
    for camel, snake in (("executableCode", "executable_code"), ("codeExecutionResult", "code_execution_result")):
        code = as_dict(either(item, camel, snake))
        found.extend(texts(code.get("code", code.get("output"))))
    signature = as_str(either(item, "thoughtSignature", "thought_signature"))
    text = as_str(item.get("text"))
    if text and item.get("thought") is True:
        found.append(Reasoning(text=text, size=len(text)))
    else:
        found.extend(texts(text))
    if signature:
        found.append(Reasoning(opaque=True, size=len(signature)))
    return tuple(found)


def _server_tool(item: dict[str, Any]) -> list[Part]:
    """A tool that the provider ran itself, sent back as history."""
    found: list[Part] = []
    call = as_dict(either(item, "toolCall", "tool_call"))
    if call:
        name = as_str(either(call, "toolType", "tool_type"))
        found.append(ToolCall(name, compact(call.get("args", {})), as_str(call.get("id"))))
    answer = as_dict(either(item, "toolResponse", "tool_response"))
    if answer:
        name = as_str(either(answer, "toolType", "tool_type"))
        found.append(ToolResult(texts(compact(answer.get("response", {}))), name, as_str(answer.get("id"))))
    return found


def _inline(inline: dict[str, Any]) -> Image | File:
    media_type = as_str(either(inline, "mimeType", "mime_type"))
    data = as_str(inline.get("data"))
    return inline_image(data) if media_type.startswith("image/") else inline_file(data, media_type)


def _result(answer: dict[str, Any]) -> ToolResult:
    parts: list[Text | Image | File] = []
    response = answer.get("response")
    if response is not None:
        parts.extend(texts(compact(response)))
    for piece in dicts(answer.get("parts")):
        inline = as_dict(either(piece, "inlineData", "inline_data"))
        parts.extend((_inline(inline),) if inline else texts(piece.get("text")))
    return ToolResult(tuple(parts), as_str(answer.get("name")), as_str(answer.get("id")))


def _tools(item: dict[str, Any]) -> list[Tool]:
    found: list[Tool] = []
    for key, value in item.items():
        if key in ("functionDeclarations", "function_declarations"):
            found.extend(_declared(declared) for declared in dicts(value))
        elif isinstance(value, dict):
            found.append(Tool(name=key, definition={key: value}, kind=key))
    return found


def _declared(declared: dict[str, Any]) -> Tool:
    for key in ("parametersJsonSchema", "parameters_json_schema"):
        if isinstance(declared.get(key), dict):
            return function_tool(declared, declared, key)
    return Tool(
        name=as_str(declared.get("name")),
        description=description(declared.get("description")),
        parameters=schema(declared.get("parameters")),
        definition=declared,
    )


def _choice(config: dict[str, Any]) -> str | None:
    calling = as_dict(either(config, "functionCallingConfig", "function_calling_config"))
    mode = as_str(calling.get("mode")).lower()
    names = as_list(either(calling, "allowedFunctionNames", "allowed_function_names"))
    if len(names) == 1 and mode in ("any", "validated"):
        return as_str(names[0]) or None
    return {"any": "required", "auto": "auto", "none": "none", "validated": "auto"}.get(mode)


def _output_schema(config: dict[str, Any]) -> OutputSchema | None:
    for key in _SCHEMAS:
        if isinstance(config.get(key), dict):
            return OutputSchema(schema=config[key])
    return None
