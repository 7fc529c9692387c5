"""OpenAI chat completions and the dialects that speak it.

Azure OpenAI, Databricks, DeepSeek, Groq, Mistral (also its agents and fill-in-the-middle), OpenRouter, Snowflake Cortex,
Together, vLLM, xAI, Writer, watsonx and many more.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, count, dicts
from pytest_tokenbudget.providers.provider import provider_of

_PATHS = (
    "/chat/completions",
    "/fim/completions",
    "/agents/completions",
    "/text/chatcompletion_v2",
    "/cortex/inference:complete",
)
_SERVED = ("/invocations", "/invocations-response-stream", ":rawPredict", ":streamRawPredict")

Calls = dict[tuple[object, object], str]
"""Tool calls so far: (choice, place in it) -> id."""

_REASONING = ("reasoning_content", "reasoning")


class OpenAIChat(BuiltinFormat):
    """Chat completions."""

    api = "openai.chat"

    def recognises(self, request: Request) -> bool:
        """By path; completions, model serving and raw prediction paths by the messages in the body."""
        if request.ends(*_PATHS):
            return True
        if "/prompts/" in request.path and request.ends("/completions"):  # Portkey keeps the messages
            return True
        if not request.ends("/completions", "/openai", *_SERVED):
            return False
        if "/publishers/anthropic/" in request.path:
            return False
        body = request.body
        return body is not None and isinstance(body.get("messages"), list) and "anthropic_version" not in body

    def url_model(self, request: Request) -> str:
        """The deployment or endpoint that the URL names."""
        path = request.path
        for marker in ("deployments", "engines", "serving-endpoints", "endpoints"):
            if f"/{marker}/" in path:
                return segment_after(path, marker)
        return segment_after(path, "models").partition(":")[0] if ":" in path else ""

    def asked_stream(self, request: Request) -> bool:
        """By the body, or by the path of model serving."""
        return request.path.endswith(("-response-stream", ":streamRawPredict")) or super().asked_stream(request)

    def api_of(self, request: Request) -> str:
        """Mistral's dialect has its own name."""
        return "mistral.chat" if provider_of(request.url, "openai") == "mistral" else self.api

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or from its chunks."""
        walk(answer.documents, accumulator)


def walk(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from chat completion documents: one completion, or the chunks of a stream."""
    found: dict[str, Any] | None = None
    calls: Calls = {}
    finishes: dict[object, object] = {}
    for index, document in enumerate(documents):
        if not accumulator.model:
            accumulator.named(document)
        usage = document.get("usage")
        if usage.__class__ is dict and _counts(usage):
            found = usage
        choices = document.get("choices")
        if choices.__class__ is list:
            accumulator.read = True
            for choice in choices:
                if choice.__class__ is dict:
                    reason = choice.get("finish_reason")
                    if reason is not None:
                        finishes[as_key(choice.get("index"))] = reason
                        if choice.get("error"):  # OpenRouter
                            accumulator.error = error_text(choice["error"])
                    _choice(choice, index, accumulator, calls)
                    inner = choice.get("usage")  # Moonshot
                    if inner.__class__ is dict and _counts(inner):
                        found = inner
        found = _aside(document, accumulator) or found
    if finishes:
        accumulator.finish = finishes.get(0, next(iter(finishes.values())))
    if found is not None:
        accumulator.usage = usages.openai_chat(found)


def _aside(document: dict[str, Any], accumulator: ResponseAccumulator) -> dict[str, Any] | None:
    """Errors, and Groq's usage, which stands apart where ``include_usage`` was not asked for."""
    error = document.get("error")
    if error:
        accumulator.error = error_text(error)
    elif document.get("object") == "error":  # vLLM
        accumulator.error = error_text(document)
    if "x_groq" not in document:
        return None
    groq = as_dict(document["x_groq"])
    if groq.get("error"):
        accumulator.error = error_text(groq["error"])
    usage = as_dict(groq.get("usage"))
    return usage if _counts(usage) and not document.get("usage") else None


def as_key(value: object) -> object:
    """An index as a key of a dictionary, whatever stands there."""
    return value if isinstance(value, int | str) else str(value)


def _counts(usage: dict[str, Any]) -> bool:
    """Whether a usage holds any number; Databricks sends one of nulls with every chunk."""
    return count(usage.get("prompt_tokens")) is not None or count(usage.get("completion_tokens")) is not None


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
        _rarely(part, choice.get("index"), index, accumulator, calls)


def _rarely(part: dict[str, Any], choice: object, index: int, accumulator: ResponseAccumulator, calls: Calls) -> None:
    """What few messages have: refusals, audio, tool calls."""
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
                for piece in dicts(inner):
                    accumulator.text(piece.get("text"), index)
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

    Args:
        value: The list of calls.
        choice: Which of several answers they belong to.
        index: Index of the document.
        accumulator: Takes them.
        calls: The calls so far, which this keeps.
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
