"""A footprint: the input tokens that tools, prompts and files cost before any model is called.

Tools are read in the form of any API (OpenAI, Anthropic, Google, Bedrock, MCP) and written in the form of the API that
serves the model, so that the count is that of a request with these tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import FootprintError
from pytest_tokenbudget.providers.http_message import Request
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import each_format
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Composition
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.tokens.counter import Counter

DEFAULT_MODEL = "gpt-4.1"
"""The model whose tokenizer counts where none is named: its rules for tools are known exactly."""

OPERATION_API = "footprint"
"""The ``api`` of a call that stands for a footprint."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The input tokens of tools and texts.

    Attributes:
        model: The model whose tokenizer counted.
        input_tokens: All tokens, framing included.
        composition: The parts; their tokens add up to ``input_tokens``.
        encoding: Name of the encoding or profile that counted.
        estimated: ``True`` where no public tokenizer is known for the model.
    """

    model: str
    input_tokens: int
    composition: Composition
    encoding: str
    estimated: bool

    @property
    def tools(self) -> dict[str, int]:
        """Tokens of each tool's schema, the largest first."""
        totals: dict[str, int] = {}
        for piece in self.composition.pieces:
            if piece.part == "tools":
                totals[piece.name] = totals.get(piece.name, 0) + piece.tokens
        return dict(sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])))

    def part(self, name: str) -> int:
        """Tokens of one part of the composition, such as ``"system"`` or ``"framing"``."""
        return sum(piece.tokens for piece in self.composition.pieces if piece.part == name)


@dataclass(frozen=True, slots=True)
class _Declaration:
    """One function tool, whatever API's form it was written in."""

    name: str
    description: str | None
    parameters: Mapping[str, Any] | None


def measure_footprint(
    counter: Counter,
    *,
    tools: Iterable[Any] = (),
    system: str | Sequence[str] = (),
    messages: Iterable[Mapping[str, Any]] = (),
    model: str = DEFAULT_MODEL,
) -> Footprint:
    """Count what a request with these parts would cost.

    Args:
        counter: Counts and composes.
        tools: Tool definitions in any API's form, or objects with ``model_dump`` such as ``mcp.types.Tool``.
        system: The system prompt, or several texts that stand in it one after another.
        messages: Messages in the chat form, ``{"role": "user", "content": "..."}``.
        model: The model whose tokenizer counts.

    Returns:
        The footprint, in tokens.

    Raises:
        FootprintError: If a tool or message has no known form.
        TokenizerError: If a configured vocabulary cannot be loaded.
    """
    provider, api = provider_and_api(model)
    texts = [system] if isinstance(system, str) else list(system)
    prompt = _prompt(api, model, list(tools), [text for text in texts if text], list(messages))
    composition = counter.compose(prompt, provider=provider, input_tokens=None)
    return Footprint(
        model, composition.input_tokens, composition, composition.encoding, estimated=composition.estimated
    )


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        FootprintError: If the file cannot be read as UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FootprintError(f"{path}: cannot be read: {reason}", remedy="give the path of a UTF-8 text file") from None


def footprint_call(found: Footprint, *, stage: str, started: float) -> Call:
    """The call that stands for a footprint in a sample: it reads the footprint's tokens and writes nothing.

    Args:
        found: The footprint.
        stage: Its stage.
        started: Start, s since the sample's start.
    """
    provider, _ = provider_and_api(found.model)
    return Call(
        stage=stage,
        provider=provider,
        api=OPERATION_API,
        model=found.model,
        request_model=found.model,
        started=started,
        usage=Usage(input_tokens=found.input_tokens, output_tokens=0),
        input_source="counted",
        output_source="counted",
        composition=found.composition,
        answered_by="mock",  # no model took any time
    )


def provider_and_api(model: str) -> tuple[str, str]:
    """The provider and the wire format in whose form tools are written for a model."""
    name = model.rpartition("/")[2].lower()
    if "claude" in name:
        return "anthropic", "anthropic.messages"
    if name.startswith("gemini"):
        return "gcp.gemini", "google.generate_content"
    for beginning, provider in _CHAT_PROVIDERS:
        if name.startswith(beginning):
            return provider, "openai.chat"
    return "openai", "openai.chat"


_CHAT_PROVIDERS = (
    ("deepseek", "deepseek"),
    ("grok", "x_ai"),
    (("mistral", "magistral", "ministral", "devstral", "codestral"), "mistral_ai"),
)
"""Beginnings of model names, and the provider that serves them through chat completions."""


