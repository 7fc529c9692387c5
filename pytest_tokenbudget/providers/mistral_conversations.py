"""Mistral's conversations, which run its agents."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts


class MistralConversations(BuiltinFormat):
    """A turn of a conversation, streamed or not."""

    api = "mistral.conversations"

    def recognises(self, request: Request) -> bool:
        """By path and ``inputs``; OpenAI's conversations have ``items``."""
        if request.method != "POST" or request.body is None or "inputs" not in request.body:
            return False
        return request.path.endswith("/conversations") or "/conversations/" in request.path

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        seen: set[str] = set()
        for index, document in enumerate(answer.documents):
            kind = as_str(document.get("type"))
            if "outputs" in document or kind.startswith("conversation.response"):
                accumulator.read = True
                accumulator.id = accumulator.id or as_str(document.get("conversation_id"))
            if isinstance(document.get("usage"), dict):
                accumulator.usage = usages.openai_chat(document["usage"])
            if kind == "conversation.response.error" or document.get("error"):
                accumulator.error = error_text(document.get("error") or document)
            for entry in dicts(document.get("outputs")) or [document]:
                _entry(entry, index, accumulator, seen)


def _entry(entry: dict[str, Any], index: int, accumulator: ResponseAccumulator, seen: set[str]) -> None:
    kind = as_str(entry.get("type"))
    accumulator.model = accumulator.model or as_str(entry.get("model"))
    if kind.startswith("message.output"):
        content = entry.get("content")
        accumulator.text(content, index)
        for piece in [content] if isinstance(content, dict) else dicts(content):
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
