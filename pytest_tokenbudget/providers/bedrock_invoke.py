"""Amazon Bedrock's InvokeModel: each model family answers in its own dialect, which the documents show.

Where a dialect has no usage, the headers ``x-amzn-bedrock-*-token-count`` have it, or the last chunk's
``amazon-bedrock-invocationMetrics``.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers import anthropic_messages, bedrock_converse, openai_chat
from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, reading, segment_after
from pytest_tokenbudget.providers.answer import Answer, answer_of
from pytest_tokenbudget.providers.body import header
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, count, dicts
from pytest_tokenbudget.providers.parsing import parse_many
from pytest_tokenbudget.records.call import Operation, Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange

_METRICS = "amazon-bedrock-invocationMetrics"
_OTHER_MODELS = ("rerank", "image", "stability", "canvas", "reel", "sonic")
_TEXTS = ("outputText", "generation", "text", "completion")


class BedrockInvoke(BuiltinFormat):
    """InvokeModel, and its binary event stream."""

    api = "bedrock.invoke"

    def recognises(self, request: Request) -> bool:
        """By path."""
        return request.ends("/invoke", "/invoke-with-response-stream") and "/model/" in request.path

    def url_model(self, request: Request) -> str:
        """The model in the path."""
        return segment_after(request.path, "model")

    def asked_stream(self, request: Request) -> bool:
        """By path."""
        return request.path.endswith("-stream")

    def read(self, request: Request, exchange: Exchange) -> Reading:
        """Read by the dialect of the documents, then by Bedrock's own figures."""
        answer = answer_of(exchange)
        accumulator = ResponseAccumulator()
        documents = _inner(answer.documents)
        walk(documents, accumulator)
        if accumulator.usage == Usage():
            accumulator.usage = _headers(exchange)
        accumulator.read = accumulator.read or accumulator.usage != Usage()
        if not answer.streamed:
            # Anthropic's document names the model alone, the URL its version and region at Bedrock
            accumulator.model = ""
        operation = self._operation(request, documents)
        found = reading(
            accumulator,
            answer,
            request,
            api=self.api,
            status=exchange.status,
            operation=operation,
            asked_stream=self.asked_stream(request),
            url_model=self.url_model(request),
        )
        if operation == "embeddings":
            return replace(found, usage=Usage(input_tokens=found.usage.input_tokens))
        return found

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the documents alone, without Bedrock's headers."""
        walk(_inner(answer.documents), accumulator)

    def _operation(self, request: Request, documents: list[dict[str, Any]]) -> Operation:
        model = self.url_model(request).lower()
        if "embed" in model or any("embedding" in document or "embeddings" in document for document in documents):
            return "embeddings"
        if any(word in model for word in _OTHER_MODELS):
            return "other"
        body = request.body or {}
        return "chat" if "messages" in body or "message" in body else "text_completion"


def _inner(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents inside the chunks of an event stream, base64 in ``bytes``; others as they are."""
    held = [as_dict(document.get("chunk")).get("bytes") for document in documents]
    texts = [_decoded(data) for data in held if isinstance(data, str)]
    found = iter(parse_many(texts))
    return [
        as_dict(next(found)) if isinstance(data, str) else document
        for data, document in zip(held, documents, strict=True)
    ]


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except ValueError:
        return b""


def walk(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather by the dialect that the documents show."""
    if any("choices" in document for document in documents):
        openai_chat.walk(documents, accumulator)
    elif any(_is_anthropic(document) for document in documents):
        anthropic_messages.walk(documents, accumulator)
    elif any(_is_converse(document) for document in documents):
        bedrock_converse.walk(documents, accumulator)
    else:
        _plain(documents, accumulator)
    if accumulator.usage.input_tokens is None and accumulator.usage.output_tokens is None:
        for document in documents:
            if _METRICS in document:
                accumulator.usage = usages.invocation_metrics(as_dict(document[_METRICS]))
                accumulator.read = True


def _is_anthropic(document: dict[str, Any]) -> bool:
    return document.get("type") in ("message", "message_start", "content_block_delta")


def _is_converse(document: dict[str, Any]) -> bool:
    return any(key in document for key in ("messageStart", "contentBlockDelta", "stopReason")) or isinstance(
        as_dict(document.get("output")).get("message"), dict
    )


def _plain(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Titan, Llama, Cohere, AI21 and Mistral texts of old: a text, a reason, perhaps counts."""
    for index, document in enumerate(documents):
        if "error" in document and not accumulator.error:
            accumulator.error = as_str(as_dict(document["error"]).get("message")) or "error"
        for key in _TEXTS:
            accumulator.text(document.get(key), index)
        _finish(document, accumulator)
        for key in ("results", "outputs", "generations", "completions"):
            for item in dicts(document.get(key)):
                data = as_dict(item.get("data")) or item
                for text in ("outputText", "text"):
                    accumulator.text(data.get(text), index)
                _finish(item, accumulator)
        accumulator.usage = _merged(accumulator.usage, _counts(document))
        accumulator.read = accumulator.read or bool(accumulator.texts) or "embedding" in document


def _counts(document: dict[str, Any]) -> Usage:
    if "inputTextTokenCount" in document or "totalOutputTextTokenCount" in document:
        return usages.titan(document)
    if "prompt_token_count" in document or "generation_token_count" in document:
        return usages.llama(document)
    return Usage()


def _merged(older: Usage, newer: Usage) -> Usage:
    return Usage(
        input_tokens=older.input_tokens if newer.input_tokens is None else newer.input_tokens,
        output_tokens=older.output_tokens if newer.output_tokens is None else newer.output_tokens,
    )


def _finish(document: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    for key in ("completionReason", "stop_reason", "finish_reason", "finishReason"):
        reason = document.get(key)
        if isinstance(reason, dict):
            reason = reason.get("reason")
        if isinstance(reason, str) and reason:
            accumulator.finish = reason


def _headers(exchange: Exchange) -> Usage:
    found = {}
    for side in ("input", "output"):
        value = header(exchange.response_headers, f"x-amzn-bedrock-{side}-token-count")
        found[side] = count(int(value)) if value.isascii() and value.isdigit() and len(value) < 13 else None
    return Usage(input_tokens=found["input"], output_tokens=found["output"])
