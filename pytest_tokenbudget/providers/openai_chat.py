"""OpenAI chat completions, and all who speak them.

Azure OpenAI, Databricks, DeepSeek, Groq, Mistral (also its agents and fill-in-the-middle), OpenRouter, Snowflake Cortex,
Together, vLLM, xAI, Writer, watsonx and many more.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_tokenbudget.providers.billing import openai_billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, as_str, count, dicts, first_count, parse
from pytest_tokenbudget.providers.names import COMPATIBLE
from pytest_tokenbudget.providers.prompt_parts import chat_prompt
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
    data_event,
    error_text,
    keep_told,
    pieces,
)
from pytest_tokenbudget.records.call import Usage

Calls = dict[tuple[object, object], str]
"""Tool calls so far: (choice, place in it) -> id."""

_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_ASK = b',"stream_options":{"include_usage":true}}'
_AGENT_RUNTIME = re.compile(r"/runtimes/[^/]+/invocations$")
_REASONING = ("reasoning_content", "reasoning")
DEPLOYMENTS = ("deployments", "engines", "serving-endpoints", "endpoints")
"""Segments behind which a URL names a deployment or an endpoint."""


def _asks_chat(request: Request) -> bool:
    """Completions, model serving and raw prediction paths: the messages in the body tell, but not of Bedrock's agents."""
    body = request.body
    if body is None or "/publishers/anthropic/" in request.path or _AGENT_RUNTIME.search(request.path):
        return False
    return isinstance(body.get("messages"), list) and "anthropic_version" not in body


