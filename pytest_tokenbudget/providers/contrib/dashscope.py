"""DashScope's own generation and embeddings (Alibaba's Qwen); its compatible endpoints are read as OpenAI's.

Reference: help.aliyun.com/zh/model-studio, "DashScope API reference" (read 2026-11). Without ``incremental_output`` each
event of a stream holds all that was written so far.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, as_str, count, dicts, first_count
from pytest_tokenbudget.providers.openai_chat import Calls, tool_calls
from pytest_tokenbudget.providers.prompt_parts import chat_prompt, completion_prompt, embedding_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, error_text, holds
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.prompt import Prompt


class DashScopeGeneration(WireFormat):
    """Generation of text, from texts or from texts with pictures and sound."""

    api = "dashscope.generation"
    provider = "alibaba"
    endpoints = (
        Endpoint("call", r"/services/aigc/(text|multimodal)-generation/generation$", when=holds("model", "input")),
        Endpoint("auxiliary", r"/api/v1/tasks/[^/]+$", methods=("GET",)),
        Endpoint("paid", r"/services/(aigc/(text2image|image2image|video-generation)|audio|rerank)/"),
    )

    def asks_stream(self, request: Request) -> bool:
        """Tell by the headers."""
        headers = request.headers
        return headers.get("x-dashscope-sse") == "enable" or "text/event-stream" in headers.get("accept", "")

    def prompt(self, request: Request) -> Prompt | None:
        """Read what the model is asked: messages and tools stand in ``input`` and ``parameters``."""
        if request.body is None:
            return None
        given, parameters = as_dict(request.body.get("input")), as_dict(request.body.get("parameters"))
        body = {**parameters, **given, "model": self.model_of(request)}
        return (chat_prompt if "messages" in given else completion_prompt)(body, "", self.api)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        calls: Calls = {}
        for index, document in enumerate(response.documents):
            accumulator.id = accumulator.id or as_str(document.get("request_id"))
            if document.get("code"):
                accumulator.error = error_text(document)
            output = document.get("output")
            if isinstance(output, dict):
                accumulator.read = True
                _output(output, index, accumulator, calls)
            usage = as_dict(document.get("usage"))
            if usage:
                _usage(usage, accumulator)


def _output(output: dict[str, Any], index: int, accumulator: ResponseAccumulator, calls: Calls) -> None:
    accumulator.text(output.get("text"), index)
    _finish(output, accumulator)
    for choice in dicts(output.get("choices")):
        message = as_dict(choice.get("message"))
        accumulator.text(message.get("reasoning_content"), index)
        accumulator.text(message.get("content"), index)
        accumulator.texts_in(message.get("content"), index)
        tool_calls(message.get("tool_calls"), 0, index, accumulator, calls)
        _finish(choice, accumulator)


def _finish(document: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    """Take why it stopped; as long as it goes on, the word is ``null``."""
    reason = as_str(document.get("finish_reason"))
    if reason not in ("", "null"):
        accumulator.finish = reason


def _usage(usage: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    read, wrote = as_dict(usage.get("prompt_tokens_details")), as_dict(usage.get("output_tokens_details"))
    read = read or as_dict(usage.get("input_tokens_details"))
    accumulator.note_usage(
        Usage(
            input_tokens=count(usage.get("input_tokens")),
            output_tokens=count(usage.get("output_tokens")),
            cached_input_tokens=count(read.get("cached_tokens")),
            cache_write_tokens=count(read.get("cache_creation_input_tokens")),
            reasoning_tokens=count(wrote.get("reasoning_tokens")),
        )
    )
    accumulator.billed = billed(
        {
            "input_image_tokens": first_count(usage.get("image_tokens"), read.get("image_tokens")),
            "input_audio_tokens": first_count(usage.get("audio_tokens"), read.get("audio_tokens")),
            "input_video_tokens": first_count(usage.get("video_tokens"), read.get("video_tokens")),
            "output_audio_tokens": wrote.get("audio_tokens"),
            "web_searches": as_dict(as_dict(usage.get("plugins")).get("search")).get("count"),
        }
    )


class DashScopeEmbeddings(WireFormat):
    """Embeddings of texts."""

    api = "dashscope.embeddings"
    provider = "alibaba"
    operation = "embeddings"
    endpoints = (Endpoint("call", r"/services/embeddings/.*embedding$", when=holds("model", "input")),)

    def prompt(self, request: Request) -> Prompt | None:
        """Read what is embedded."""
        given = as_dict((request.body or {}).get("input"))
        return embedding_prompt({**given, "model": self.model_of(request)}, "", self.api)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            accumulator.id = as_str(document.get("request_id"))
            accumulator.read = accumulator.read or "output" in document
            if document.get("code"):
                accumulator.error = error_text(document)
            usage = as_dict(document.get("usage"))
            tokens = first_count(usage.get("input_tokens"), usage.get("total_tokens"))
            accumulator.note_usage(Usage(input_tokens=tokens))
