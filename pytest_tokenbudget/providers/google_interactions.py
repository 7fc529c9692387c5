"""Google's Interactions API."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts


class GoogleInteractions(BuiltinFormat):
    """Interactions, streamed or not."""

    api = "google.interactions"

    def recognises(self, request: Request) -> bool:
        """By path, and ``input`` with a model or an agent."""
        return request.ends("/interactions") and request.has("input") and request.has("model", "agent")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from an interaction, or from the events of a stream."""
        usage: dict[str, Any] = {}
        whole = not answer.streamed
        for index, document in enumerate(answer.documents):
            held = as_dict(document.get("interaction")) or document
            if held.get("object") == "interaction" or "usage" in held or "interaction" in document:
                accumulator.read = True
                accumulator.named(held)
                accumulator.finish = held.get("status") or accumulator.finish
            usage = as_dict(held.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage")) or usage
            if document.get("error"):
                accumulator.error = error_text(document["error"])
            if whole:
                for step in dicts(held.get("steps")) or dicts(held.get("outputs")):
                    _step(step, index, accumulator)
            else:
                _event(document, index, accumulator)
        accumulator.usage = usages.google_interactions(usage)


def _event(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    start = as_dict(document.get("step")) or as_dict(document.get("content"))
    if start:
        _step(start, index, accumulator)
    delta = as_dict(document.get("delta"))
    if delta.get("type") == "function_call" and delta.get("name"):
        _step(delta, index, accumulator)
        return
    accumulator.text(delta.get("text"), index)
    accumulator.text(as_dict(delta.get("content")).get("text"), index)
    accumulator.text(delta.get("arguments"), index)


def _step(step: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = as_str(step.get("type"))
    if kind == "function_call":
        accumulator.call(step.get("name"), step.get("arguments"), index)
    elif kind.endswith("_call"):
        accumulator.server_tool_calls.append(as_str(step.get("name")) or kind.removesuffix("_call"))
        accumulator.text(compact(step["arguments"]) if step.get("arguments") else "", index)
    else:
        accumulator.text(step.get("text"), index)
        for key in ("content", "summary"):
            for piece in dicts(step.get(key)):
                accumulator.text(piece.get("text"), index)
