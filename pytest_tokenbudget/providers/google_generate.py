"""Google's ``generateContent`` and ``streamGenerateContent``: Gemini API, Vertex AI, Code Assist.

Without ``alt=sse`` a stream is one JSON array, sent with the content type ``application/json``.
"""

from __future__ import annotations

import re
from typing import Any

from pytest_tokenbudget.providers.billing import billed, modality_tokens
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.inline_media import inline_file, inline_image
from pytest_tokenbudget.providers.loose import added, as_dict, as_list, as_str, compact, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    function_tool,
    has_sealed_reasoning,
    parts_of,
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
    data_event,
    error_text,
    has,
    keep_told,
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

_SCHEMAS = ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "_responseJsonSchema")


def generate_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a ``generateContent`` request asks, the system instruction first; camel case or snake case, as protobuf allows."""
    messages: list[Message] = []
    instruction = _either(body, "systemInstruction", "system_instruction")
    system = _parts(instruction) if instruction else ()
    if system:
        messages.append(Message("system", system, None, as_str(as_dict(instruction).get("role")) or "system"))
    contents = body.get("contents")
    messages += [
        turn(as_str(as_dict(item).get("role")) or "user", _parts(item))
        for item in (contents if isinstance(contents, list) else [contents])
        if isinstance(item, dict | str)
    ]
    config = as_dict(_either(body, "generationConfig", "generation_config"))
    cached = _either(body, "cachedContent", "cached_content")
    extra = {"cachedContent": cached} if cached else {}
    thinking = _either(config, "thinkingConfig", "thinking_config")
    if thinking:
        extra["thinkingConfig"] = thinking
    return Prompt(
        api=api,
        model=model or as_str(body.get("model")),
        messages=with_names(messages),
        tools=tuple(tool for item in dicts(body.get("tools")) for tool in _tools(item)),
        tool_choice=_choice(as_dict(_either(body, "toolConfig", "tool_config"))),
        output_schema=_output_schema(config),
        opaque_reasoning=bool(cached) or has_sealed_reasoning(messages),
        extra=extra,
    )


def _either(body: dict[str, Any], camel: str, snake: str) -> Any:
    """A field by its camel-case name, else by its snake-case one."""
    value = body.get(camel)
    return body.get(snake) if value is None else value


def _parts(content: object) -> tuple[Part, ...]:
    if isinstance(content, str):
        return texts(content)
    held = as_dict(content).get("parts", content)
    return parts_of(held if isinstance(held, list) else [held], _part)


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    found: list[Part] = []
    call = as_dict(_either(item, "functionCall", "function_call"))
    answer = as_dict(_either(item, "functionResponse", "function_response"))
    inline = as_dict(_either(item, "inlineData", "inline_data"))
    file = as_dict(_either(item, "fileData", "file_data"))
    if call:
        found.append(ToolCall(as_str(call.get("name")), compact(call.get("args", {})), as_str(call.get("id"))))
    if answer:
        found.append(_result(answer))
    found.extend(_server_tool(item))
    if inline:
        found.append(_inline(inline))
    if file:
        media_type = as_str(_either(file, "mimeType", "mime_type"))
        where = as_str(_either(file, "fileUri", "file_uri"))
        found.append(Image(reference=where) if media_type.startswith("image/") else File(media_type, reference=where))
    for camel, snake in (("executableCode", "executable_code"), ("codeExecutionResult", "code_execution_result")):
        code = as_dict(_either(item, camel, snake))
        found.extend(texts(code.get("code", code.get("output"))))
    signature = as_str(_either(item, "thoughtSignature", "thought_signature"))
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
    call = as_dict(_either(item, "toolCall", "tool_call"))
    if call:
        name = as_str(_either(call, "toolType", "tool_type"))
        found.append(ToolCall(name, compact(call.get("args", {})), as_str(call.get("id"))))
    answer = as_dict(_either(item, "toolResponse", "tool_response"))
    if answer:
        name = as_str(_either(answer, "toolType", "tool_type"))
        found.append(ToolResult(texts(compact(answer.get("response", {}))), name, as_str(answer.get("id"))))
    return found


def _inline(inline: dict[str, Any]) -> Image | File:
    media_type = as_str(_either(inline, "mimeType", "mime_type"))
    data = as_str(inline.get("data"))
    return inline_image(data) if media_type.startswith("image/") else inline_file(data, media_type)


def _result(answer: dict[str, Any]) -> ToolResult:
    parts: list[Text | Image | File] = []
    response = answer.get("response")
    if response is not None:
        parts.extend(texts(compact(response)))
    for piece in dicts(answer.get("parts")):
        inline = as_dict(_either(piece, "inlineData", "inline_data"))
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
    keys = ("parametersJsonSchema", "parameters_json_schema")
    key = next((key for key in keys if isinstance(declared.get(key), dict)), "parameters")
    return function_tool(declared, declared, key)


def _choice(config: dict[str, Any]) -> str | None:
    calling = as_dict(_either(config, "functionCallingConfig", "function_calling_config"))
    mode = as_str(calling.get("mode")).lower()
    names = as_list(_either(calling, "allowedFunctionNames", "allowed_function_names"))
    if len(names) == 1 and mode in ("any", "validated"):
        return as_str(names[0]) or None
    return {"any": "required", "auto": "auto", "none": "none", "validated": "auto"}.get(mode)


def _output_schema(config: dict[str, Any]) -> OutputSchema | None:
    for key in _SCHEMAS:
        if isinstance(config.get(key), dict):
            return OutputSchema(schema=config[key])
    return None


def generate_usage(usage: dict[str, Any]) -> Usage:
    """``usageMetadata``: the prompt includes cached tokens; tool prompts and thoughts come on top.

    Protobuf leaves out zeros: without ``candidatesTokenCount`` nothing was written. Where neither the prompt nor the
    total is told, nothing is known.
    """
    prompt, total = count(usage.get("promptTokenCount")), count(usage.get("totalTokenCount"))
    if prompt is None and total is None:
        return Usage()
    thoughts = count(usage.get("thoughtsTokenCount"))
    written = added(count(usage.get("candidatesTokenCount")), thoughts)
    output = 0 if written is None and total is not None else written
    tools = count(usage.get("toolUsePromptTokenCount"))
    read = added(prompt, tools)
    if prompt is None and total is not None:
        read = max(0, total - (output or 0))
    return Usage(
        input_tokens=read,
        output_tokens=output,
        cached_input_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


def _billed(usage: dict[str, Any], accumulator: ResponseAccumulator) -> BilledUsage:
    """Sound, pictures and films, searches and tier (ai.google.dev/gemini-api/docs/pricing, read 2026-11).

    Up to Gemini 2.5 a grounded prompt is billed once, from Gemini 3 on each search that it made.
    """
    searches = accumulator.quantities.get("web_searches")
    if searches and re.search(r"gemini-(1|2)(\.|-)", accumulator.model):
        searches = 1
    return billed(
        {
            **modality_tokens(usage.get("promptTokensDetails"), "input_{}_tokens"),
            **modality_tokens(usage.get("cacheTokensDetails"), "cache_{}_read_tokens"),
            **modality_tokens(usage.get("candidatesTokensDetails"), "output_{}_tokens"),
            "web_searches": searches,
        },
        tier=usage.get("serviceTier") or usage.get("trafficType"),
    )


def _chunk(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> dict[str, Any]:
    if not accumulator.model:
        accumulator.model = as_str(document.get("modelVersion"))
        accumulator.id = as_str(document.get("responseId"))
    usage = document.get("usageMetadata")
    candidates = document.get("candidates")
    if candidates is not None or usage is not None:
        accumulator.read = True
    if candidates.__class__ is list:
        for candidate in candidates:
            if candidate.__class__ is dict:
                _candidate(candidate, index, accumulator)
    if "promptFeedback" in document:
        blocked = as_dict(document["promptFeedback"]).get("blockReason")
        if blocked:
            accumulator.read = True
            accumulator.finish = f"block:{blocked}"
    if "error" in document:
        accumulator.error = error_text(document["error"])
    return as_dict(usage)


def _candidate(candidate: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    reason = candidate.get("finishReason")
    if reason and (accumulator.finish is None or candidate.get("index", 0) == 0):
        accumulator.finish = reason
    if "groundingMetadata" in candidate:
        queries = as_list(as_dict(candidate["groundingMetadata"]).get("webSearchQueries"))
        accumulator.quantities["web_searches"] = len(queries) or accumulator.quantities.get("web_searches")
    content = candidate.get("content")
    if content.__class__ is dict:
        for part in dicts(content.get("parts")):
            text = part.get("text")
            if text:
                accumulator.text(text, index)
            if len(part) > 1 or not text:
                _written_part(part, index, accumulator)


def _written_part(part: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    call = as_dict(part.get("functionCall"))
    if call.get("name"):
        accumulator.call(call["name"], call.get("args"), index)
    for piece in dicts(call.get("partialArgs")):  # streamed arguments: parts without a name go on with the last call
        accumulator.text(piece.get("stringValue"), index)
    code = as_dict(part.get("executableCode"))
    if code:
        accumulator.server_tool_calls.append("code_execution")
        accumulator.text(code.get("code"), index)
    server = as_dict(part.get("toolCall"))
    if server:
        accumulator.server_tool_calls.append(as_str(server.get("toolType")).lower() or as_str(server.get("name")))
    if "inlineData" in part and accumulator.first is None:
        accumulator.first = index


_FINISH = {"stop": "STOP", "tool_call": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


def _write_usage(told: Usage) -> JsonObject:
    """``usageMetadata``: thoughts stand beside the candidates, cached content inside the prompt."""
    reasoning = told.reasoning_tokens or 0
    found = {
        "promptTokenCount": told.input_tokens or 0,
        "candidatesTokenCount": max(0, (told.output_tokens or 0) - reasoning),
        "totalTokenCount": told.total_tokens or 0,
    }
    if reasoning:
        found["thoughtsTokenCount"] = reasoning
    if told.cached_input_tokens:
        found["cachedContentTokenCount"] = told.cached_input_tokens
    return found


def _write_error(status: int, message: str) -> JsonObject:
    """The error object."""
    return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNAVAILABLE")}}


def _write_body(answer: ScriptedAnswer, parts: list[JsonObject], *, last: bool) -> JsonObject:
    candidate: JsonObject = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = _FINISH.get(answer.finish, answer.finish.upper())
    body: JsonObject = {"candidates": [candidate], "modelVersion": answer.answering_model}
    body["responseId"] = f"response-{answer.number}"
    if answer.usage is not None:
        body["usageMetadata"] = _write_usage(answer.usage)
    return body


def _write_calls(answer: ScriptedAnswer) -> list[tuple[JsonObject, int]]:
    return [
        (
            {"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}},
            len(call.name) + len(arguments(call)),
        )
        for call in answer.reply.calls
    ]


def _write_plain(answer: ScriptedAnswer) -> JsonObject:
    """A ``GenerateContentResponse``."""
    reply = answer.reply
    parts: list[JsonObject] = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
    parts += [{"text": reply.text}] if reply.text or not reply.calls else []
    return _write_body(answer, [*parts, *(part for part, _ in _write_calls(answer))], last=True)


def _write_events(answer: ScriptedAnswer) -> list[Event]:
    """One ``GenerateContentResponse`` a part; each carries the usage."""
    sized: list[tuple[JsonObject, int]] = [
        ({"text": piece, "thought": True}, len(piece)) for piece in pieces(answer.reply.reasoning)
    ]
    sized += [({"text": piece}, len(piece)) for piece in pieces(answer.reply.text)]
    sized += _write_calls(answer)
    sized = sized or [({"text": ""}, 0)]
    return [
        data_event(_write_body(answer, [part], last=number == len(sized)), size)
        for number, (part, size) in enumerate(sized, start=1)
    ]


class GoogleFormat(WireFormat):
    """An API of Google's, whose URLs name the model in front of the method."""

    model_markers = ("models", "tunedModels", "endpoints")

    def url_model(self, request: Request) -> str:
        """The model in the path; a tuned model's or an endpoint's name likewise."""
        return super().url_model(request).rpartition(":")[0]


