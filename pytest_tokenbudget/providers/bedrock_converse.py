"""Amazon Bedrock's Converse and ConverseStream."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts


class BedrockConverse(BuiltinFormat):
    """Converse, and its binary event stream."""

    api = "bedrock.converse"

    def recognises(self, request: Request) -> bool:
        """By path."""
        return request.ends("/converse", "/converse-stream") and "/model/" in request.path

    def url_model(self, request: Request) -> str:
        """The model in the path."""
        return segment_after(request.path, "model")

    def asked_stream(self, request: Request) -> bool:
        """By path."""
        return request.path.endswith("-stream")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the messages of a stream."""
        walk(answer.documents, accumulator)


def walk(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from Converse's responses and stream events; Nova's own body has the same shape."""
    usage: dict[str, Any] = {}
    for index, document in enumerate(documents):
        if "contentBlockDelta" in document:
            _delta(as_dict(as_dict(document["contentBlockDelta"]).get("delta")), index, accumulator)
        if len(document) > 1 or "contentBlockDelta" not in document:
            usage = _frame(document, index, accumulator) or usage
    if usage:
        accumulator.read = True
        accumulator.usage = usages.bedrock(usage)


def _frame(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> dict[str, Any]:
    """What stands around a stream's deltas, or a whole response; gives the usage that it holds."""
    if document.get("error"):
        accumulator.error = error_text(document["error"])
    message = as_dict(as_dict(document.get("output")).get("message"))
    for block in dicts(message.get("content")):
        _block(block, index, accumulator)
    _block(as_dict(as_dict(document.get("contentBlockStart")).get("start")), index, accumulator)
    stop = as_dict(document.get("messageStop")).get("stopReason") or document.get("stopReason")
    accumulator.finish = stop or accumulator.finish
    if "output" in document or "messageStart" in document or "messageStop" in document:
        accumulator.read = True
    return as_dict(document.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage"))


def _block(block: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    use = as_dict(block.get("toolUse"))
    if use:
        if use.get("type") == "server_tool_use":
            accumulator.server_tool_calls.append(as_str(use.get("name")))
        else:
            accumulator.call(use.get("name"), use.get("input"), index)
    accumulator.text(block.get("text"), index)
    for piece in dicts(as_dict(block.get("citationsContent")).get("content")):
        accumulator.text(piece.get("text"), index)
    accumulator.text(as_dict(as_dict(block.get("reasoningContent")).get("reasoningText")).get("text"), index)


def _delta(delta: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    text = delta.get("text")
    if text:
        accumulator.text(text, index)
        return
    accumulator.text(as_dict(delta.get("toolUse")).get("input"), index)
    accumulator.text(as_dict(delta.get("reasoningContent")).get("text"), index)
