"""Amazon Bedrock's InvokeModel: each model family has its own body and answer, whose shape tells them apart.

Where an answer has no usage, the headers ``x-amzn-bedrock-*-token-count`` have it, or the last chunk's
``amazon-bedrock-invocationMetrics``.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers.anthropic_messages import messages_prompt, parse_messages
from pytest_tokenbudget.providers.bedrock_converse import converse_prompt, parse_converse
from pytest_tokenbudget.providers.cohere import cohere_prompt
from pytest_tokenbudget.providers.http_message import Request, Response, response_of
from pytest_tokenbudget.providers.loose import (
    added,
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    first_count,
    header,
    parse_many,
)
from pytest_tokenbudget.providers.openai_chat import parse_chat
from pytest_tokenbudget.providers.prompt_parts import chat_prompt, completion_prompt, embedding_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, reading
from pytest_tokenbudget.records.call import Operation, Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt

_METRICS = "amazon-bedrock-invocationMetrics"
_OTHER_MODELS = ("rerank", "image", "stability", "canvas", "reel", "sonic")
_TEXTS = ("outputText", "generation", "text", "completion")


def _invoke_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Read what an InvokeModel request asks, by the dialect of its body."""
    if "anthropic_version" in body and "messages" in body:
        return messages_prompt(body, model, api)
    if "messages" in body:
        if "schemaVersion" in body or "inferenceConfig" in body or _untyped_blocks(body):
            return converse_prompt(body, model, api)
        return chat_prompt(body, model, api)
    if "message" in body:
        return cohere_prompt(body, model, api)
    if "texts" in body or "singleEmbeddingParams" in body:
        return embedding_prompt(body, model, api)
    return completion_prompt(body, model, api)


def _untyped_blocks(body: dict[str, Any]) -> bool:
    return any(
        "text" in block and "type" not in block
        for item in dicts(body["messages"])
        for block in dicts(as_dict(item).get("content"))
    )


class BedrockInvoke(WireFormat):
    """InvokeModel, and its binary event stream."""

    api = "bedrock.invoke"
    provider = "aws.bedrock"
    endpoints = (Endpoint("call", r"/model/.*/invoke(-with-response-stream)?$"),)
    model_markers = ("model",)
    read_prompt = staticmethod(_invoke_prompt)
    stream_paths = ("-stream",)

    def read_answer(self, request: Request, exchange: Exchange, provider: str) -> Reading:
        """Read by the dialect of the documents, then by Bedrock's own figures."""
        response = response_of(exchange)
        accumulator = ResponseAccumulator()
        documents = _inner(response.documents)
        _parse_invoked(documents, accumulator)
        accumulator.usage = _completed(accumulator.usage, _header_usage(exchange))
        accumulator.read = accumulator.read or accumulator.usage != Usage()
        if not response.streamed:
            # Anthropic's document names the model alone, the URL its version and region at Bedrock
            accumulator.model = ""
        operation = self._operation(request, documents)
        found = reading(
            accumulator,
            response,
            api=self.api,
            status=exchange.status,
            provider=provider,
            operation=operation,
            asked_stream=self.asks_stream(request),
            request_model=self.model_of(request),
        )
        if operation == "embeddings":
            return replace(found, usage=Usage(input_tokens=found.usage.input_tokens))
        return found

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the documents alone, without Bedrock's headers."""
        _parse_invoked(_inner(response.documents), accumulator)

    def _operation(self, request: Request, documents: list[dict[str, Any]]) -> Operation:
        model = self.url_model(request).lower()
        if "embed" in model or any("embedding" in document or "embeddings" in document for document in documents):
            return "embeddings"
        if any(word in model for word in _OTHER_MODELS):
            return "other"
        body = request.body or {}
        return "chat" if "messages" in body or "message" in body else "text_completion"