def chat_usage(usage: dict[str, Any]) -> Usage:
    """Chat and text completions of OpenAI and all who speak its dialect.

    ``prompt_tokens`` includes cached ones and ``completion_tokens`` includes reasoning. Two exceptions show in
    ``total_tokens``: Mistral leaves audio out of the prompt (and does not always tell its tokens), and Gemini's and xAI's
    endpoints leave reasoning out of the completion. A total that is larger for another reason (Cerebras counts what a stop
    sequence cut off) changes nothing.
    """
    details = as_dict(usage.get("prompt_tokens_details")) or as_dict(usage.get("prompt_token_details"))
    written = as_dict(usage.get("completion_tokens_details"))
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    # Writer's spelling, which is 0 for models that cannot reason
    spelled = as_dict(usage.get("completion_token_details")).get("reasoning_tokens") or None
    reasoning = first_count(written.get("reasoning_tokens"), usage.get("reasoning_tokens"), spelled)
    if prompt is not None and completion is not None and total is not None and total > prompt + completion:
        beyond = total - prompt - completion
        heard = count(usage.get("prompt_audio_seconds")) is not None
        if heard or beyond == count(details.get("audio_tokens")):
            prompt += beyond
        elif reasoning is None or reasoning == beyond:
            completion += beyond
            reasoning = beyond
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=first_count(
            details.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
            usage.get("cached_tokens"),
            usage.get("num_cached_tokens"),
            usage.get("cache_read_input_tokens"),
        ),
        cache_write_tokens=first_count(
            details.get("cache_write_tokens"),
            details.get("cache_creation_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        reasoning_tokens=reasoning,
    )


def parse_chat(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from chat completion documents: one completion, or the chunks of a stream."""
    told: list[dict[str, Any]] = []
    calls: Calls = {}
    finishes: dict[object, object] = {}
    for index, document in enumerate(documents):
        if not accumulator.model:
            accumulator.named(document)
        if document.get("usage"):
            _keep_usage(told, document["usage"])
        choices = document.get("choices")
        if choices.__class__ is list:
            accumulator.read = True
            for choice in choices:
                if choice.__class__ is dict:
                    if choice.get("finish_reason") is not None:
                        _ending(choice, finishes, told, accumulator)
                    _choice(choice, index, accumulator, calls)
        apart = _error_or_groq_usage(document, accumulator)
        if apart is not None:
            _keep_usage(told, apart)
    if finishes:
        accumulator.finish = finishes.get(0, next(iter(finishes.values())))
    for usage in told:
        accumulator.note_usage(chat_usage(usage))
    if told:
        tier = documents[-1].get("service_tier") or documents[0].get("service_tier")
        accumulator.billed = openai_billed(told[0], tier=tier)
    if not told and documents and "timings" in documents[-1]:
        accumulator.note_usage(timings_usage(as_dict(documents[-1]["timings"])))


def _ending(
    choice: dict[str, Any],
    finishes: dict[object, object],
    told: list[dict[str, Any]],
    accumulator: ResponseAccumulator,
) -> None:
    """Take what stands beside a choice's finish reason: OpenRouter's error, Moonshot's usage."""
    finishes[as_key(choice.get("index"))] = choice["finish_reason"]
    accumulator.note_error(choice.get("error"))
    _keep_usage(told, choice.get("usage"))


def _keep_usage(told: list[dict[str, Any]], usage: Any) -> None:
    """Keep a usage that holds any number; Databricks sends one of nulls with every chunk."""
    if usage.__class__ is dict and (
        count(usage.get("prompt_tokens")) is not None or count(usage.get("completion_tokens")) is not None
    ):
        keep_told(told, usage, "prompt_tokens")


def timings_usage(timings: dict[str, Any]) -> Usage:
    """llama.cpp's timings, which the last event of each stream has: ``prompt_n`` leaves out what the cache gave.

    Source: ``result_timings`` in ``tools/server/server-task.h`` of ggml-org/llama.cpp (read 2026-11). Servers that do not
    tell the cache's part do not tell the input.
    """
    cached, read = count(timings.get("cache_n")), count(timings.get("prompt_n"))
    return Usage(
        input_tokens=None if cached is None or read is None else cached + read,
        output_tokens=count(timings.get("predicted_n")),
        cached_input_tokens=cached,
    )


def _error_or_groq_usage(document: dict[str, Any], accumulator: ResponseAccumulator) -> dict[str, Any] | None:
    """Errors, and Groq's usage, which stands apart where ``include_usage`` was not asked for."""
    error = document.get("error")
    if error:
        accumulator.error = error_text(error)
    elif document.get("object") == "error":  # vLLM
        accumulator.error = error_text(document)
    if "x_groq" not in document:
        return None
    groq = as_dict(document["x_groq"])
    accumulator.note_error(groq.get("error"))
    usage = as_dict(groq.get("usage"))
    return usage if not document.get("usage") else None


def as_key(value: object) -> object:
    """An index as a key of a dictionary, whatever stands there."""
    return value if isinstance(value, int | str) else str(value)


def _choice(choice: dict[str, Any], index: int, accumulator: ResponseAccumulator, calls: Calls) -> None:
    part = choice.get("delta") or choice.get("message")
    if part.__class__ is not dict:
        accumulator.text(choice.get("text"), index)
        return
    content = part.get("content")
    if content.__class__ is str:
        if content:
            accumulator.texts.append(content)
            if accumulator.first is None:
                accumulator.first = index
    elif content.__class__ is list:
        _blocks(content, index, accumulator)
    for key in _REASONING:
        if part.get(key):
            accumulator.text(part[key], index)
            break
    if len(part) > 1 or not content:
        _read_rare_fields(part, choice.get("index"), index, accumulator, calls)


def _read_rare_fields(
    part: dict[str, Any], choice: object, index: int, accumulator: ResponseAccumulator, calls: Calls
) -> None:
    """Read what few messages have: refusals, audio, tool calls."""
    accumulator.text(part.get("refusal"), index)
    if "audio" in part:
        accumulator.text(as_dict(part["audio"]).get("transcript"), index)
    if "executed_tools" in part:
        _executed(part["executed_tools"], as_key(choice), accumulator, calls)
    if part.get("tool_calls"):
        tool_calls(part["tool_calls"], as_key(choice), index, accumulator, calls)
    legacy = part.get("function_call")
    if legacy.__class__ is dict:
        _function(legacy, (as_key(choice), "function"), "", index, accumulator, calls)


def _blocks(content: list[Any], index: int, accumulator: ResponseAccumulator) -> None:
    """Mistral and Databricks write content as typed blocks, thinking among them."""
    for block in content:
        if isinstance(block, dict):
            accumulator.text(block.get("text"), index)
            for key in ("thinking", "summary"):
                inner = block.get(key)
                accumulator.text(inner, index)
                accumulator.texts_in(inner, index)
        else:
            accumulator.text(block, index)


def _executed(tools: object, choice: object, accumulator: ResponseAccumulator, calls: Calls) -> None:
    """Groq's server-side tools: a stream announces each at its index, then sends it again with what it gave."""
    for position, tool in enumerate(dicts(tools)):
        key = (choice, f"executed {tool.get('index', position)}")
        if key not in calls:
            calls[key] = ""
            accumulator.server_tool_calls.append(as_str(tool.get("name")) or as_str(tool.get("type")))


def tool_calls(value: object, choice: object, index: int, accumulator: ResponseAccumulator, calls: Calls) -> None:
    """Gather a message's tool calls, or pieces of them; a few servers leave out the object around name and arguments.

    ``choice`` tells which of several answers they belong to; ``calls`` are those so far, which this keeps.
    """
    for position, call in enumerate(dicts(value)):
        function = as_dict(call.get("function")) or as_dict(call.get("custom")) or call
        place = call.get("index")
        key = (choice, position if place is None else as_key(place))
        _function(function, key, as_str(call.get("id")), index, accumulator, calls)


def _function(
    function: dict[str, Any],
    key: tuple[object, object],
    call_id: str,
    index: int,
    accumulator: ResponseAccumulator,
    calls: Calls,
) -> None:
    """A call, or a further piece of one: only a name at a new place or with a new id begins a call."""
    name = as_str(function.get("name"))
    arguments = function.get("arguments", function.get("input"))
    if name and (key not in calls or (call_id and call_id != calls[key])):
        calls[key] = call_id
        accumulator.call(name, arguments, index)
    else:
        if name and call_id:
            calls[key] = call_id
        accumulator.text(arguments, index)


_FINISH = {"stop": "stop", "length": "length", "tool_call": "tool_calls", "content_filter": "content_filter"}


def _write_usage(told: Usage) -> JsonObject:
    """``usage``: parts are contained in their whole."""
    return {
        "prompt_tokens": told.input_tokens or 0,
        "completion_tokens": told.output_tokens or 0,
        "total_tokens": told.total_tokens or 0,
        "prompt_tokens_details": {"cached_tokens": told.cached_input_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": told.reasoning_tokens or 0, "audio_tokens": 0},
    }


def write_error(status: int, message: str) -> JsonObject:
    """The error object."""
    kind = {429: "rate_limit_error", 401: "authentication_error", 400: "invalid_request_error"}.get(
        status, "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _write_head(kind: str, answer: ScriptedAnswer) -> JsonObject:
    return {
        "id": f"chatcmpl-{answer.number}",
        "object": kind,
        "created": CREATED,
        "model": answer.answering_model,
        "system_fingerprint": "scripted",
    }


def _write_calls(answer: ScriptedAnswer) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments(call)}}
        for call in answer.reply.calls
    ]


def _write_plain(answer: ScriptedAnswer) -> JsonObject:
    """A ``chat.completion``."""
    message: JsonObject = {"role": "assistant", "content": answer.reply.text or None, "refusal": None}
    if answer.reply.reasoning:
        message["reasoning_content"] = answer.reply.reasoning
    if answer.reply.calls:
        message["tool_calls"] = _write_calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _write_finish(answer)}
    body = {**_write_head("chat.completion", answer), "choices": [choice]}
    if answer.usage is not None:
        body["usage"] = _write_usage(answer.usage)
    return body


