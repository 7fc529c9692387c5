"""Google's Interactions API."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_dict, as_str, compact, dicts


class GoogleInteractions(BuiltinFormat):
    """Interactions, streamed or not."""

    api = "google.interactions"

    def recognises(self, request: Request) -> bool:
        """By path, and ``input`` with a model or an agent."""
        return request.ends("/interactions") and request.has("input") and request.has("model", "agent")

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from an interaction, or from the events of a stream."""
        usage: dict[str, Any] = {}
        whole = not answer.streamed
        for index, document in enumerate(answer.documents):
            held = as_dict(document.get("interaction")) or document
            if held.get("object") == "interaction" or "usage" in held or "interaction" in document:
                harvest.read = True
                harvest.named(held)
                harvest.finish = held.get("status") or harvest.finish
            usage = as_dict(held.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage")) or usage
            if document.get("error"):
                harvest.error = error_text(document["error"])
            if whole:
                for step in dicts(held.get("steps")) or dicts(held.get("outputs")):
                    _step(step, index, harvest)
            else:
                _event(document, index, harvest)
        harvest.usage = usages.google_interactions(usage)


def _event(document: dict[str, Any], index: int, harvest: Harvest) -> None:
    start = as_dict(document.get("step")) or as_dict(document.get("content"))
    if start:
        _step(start, index, harvest)
    delta = as_dict(document.get("delta"))
    if delta.get("type") == "function_call" and delta.get("name"):
        _step(delta, index, harvest)
        return
    harvest.text(delta.get("text"), index)
    harvest.text(as_dict(delta.get("content")).get("text"), index)
    harvest.text(delta.get("arguments"), index)


def _step(step: dict[str, Any], index: int, harvest: Harvest) -> None:
    kind = as_str(step.get("type"))
    if kind == "function_call":
        harvest.call(step.get("name"), step.get("arguments"), index)
    elif kind.endswith("_call"):
        harvest.server_tool_calls.append(as_str(step.get("name")) or kind.removesuffix("_call"))
        harvest.text(compact(step["arguments"]) if step.get("arguments") else "", index)
    else:
        harvest.text(step.get("text"), index)
        for key in ("content", "summary"):
            for piece in dicts(step.get(key)):
                harvest.text(piece.get("text"), index)