class GoogleGenerate(GoogleFormat):
    """Content generation, streamed or not."""

    api = "google.generate_content"
    provider = "gcp.gemini"
    endpoints = (
        Endpoint("call", r":(generateContent|streamGenerateContent)$"),
        Endpoint("auxiliary", r":countTokens$"),
        Endpoint("auxiliary", r"/cachedContents(/|$)", methods=()),
        Endpoint("batch", r":batchGenerateContent$", when=has("batch", "requests")),
        Endpoint("batch", r"/batchPredictionJobs$", when=has("inputConfig")),
        Endpoint("realtime", r"BidiGenerateContent", methods=()),
    )
    hosts = (
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    )
    writer = AnswerWriter(_write_plain, _write_events, _write_error)
    stream_paths = (":streamGenerateContent",)

    def prompt(self, request: Request) -> Prompt | None:
        """Read what the model is asked; Code Assist wraps the same request."""
        if request.body is None:
            return None
        held = request.body.get("request")
        body = held if isinstance(held, dict) and "contents" in held else request.body
        return generate_prompt(body, self.url_model(request) or as_str(request.body.get("model")), self.api)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the response, or from the chunks of a stream."""
        told: list[dict[str, Any]] = []
        for index, document in enumerate(response.documents):
            held = document.get("response")  # Code Assist wraps the same response
            usage = _chunk(held if isinstance(held, dict) else document, index, accumulator)
            if usage:
                keep_told(told, usage, "promptTokenCount")
        for usage in told:
            accumulator.note_usage(generate_usage(usage))
        if told:
            accumulator.billed = _billed(told[0], accumulator)
