"""Prompts of Bedrock's InvokeModel: each model family has its own body, so the body's shape decides."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, dicts
from pytest_tokenbudget.providers.prompts import anthropic_messages, bedrock_converse, cohere_chat, openai_chat, plain
from pytest_tokenbudget.records.prompt import Prompt


def prompt(body: dict[str, Any], model: str = "", api: str = "bedrock.invoke") -> Prompt:
    """What an InvokeModel request asks, by the dialect of its body."""
    if "anthropic_version" in body and "messages" in body:
        return anthropic_messages.prompt(body, model, api)
    if "messages" in body:
        if "schemaVersion" in body or "inferenceConfig" in body or _untyped_blocks(body):
            return bedrock_converse.prompt(body, model, api)
        return openai_chat.prompt(body, model, api)
    if "message" in body:
        return cohere_chat.prompt(body, model, api)
    if "texts" in body or "singleEmbeddingParams" in body:
        return plain.embedding(body, model, api)
    return plain.completion(body, model, api)


def _untyped_blocks(body: dict[str, Any]) -> bool:
    return any(
        "text" in block and "type" not in block
        for item in dicts(body["messages"])
        for block in dicts(as_dict(item).get("content"))
    )