def _prompt(
    api: str, model: str, tools: Sequence[Any], system: Sequence[str], messages: Sequence[Mapping[str, Any]]
) -> Prompt:
    items = [definition for tool in tools for definition in _flat(plain_data(tool))]
    url, body = _WRITERS[api](model, items, system, messages)
    request = Request("POST", urlsplit(url), {}, body)
    wire_format = next(each for each in each_format(builtin_formats()) if each.api == api)
    prompt = wire_format.prompt(request)
    if prompt is None:
        raise FootprintError("the messages have no known form", remedy='{"role": "user", "content": "text"}')
    return prompt


def plain_data(item: Any) -> dict[str, Any]:
    """A tool or prompt as a dictionary, also of a pydantic object such as ``mcp.types.Tool``.

    Raises:
        FootprintError: If it is neither.
    """
    dump = getattr(item, "model_dump", None)
    if callable(dump):
        item = dump(mode="json", by_alias=True, exclude_none=True)
    if not isinstance(item, Mapping):
        raise FootprintError(
            f"a tool is a dictionary or a pydantic object, not {type(item).__name__}",
            remedy='{"name": "...", "description": "...", "parameters": {...}}',
        )
    return dict(item)


def _flat(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Single definitions: Google wraps several in ``functionDeclarations``."""
    for key in ("functionDeclarations", "function_declarations"):
        if isinstance(item.get(key), list):
            return [plain_data(each) for each in item[key]]
    return [item]


def _declaration(item: Mapping[str, Any]) -> _Declaration | None:
    """A function tool in any API's form; ``None`` for a tool that the provider itself runs (``web_search``).

    Raises:
        FootprintError: If it has no known form.
    """
    inner = item.get("function", item.get("toolSpec", item))
    if not isinstance(inner, Mapping):
        inner = item
    name = inner.get("name")
    for key in ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema"):
        if key in inner:
            schema = inner[key]
            break
    else:
        if item.get("type") not in (None, "function", "custom"):
            return None
        schema = None
    if isinstance(schema, Mapping) and isinstance(schema.get("json"), Mapping):
        schema = schema["json"]  # Bedrock's toolSpec
    if not isinstance(name, str) or not name or not (schema is None or isinstance(schema, Mapping)):
        shown = ", ".join(sorted(map(str, item)))[:80] or "nothing"
        raise FootprintError(
            f"a tool without a name, or whose schema is no object (its keys: {shown})",
            remedy='{"name": "...", "description": "...", "parameters": {...}}',
        )
    description = inner.get("description")
    return _Declaration(name, description if isinstance(description, str) else None, schema)


def _declared(item: dict[str, Any], own_form: bool, key: str) -> dict[str, Any]:
    """A definition with ``name``, ``description`` and its schema under ``key``; one of the API's own form stays."""
    declaration = _declaration(item)
    if declaration is None or own_form:
        return item
    found: dict[str, Any] = {"name": declaration.name}
    if declaration.description is not None:
        found["description"] = declaration.description
    if declaration.parameters is not None:
        found[key] = dict(declaration.parameters)
    return found


Written = tuple[str, dict[str, Any]]
"""URL and body of a request."""


def _openai(model: str, tools: list[dict[str, Any]], system: Sequence[str], messages: Sequence[Any]) -> Written:
    written = []
    for item in tools:
        tool = _declared(item, "function" in item, "parameters")
        written.append(tool if tool is item else {"type": "function", "function": tool})
    body = {
        "model": model,
        "messages": [*({"role": "system", "content": text} for text in system), *messages],
        "tools": written,
    }
    return "https://api.openai.com/v1/chat/completions", body


def _anthropic(model: str, tools: list[dict[str, Any]], system: Sequence[str], messages: Sequence[Any]) -> Written:
    body = {
        "model": model,
        "system": [{"type": "text", "text": text} for text in system],
        "messages": list(messages),
        "tools": [_declared(item, "input_schema" in item, "input_schema") for item in tools],
    }
    return "https://api.anthropic.com/v1/messages", body


def _google(model: str, tools: list[dict[str, Any]], system: Sequence[str], messages: Sequence[Any]) -> Written:
    body: dict[str, Any] = {"contents": [_content(message) for message in messages]}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if tools:
        body["tools"] = [
            {"functionDeclarations": [_declared(item, own_form=False, key="parameters") for item in tools]}
        ]
    name = model.rpartition("/")[2]
    return f"https://generativelanguage.googleapis.com/v1beta/models/{name}:generateContent", body


def _content(message: Any) -> Any:
    """A chat message in Google's form."""
    if not isinstance(message, Mapping) or "parts" in message:
        return message
    content = message.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content
    return {"role": "model" if message.get("role") == "assistant" else "user", "parts": parts}


_WRITERS = {"openai.chat": _openai, "anthropic.messages": _anthropic, "google.generate_content": _google}