def _write_finish(answer: ScriptedAnswer) -> str:
    return _FINISH.get(answer.finish, answer.finish)


def _write_events(answer: ScriptedAnswer) -> list[Event]:
    """Chunks, the usage chunk where ``stream_options.include_usage`` asks for it, and ``[DONE]``."""
    head = _write_head("chat.completion.chunk", answer)

    def chunk(delta: JsonObject, written: int = 0, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event({**head, "choices": [choice]}, written)

    written = [chunk({"role": "assistant", "content": ""})]
    written += [chunk({"reasoning_content": piece}, len(piece)) for piece in pieces(answer.reply.reasoning)]
    written += [chunk({"content": piece}, len(piece)) for piece in pieces(answer.reply.text)]
    for index, tool in enumerate(_write_calls(answer)):
        begun = {**tool, "index": index, "function": {"name": tool["function"]["name"], "arguments": ""}}
        written.append(chunk({"tool_calls": [begun]}, len(tool["function"]["name"])))
        written += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, len(piece))
            for piece in pieces(tool["function"]["arguments"])
        ]
    written.append(chunk({}, finish=_write_finish(answer)))
    options = answer.body.get("stream_options")
    if answer.usage is not None and isinstance(options, dict) and options.get("include_usage"):
        written.append(data_event({**head, "choices": [], "usage": _write_usage(answer.usage)}))
    return [*written, Event(b"data: [DONE]\n\n")]


