"""Prompts of an API by its name, for tests and benchmarks that have bodies and no URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers.http_message import Request, split_url
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import each_format
from pytest_tokenbudget.records.prompt import Prompt

FORMATS = {one.api: one for one in each_format(builtin_formats())}
"""The built-in formats by their names."""

_HOSTS = {"mistral.chat": "https://api.mistral.ai/"}
_NAMES = {
    "mistral.chat": "openai.chat",
    "bedrock.converse_stream": "bedrock.converse",
    "bedrock.invoke_stream": "bedrock.invoke",
    "google.stream_generate_content": "google.generate_content",
}
"""Names of recorded traffic where the format has another one."""


def prompt_for(api: str, body: dict[str, Any], model: str = "") -> Prompt | None:
    """What a request asks.

    Args:
        api: Name of the API, ``"openai.chat"``.
        body: The request's JSON object.
        model: Model by the URL, for APIs whose body does not name it.

    Returns:
        The prompt; ``None`` where no format has the name, or the body is too deeply nested to be read.
    """
    wire_format = FORMATS.get(_NAMES.get(api, api))
    if wire_format is None:
        return None
    try:
        prompt = wire_format.prompt(Request("POST", split_url(_HOSTS.get(api, "https://gateway.example/")), {}, body))
    except RecursionError:
        return None
    return prompt if prompt is None or prompt.model or not model else replace(prompt, model=model)
