"""Amazon Bedrock's Converse and ConverseStream; Nova's own body has the same blocks."""

from __future__ import annotations

import json
from typing import Any

from pytest_tokenbudget.providers.billing import billed
from pytest_tokenbudget.providers.http_message import Response
from pytest_tokenbudget.providers.inline_media import inline_file, inline_image
from pytest_tokenbudget.providers.loose import added, as_dict, as_str, compact, count, dicts, first_count
from pytest_tokenbudget.providers.prompt_parts import (
    description,
    has_sealed_reasoning,
    kept,
    parts_of,
    schema,
    texts,
    turn,
    with_names,
)
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has
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

_TEXT_FORMATS = frozenset({"csv", "html", "md", "txt"})
"""Formats of a document that is text."""


def converse_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what a Converse request asks; the model stands in the URL."""
    messages: list[Message] = []
    system = parts_of(body.get("system"), _block)
    if system:
        messages.append(Message("system", system, None, "system"))
    said = dicts(body.get("messages"))
    messages += [turn(as_str(item.get("role")), parts_of(item.get("content"), _block)) for item in said]
    config = as_dict(body.get("toolConfig"))
    return Prompt(
        api=api,
        model=model or as_str(body.get("modelId")),
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(config.get("tools")) if "cachePoint" not in item),
        tool_choice=_choice(config.get("toolChoice")),
        output_schema=_output_schema(body),
        opaque_reasoning=has_sealed_reasoning(messages),
        extra=kept(body, ("additionalModelRequestFields", "promptVariables", "guardrailConfig")),
    )


def _block(item: dict[str, Any]) -> tuple[Part, ...]:
    use, result = as_dict(item.get("toolUse")), as_dict(item.get("toolResult"))
    if use:
        return (ToolCall(as_str(use.get("name")), compact(use.get("input", {})), as_str(use.get("toolUseId"))),)
    if result:
        inner = tuple(part for piece in dicts(result.get("content")) for part in _media(piece))
        return (ToolResult(inner, "", as_str(result.get("toolUseId"))),)
    if "reasoningContent" in item:
        return _reasoning(as_dict(item["reasoningContent"]))
    return _media(item)


def _reasoning(held: dict[str, Any]) -> tuple[Reasoning, ...]:
    plain = as_str(as_dict(held.get("reasoningText")).get("text"))
    if plain:
        return (Reasoning(text=plain, size=len(plain)),)
    return (Reasoning(opaque=True, size=len(as_str(held.get("redactedContent")))),)


def _media(item: dict[str, Any]) -> tuple[Text | Image | File, ...]:
    if "json" in item:
        return texts(compact(item["json"]))
    guarded = as_dict(as_dict(item.get("guardContent")).get("text"))
    if guarded:
        return texts(guarded.get("text"))
    if isinstance(item.get("citationsContent"), dict):
        return tuple(
            text for piece in dicts(item["citationsContent"].get("content")) for text in texts(piece.get("text"))
        )
    if isinstance(item.get("searchResult"), dict):
        return (_search_result(item["searchResult"]),)
    for kind in ("image", "document", "video", "audio"):
        if isinstance(item.get(kind), dict):
            return _file(kind, item[kind])
    return texts(item.get("text"))


def _file(kind: str, held: dict[str, Any]) -> tuple[Text | Image | File, ...]:
    source = as_dict(held.get("source"))
    data = as_str(source.get("bytes"))
    where = as_str(as_dict(source.get("s3Location")).get("uri"))
    if kind == "image":
        return (inline_image(data) if data else Image(reference=where),)
    form = as_str(held.get("format")) or "unknown"
    top = "text" if form in _TEXT_FORMATS else "application" if kind == "document" else kind
    media_type = f"{top}/{form}"
    lead = texts(held.get("name")) + texts(held.get("context"))
    if isinstance(source.get("text"), str):
        return (*lead, File("text/plain", len(source["text"]), source["text"]))
    if isinstance(source.get("content"), list):
        return (*lead, *(text for piece in dicts(source["content"]) for text in texts(piece.get("text"))))
    return (*lead, inline_file(data, media_type) if data else File(media_type, reference=where))


def _search_result(held: dict[str, Any]) -> File:
    inner = "".join(as_str(piece.get("text")) for piece in dicts(held.get("content")))
    text = "\n".join(filter(None, (as_str(held.get("title")), inner)))
    return File("text/plain", None, text, as_str(held.get("source")))


def _tool(item: dict[str, Any]) -> Tool:
    spec = as_dict(item.get("toolSpec"))
    if not spec:
        kind = next(iter(item), "")
        return Tool(name=as_str(as_dict(item.get(kind)).get("name")) or kind, definition=item, kind=kind)
    return Tool(
        name=as_str(spec.get("name")),
        description=description(spec.get("description")),
        parameters=schema(as_dict(spec.get("inputSchema")).get("json")),
        definition=item,
    )


def _choice(value: object) -> str | None:
    choice = as_dict(value)
    if "tool" in choice:
        return as_str(as_dict(choice["tool"]).get("name")) or None
    if "any" in choice:
        return "required"
    return "auto" if "auto" in choice else None


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    held = as_dict(as_dict(as_dict(body.get("outputConfig")).get("textFormat")).get("structure"))
    wanted = as_dict(held.get("jsonSchema"))
    found = wanted.get("schema")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return None
    if not isinstance(found, dict):
        return None
    return OutputSchema(as_str(wanted.get("name")), description(wanted.get("description")), found)


def converse_usage(usage: dict[str, Any]) -> Usage:
    """Converse and Nova: input leaves out what the cache read and wrote.

    ``...TokenCount`` is Nova's spelling, which is 0 in every answer, also where nothing can be cached: only a number above
    0 says something.
    """
    read = count(usage.get("inputTokens"))
    cached = first_count(usage.get("cacheReadInputTokens"), usage.get("cacheReadInputTokenCount") or None)
    written = first_count(usage.get("cacheWriteInputTokens"), usage.get("cacheWriteInputTokenCount") or None)
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(usage.get("outputTokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )


def _billed(usage: dict[str, Any], document: dict[str, Any]) -> BilledUsage:
    """Writes to the cache for an hour, the tier, and what a lower latency costs more."""
    hourly = [count(item.get("inputTokens")) for item in dicts(usage.get("cacheDetails")) if item.get("ttl") == "1h"]
    return billed(
        {"cache_write_1h_tokens": added(*hourly)},
        tier=document.get("serviceTier"),
        speed=as_dict(document.get("performanceConfig")).get("latency"),
    )


def parse_converse(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from Converse's responses and stream events; Nova's own body has the same shape."""
    for index, document in enumerate(documents):
        if "contentBlockDelta" in document:
            _delta(as_dict(as_dict(document["contentBlockDelta"]).get("delta")), index, accumulator)
        if len(document) > 1 or "contentBlockDelta" not in document:
            usage = _frame(document, index, accumulator)
            if usage:
                accumulator.read = True
                accumulator.note_usage(converse_usage(usage))
                accumulator.billed = _billed(usage, as_dict(document.get("metadata")) or document)