def ask_for_usage(request: Request, body: bytes) -> bytes | None:
    """Ask a stream for its usage where the request does not say whether it wants it.

    ``stream_options.include_usage``: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-24): "an
    additional chunk will be streamed before the data: [DONE] message. The usage field on this chunk shows the token usage
    statistics for the entire request, and the choices field will always be an empty array."

    Returns:
        The body that asks; ``None`` where nothing is to be asked.
    """
    asked = request.body
    if asked is None or asked.get("stream") is not True or not request.ends("/completions"):
        return None
    if "stream_options" not in asked:
        return body.rstrip()[:-1] + _ASK
    options = asked["stream_options"] or {}
    if not isinstance(options, dict) or "include_usage" in options:
        return None
    asking = {**asked, "stream_options": {**options, "include_usage": True}}
    return json.dumps(asking, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def without_usage(event: bytes) -> bytes:
    """Take out of a stream's event what :func:`ask_for_usage` brought in.

    Nothing is left of an event that carries usage alone, without a choice (Azure's first one has neither, and stays). Of
    llama.cpp's, which carries its ``timings`` too, an empty piece is left that a client without our question got as well.
    """
    if b'"usage"' not in event or _EMPTY_CHOICES.search(event) is None:
        return event
    lines = (line.partition(b":") for line in event.splitlines())
    data = parse(b"\n".join(value for field, _, value in lines if field.strip() == b"data"))
    if not isinstance(data, dict) or data.get("choices") != [] or not isinstance(data.get("usage"), dict):
        return event
    if "timings" not in data:
        return b""
    del data["usage"]
    data["choices"] = [{"index": 0, "delta": {}, "finish_reason": None}]
    return data_event(data).data


class OpenAIChat(WireFormat):
    """Chat completions."""

    api = "openai.chat"
    provider = "openai"
    endpoints = (
        Endpoint("call", r"/(chat|fim|agents)/completions$|/text/chatcompletion_v2$|/cortex/inference:complete$"),
        Endpoint("call", r"/prompts/.*/completions$|/prompts/completions$"),  # Portkey keeps the messages
        Endpoint(
            "call", r"(/completions|/openai|/invocations(-response-stream)?|:(rawP|streamRawP)redict)$", when=_asks_chat
        ),
    )
    hosts = (*COMPATIBLE, ("mistral.ai", "mistral_ai"))
    writer = AnswerWriter(_write_plain, _write_events, write_error)
    model_markers = DEPLOYMENTS
    read_prompt = staticmethod(chat_prompt)

    def url_model(self, request: Request) -> str:
        """The deployment or endpoint that the URL names, or the model of a raw prediction."""
        path = request.path
        return super().url_model(request) or (request.segment_after("models").partition(":")[0] if ":" in path else "")

    def asks_stream(self, request: Request) -> bool:
        """Tell by the body, or by the path of model serving."""
        return request.path.endswith(("-response-stream", ":streamRawPredict")) or super().asks_stream(request)

    def ask_for_usage(self, request: Request, body: bytes) -> bytes | None:
        """Ask in ``stream_options``."""
        return ask_for_usage(request, body)

    def api_of(self, request: Request) -> str:
        """Mistral's dialect has its own name."""
        return "mistral.chat" if request.host.endswith("mistral.ai") else self.api

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or from its chunks."""
        parse_chat(response.documents, accumulator)
