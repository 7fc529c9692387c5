"""Mistral's conversations, which run its agents."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_dict, as_str, dicts


class MistralConversations(BuiltinFormat):
    """A turn of a conversation, streamed or not."""

    api = "mistral.conversations"

    def recognises(self, request: Request) -> bool:
        """By path and ``inputs``; OpenAI's conversations have ``items``."""
        if request.method != "POST" or request.body is None or "inputs" not in request.body:
            return False
        return request.path.endswith("/conversations") or "/conversations/" in request.path

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a response, or from the events of a stream."""
        seen: set[str] = set()
        for index, document in enumerate(answer.documents):
            kind = as_str(document.get("type"))
            if "outputs" in document or kind.startswith("conversation.response"):
                harvest.read = True
                harvest.id = harvest.id or as_str(document.get("conversation_id"))
            if isinstance(document.get("usage"), dict):
                harvest.usage = usages.openai_chat(document["usage"])
            if kind == "conversation.response.error" or document.get("error"):
                harvest.error = error_text(document.get("error") or document)
            for entry in dicts(document.get("outputs")) or [document]:
                _entry(entry, index, harvest, seen)


def _entry(entry: dict[str, Any], index: int, harvest: Harvest, seen: set[str]) -> None:
    kind = as_str(entry.get("type"))
    harvest.model = harvest.model or as_str(entry.get("model"))
    if kind.startswith("message.output"):
        content = entry.get("content")
        harvest.text(content, index)
        for piece in [content] if isinstance(content, dict) else dicts(content):
            harvest.text(piece.get("text"), index)
    elif kind == "function.call":
        harvest.call(entry.get("name"), entry.get("arguments"), index)
    elif kind == "function.call.delta":
        # every piece repeats the name; the id tells calls apart
        call_id = as_str(entry.get("tool_call_id"))
        if call_id not in seen:
            seen.add(call_id)
            harvest.tool_calls.append(as_str(entry.get("name")))
        harvest.text(entry.get("arguments"), index)
    elif kind in ("tool.execution", "tool.execution.started"):
        harvest.server_tool_calls.append(as_str(entry.get("name")) or as_str(as_dict(entry.get("info")).get("name")))
