"""Amazon Bedrock's Converse and ConverseStream."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text, segment_after
from pytest_tokenbudget.wire.loose import as_dict, as_str, dicts


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a response, or from the messages of a stream."""
        walk(answer.documents, harvest)


def walk(documents: list[dict[str, Any]], harvest: Harvest) -> None:
    """Gather from Converse's responses and stream events; Nova's own body has the same shape."""
    usage: dict[str, Any] = {}
    for index, document in enumerate(documents):
        if "contentBlockDelta" in document:
            _delta(as_dict(as_dict(document["contentBlockDelta"]).get("delta")), index, harvest)
        if len(document) > 1 or "contentBlockDelta" not in document:
            usage = _frame(document, index, harvest) or usage
    if usage:
        harvest.read = True
        harvest.usage = usages.bedrock(usage)


def _frame(document: dict[str, Any], index: int, harvest: Harvest) -> dict[str, Any]:
    """What stands around a stream's deltas, or a whole response; gives the usage that it holds."""
    if document.get("error"):
        harvest.error = error_text(document["error"])
    message = as_dict(as_dict(document.get("output")).get("message"))
    for block in dicts(message.get("content")):
        _block(block, index, harvest)
    _block(as_dict(as_dict(document.get("contentBlockStart")).get("start")), index, harvest)
    stop = as_dict(document.get("messageStop")).get("stopReason") or document.get("stopReason")
    harvest.finish = stop or harvest.finish
    if "output" in document or "messageStart" in document or "messageStop" in document:
        harvest.read = True
    return as_dict(document.get("usage")) or as_dict(as_dict(document.get("metadata")).get("usage"))


def _block(block: dict[str, Any], index: int, harvest: Harvest) -> None:
    use = as_dict(block.get("toolUse"))
    if use:
        if use.get("type") == "server_tool_use":
            harvest.server_tool_calls.append(as_str(use.get("name")))
        else:
            harvest.call(use.get("name"), use.get("input"), index)
    harvest.text(block.get("text"), index)
    for piece in dicts(as_dict(block.get("citationsContent")).get("content")):
        harvest.text(piece.get("text"), index)
    harvest.text(as_dict(as_dict(block.get("reasoningContent")).get("reasoningText")).get("text"), index)


def _delta(delta: dict[str, Any], index: int, harvest: Harvest) -> None:
    text = delta.get("text")
    if text:
        harvest.text(text, index)
        return
    harvest.text(as_dict(delta.get("toolUse")).get("input"), index)
    harvest.text(as_dict(delta.get("reasoningContent")).get("text"), index)
