"""Cuts in the body of a recorded request: a tool that is left out, a schema whose descriptions are shortened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pytest_tokenbudget.providers.http_message import JsonObject

ToolChange = Callable[[str, JsonObject], JsonObject | None]
"""Gives the definition that stands in the place of a named tool's; ``None`` leaves the tool out."""

_LISTS = ("tools", "functions", "functionDeclarations", "function_declarations")
"""Keys of lists of tools, in the forms of OpenAI, Anthropic, Cohere, Ollama, Bedrock and Google."""

_HOLDERS = ("toolConfig", "tool_config", "parameters", "request")
"""Keys of objects that hold such a list: Bedrock's ``toolConfig``, DashScope's ``parameters``, Code Assist's ``request``."""

_CHOICES = ("tool_choice", "toolChoice", "function_call", "parallel_tool_calls")
"""Fields that no API takes where a request offers no tool."""

_SEARCH_STEPS = 12
"""Halvings when the length of descriptions is searched: one word in 4,000."""


def tool_name(definition: JsonObject) -> str:
    """Read the name of a tool in any API's form; a tool that the provider runs itself has its type as name."""
    for holder in (definition, definition.get("function"), definition.get("toolSpec")):
        if isinstance(holder, dict) and isinstance(name := holder.get("name"), str) and name:
            return name
    kind = definition.get("type")
    return kind if isinstance(kind, str) else ""


def tools_of(body: JsonObject) -> dict[str, JsonObject]:
    """Give the tools that a request offers, by name."""
    found: dict[str, JsonObject] = {}

    def note(name: str, definition: JsonObject) -> JsonObject:
        found.setdefault(name, definition)
        return definition

    change_tools(body, note)
    return found


def change_tools(body: JsonObject, change: ToolChange) -> JsonObject:
    """Give a request with other tools. Nothing else of it changes, and the request itself stays as it is.

    Args:
        body: The request's body.
        change: Called with the name and the definition of each tool.
    """
    found: JsonObject = {}
    dropped: list[str] = []
    is_emptied = False
    for key, value in body.items():
        if key in _LISTS and isinstance(value, list):
            kept = list(_changed(value, change, dropped))
            if kept or not value:
                found[key] = kept
            else:
                is_emptied = True
        elif key in _HOLDERS and isinstance(value, dict):
            inner = change_tools(value, change)
            # Bedrock refuses a toolConfig without tools.
            if inner or not value:
                found[key] = inner
        else:
            found[key] = value
    for key in _CHOICES:
        if key in found and (is_emptied or any(_names(found[key], name) for name in dropped)):
            del found[key]
    return found


def _changed(tools: list[Any], change: ToolChange, dropped: list[str]) -> Iterator[Any]:
    for entry in tools:
        if not isinstance(entry, dict):
            yield entry
        elif any(isinstance(entry.get(key), list) for key in _LISTS):
            # Google wraps several definitions in one entry, and OpenAI has namespaces.
            inner = change_tools(entry, change)
            if any(key in inner for key in _LISTS):
                yield inner
        else:
            name = tool_name(entry)
            kept = change(name, entry)
            if kept is None:
                dropped.append(name)
            else:
                yield kept


def _names(choice: object, tool: str) -> bool:
    """Tell whether a choice of tools forces the use of one tool."""
    if not isinstance(choice, dict):
        return False
    inner = next((value for key in ("function", "tool") if isinstance(value := choice.get(key), dict)), choice)
    return inner.get("name") == tool


def shrink(definition: JsonObject, share: float, size: Callable[[JsonObject], int]) -> JsonObject:
    """Shorten the descriptions of a tool until its definition has a share of its tokens.

    Each description keeps its first words, all of them the same part; the structure stays. Where the structure alone is
    larger than the share, no description is left.

    Args:
        definition: The tool's definition.
        share: The wanted size as a part of the present one, from 0 to 1.
        size: Counts the tokens of a definition.
    """
    if share >= 1:
        return definition
    target = share * size(definition)
    least, most = 0.0, 1.0
    best: JsonObject = shorten_descriptions(definition, 0.0)
    for _ in range(_SEARCH_STEPS):
        middle = (least + most) / 2
        tried = shorten_descriptions(definition, middle)
        if size(tried) <= target:
            best, least = tried, middle
        else:
            most = middle
    return best


def shorten_descriptions(value: Any, share: float) -> Any:
    """Cut each text under ``description``, at any depth, to its first words; a text without words is left out."""
    if isinstance(value, list):
        return [shorten_descriptions(inner, share) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        if key == "description" and isinstance(inner, str):
            if kept := _first_words(inner, share):
                found[key] = kept
        else:
            found[key] = shorten_descriptions(inner, share)
    return found


def _first_words(text: str, share: float) -> str:
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    kept = int(share * len(ends))
    return text[: ends[kept - 1]] if kept else ""
