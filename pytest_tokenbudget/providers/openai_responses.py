"""OpenAI's Responses API, as Azure, Bedrock, DeepSeek, OpenRouter and xAI speak it too.

A response in background mode is answered without usage; the numbers come with a later GET, which
:mod:`pytest_tokenbudget.providers.uncounted` reads.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts

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


class OpenAIResponses(BuiltinFormat):
    """Responses, streamed or not."""

    api = "openai.responses"

    def recognises(self, request: Request) -> bool:
        """By path and one of the fields that a request has; model serving by a list of input items."""
        if request.ends("/responses"):
            return request.has("input", "prompt", "model", "conversation")
        return request.ends("/invocations") and bool(dicts((request.body or {}).get("input")))

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        walk(answer.documents, accumulator)


class OpenAIResponsesCompact(OpenAIResponses):
    """The compaction of a conversation, a model call like any other."""

    api = "openai.responses.compact"

    def recognises(self, request: Request) -> bool:
        """By path."""
        return request.ends("/responses/compact")


def walk(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
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
            elif document.get("error"):
                accumulator.error = error_text(document["error"])
    if last or items:
        _response(last, items, accumulator)


def _response(response: dict[str, Any], items: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    accumulator.read = True
    accumulator.named(response)
    accumulator.usage = usages.openai_responses(as_dict(response.get("usage")))
    if response.get("error"):
        accumulator.error = error_text(response["error"])
    status = as_str(response.get("status"))
    reason = as_str(as_dict(response.get("incomplete_details")).get("reason"))
    accumulator.finish = f"{status}:{reason}" if reason else status
    streamed = accumulator.first is not None or bool(accumulator.texts)
    for item in dicts(response.get("output")) or items:
        _item(item, accumulator, with_texts=not streamed)


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