def _titan_usage(document: dict[str, Any]) -> Usage:
    """Amazon Titan: input in the document, output in its results (a list, or the stream's own total)."""
    results = [count(as_dict(item).get("tokenCount")) for item in as_list(document.get("results"))]
    return Usage(
        input_tokens=count(document.get("inputTextTokenCount")),
        output_tokens=first_count(added(*results), document.get("totalOutputTextTokenCount")),
    )


def _llama_usage(document: dict[str, Any]) -> Usage:
    """Meta Llama on Bedrock."""
    return Usage(
        input_tokens=count(document.get("prompt_token_count")),
        output_tokens=count(document.get("generation_token_count")),
    )


def _metrics_usage(metrics: dict[str, Any]) -> Usage:
    """``amazon-bedrock-invocationMetrics`` of the last chunk of a stream."""
    cached = count(metrics.get("cacheReadInputTokenCount"))
    written = count(metrics.get("cacheWriteInputTokenCount"))
    read = count(metrics.get("inputTokenCount"))
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(metrics.get("outputTokenCount")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )


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


def _parse_invoked(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather by the dialect that the documents show."""
    if any("choices" in document for document in documents):
        parse_chat(documents, accumulator)
    elif any(_is_anthropic(document) for document in documents):
        parse_messages(documents, accumulator)
    elif any(_is_converse(document) for document in documents):
        parse_converse(documents, accumulator)
    else:
        _plain(documents, accumulator)
    if accumulator.usage.input_tokens is None or accumulator.usage.output_tokens is None:
        for document in documents:
            if _METRICS in document:
                accumulator.usage = _completed(accumulator.usage, _metrics_usage(as_dict(document[_METRICS])))
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
        accumulator.usage = _completed(_counts(document), accumulator.usage)
        accumulator.read = accumulator.read or bool(accumulator.texts) or "embedding" in document


def _counts(document: dict[str, Any]) -> Usage:
    if "inputTextTokenCount" in document or "totalOutputTextTokenCount" in document:
        return _titan_usage(document)
    if "prompt_token_count" in document or "generation_token_count" in document:
        return _llama_usage(document)
    return Usage()


def _completed(usage: Usage, other: Usage) -> Usage:
    """A usage with the sides that it does not tell (behind a guardrail, the output) taken from another.

    Headers and metrics leave the cache out of the input, whose parts are added where the usage tells them.
    """
    if usage.input_tokens is None:
        usage = replace(
            usage,
            input_tokens=other.input_tokens,
            cached_input_tokens=other.cached_input_tokens,
            cache_write_tokens=other.cache_write_tokens,
        )
    if usage.output_tokens is None:
        usage = replace(usage, output_tokens=other.output_tokens, reasoning_tokens=other.reasoning_tokens)
    return usage


def _finish(document: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    for key in ("completionReason", "stop_reason", "finish_reason", "finishReason"):
        reason = document.get(key)
        if isinstance(reason, dict):
            reason = reason.get("reason")
        if isinstance(reason, str) and reason:
            accumulator.finish = reason


def _header_usage(exchange: Exchange) -> Usage:
    found = {}
    for side in ("input", "output"):
        value = header(exchange.response_headers, f"x-amzn-bedrock-{side}-token-count")
        found[side] = count(int(value)) if value.isascii() and value.isdigit() and len(value) < 13 else None
    return Usage(input_tokens=found["input"], output_tokens=found["output"])


class BedrockAgents(WireFormat):
    """Agents, flows and knowledge bases of Amazon Bedrock, which call models themselves and tell no usage."""

    api = "bedrock.agents"
    operation = "other"
    provider = "aws.bedrock"
    endpoints = (
        Endpoint(
            "paid",
            r"/agents/[^/]+/agentAliases/[^/]+/sessions/[^/]+/text$|/runtimes/[^/]+/invocations$"
            r"|/retrieveAndGenerate(Stream)?$|/flows/[^/]+/aliases/[^/]+$|/generateQuery$",
            reads=False,
        ),
    )

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Nothing of it is read."""