def _frame(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> dict[str, Any]:
    """Read what stands around a stream's deltas, or a whole response; give the usage that it holds."""
    accumulator.note_error(document.get("error"))
    message = as_dict(as_dict(document.get("output")).get("message"))
    for block in dicts(message.get("content")):
        _written_block(block, index, accumulator)
    _written_block(as_dict(as_dict(document.get("contentBlockStart")).get("start")), index, accumulator)
    stop = as_dict(document.get("messageStop")).get("stopReason") or document.get("stopReason")
    accumulator.finish = stop or accumulator.finish
    if "output" in document or "messageStart" in document or "messageStop" in document:
        accumulator.read = True
    return as_dict(document.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage"))


def _written_block(block: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    use = as_dict(block.get("toolUse"))
    if use:
        if use.get("type") == "server_tool_use":
            accumulator.server_tool_calls.append(as_str(use.get("name")))
        else:
            accumulator.call(use.get("name"), use.get("input"), index)
    accumulator.text(block.get("text"), index)
    accumulator.texts_in(as_dict(block.get("citationsContent")).get("content"), index)
    accumulator.text(as_dict(as_dict(block.get("reasoningContent")).get("reasoningText")).get("text"), index)


def _delta(delta: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    text = delta.get("text")
    if text:
        accumulator.text(text, index)
        return
    accumulator.text(as_dict(delta.get("toolUse")).get("input"), index)
    accumulator.text(as_dict(delta.get("reasoningContent")).get("text"), index)


class BedrockConverse(WireFormat):
    """Converse, and its binary event stream."""

    api = "bedrock.converse"
    provider = "aws.bedrock"
    endpoints = (
        Endpoint("call", r"/model/.*/converse(-stream)?$"),
        Endpoint("auxiliary", r"/model/.*/count-tokens$"),
        Endpoint("batch", r"/model-invocation-jobs?$", when=has("inputDataConfig")),
        Endpoint("realtime", r"/invoke-with-bidirectional-stream$", methods=()),
    )
    hosts = (("api.aws", "aws.bedrock"),)
    read_prompt = staticmethod(converse_prompt)
    model_markers = ("model",)
    stream_paths = ("-stream",)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the messages of a stream."""
        parse_converse(response.documents, accumulator)
