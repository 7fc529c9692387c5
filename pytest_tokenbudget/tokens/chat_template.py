"""Renders a prompt by the model's own chat template, and counts what comes out with the model's own tokenizer.

The template is a Jinja program in the model's ``tokenizer_config.json`` or ``chat_template.jinja``, beside its
``tokenizer.json``. Engines (vLLM, transformers, llama.cpp) feed a request's messages and tools to it as it is done here; the
names that a template may use are those of transformers' "Chat templates" (read 2026-11-28).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import TokenizerError
from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.prompt import File, Image, Message, Prompt, Reasoning, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, Rendering
from pytest_tokenbudget.tokens.media import file_fragment, image_fragment

_CONFIG, _JINJA, _JSON = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
_WHOLE_PARTS: Mapping[str, PartName] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_results",
}

Spans = Callable[[str], Sequence[tuple[int, int]]]
"""From a text to the place of each of its tokens in it, special tokens recognised."""


class TemplateProblem(Exception):
    """The template refuses a prompt or cannot be rendered; the prompt is then counted without it."""


@dataclass(frozen=True, slots=True)
class _Content:
    """A text that goes into the template, and the part of the composition that it is."""

    part: PartName
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A model's chat template and its tokenizer.

    Attributes:
        path: The folder that holds them.
        special: Special tokens by the name that templates have for them, ``bos_token``.
        default: The compiled template.
        for_tools: The one for prompts with tools, where the model has two.
        spans: The tokenizer.
    """

    path: Path
    special: Mapping[str, str]
    default: Any
    for_tools: Any
    spans: Spans

    def render(self, prompt: Prompt, *, provider: str) -> Rendering:
        """Render a prompt as the engine does, as fragments that are counted already.

        Args:
            prompt: The prompt.
            provider: Provider, which decides the images' formula.

        Raises:
            TemplateProblem: If the template refuses it.
        """
        tools = [_tool(tool) for tool in prompt.tools if tool.kind == "function"]
        messages, contents = _messages(prompt.messages)
        try:
            text = (self.for_tools if tools else self.default).render(
                messages=messages,
                tools=tools or None,
                documents=None,
                add_generation_prompt=True,
                **self.special,
            )
        except Exception as error:  # a template raises what it likes
            raise TemplateProblem(str(error)) from error
        shown = [_Content("tools", tool["function"]["name"], _dumped(tool)) for tool in tools]
        fragments = tuple(_fragments(text, self.spans(text), [*_found(text, shown), *_found(text, contents)]))
        media = [
            part
            for message in prompt.messages
            for part in (
                *message.parts,
                *(inner for item in message.parts if isinstance(item, ToolResult) for inner in item.parts),
            )
            if isinstance(part, Image | File)
        ]
        fragments += tuple(
            image_fragment(part, provider=provider, model=prompt.model)
            if isinstance(part, Image)
            else file_fragment(part, paged=False)
            for part in media
        )
        return Rendering(fragments, estimated=bool(media) or prompt.opaque_reasoning or len(tools) != len(prompt.tools))


def load_template(tokenizer: Path) -> ChatTemplate | None:
    """Load the chat template that lies beside a ``tokenizer.json``; ``None`` where there is none.

    Raises:
        TokenizerError: If its files cannot be read, or the packages that it needs are not installed.
    """
    folder = tokenizer.parent
    config = _read_json(folder / _CONFIG)
    default, for_tools = _sources(folder, config)
    if default is None:
        return None
    try:
        from jinja2.exceptions import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from tokenizers import Tokenizer
    except ImportError as error:
        raise TokenizerError(
            f"{folder} holds a chat template, but the package {error.name} is not installed",
            remedy="pip install 'pytest-tokenbudget[tokenizers]'",
        ) from error
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _dumped
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        compiled = environment.from_string(default)
        compiled_for_tools = compiled if for_tools is None else environment.from_string(for_tools)
    except TemplateError as error:
        raise TokenizerError(
            f"{folder}: the chat template is no Jinja that can be read: {error}",
            remedy="download the model's tokenizer_config.json again",
        ) from error
    loaded: Any = Tokenizer.from_file(str(tokenizer))

    def spans(text: str) -> Sequence[tuple[int, int]]:
        offsets: Sequence[tuple[int, int]] = loaded.encode(_clean(text), add_special_tokens=False).offsets
        return offsets

    special = {name: _token(value) for name, value in config.items() if name.endswith("_token") and _token(value)}
    return ChatTemplate(folder, special, compiled, compiled_for_tools, spans)


def _sources(folder: Path, config: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The template, and another one for prompts with tools where there is one."""
    jinja = folder / _JINJA
    if jinja.is_file():
        try:
            return jinja.read_text(encoding="utf-8"), None
        except (OSError, ValueError) as error:
            raise TokenizerError(f"{jinja} cannot be read: {error}", remedy="download it again") from error
    given = config.get("chat_template") or _read_json(folder / _JSON).get("chat_template")
    if isinstance(given, list):
        named = {
            item["name"]: item["template"]
            for item in given
            if isinstance(item, dict) and {"name", "template"} <= item.keys()
        }
        return named.get("default"), named.get("tool_use")
    return (given, None) if isinstance(given, str) else (None, None)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(
            f"{path} cannot be read: {error}", remedy=f"download the model's {path.name} again"
        ) from error
    return found if isinstance(found, dict) else {}


def _token(value: object) -> str:
    """A special token as a text; some configurations describe it in an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _dumped(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    """JSON as templates write it: Jinja's own filter would escape for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateProblem(message)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _messages(messages: Iterable[Message]) -> tuple[list[dict[str, Any]], list[_Content]]:
    """The messages as templates expect them, and their texts in order."""
    shown: list[dict[str, Any]] = []
    contents: list[_Content] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            text = _text(result.parts)
            shown.append({"role": "tool", "name": result.name, "tool_call_id": result.id, "content": text})
            contents.append(_Content("tool_results", result.name, text))
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        if not rest and results:
            continue
        text = _text(rest)
        one: dict[str, Any] = {"role": message.role, "content": text}
        if thoughts := "".join(part.text for part in rest if isinstance(part, Reasoning)):
            one["reasoning_content"] = thoughts
            contents.append(_Content("assistant", "", thoughts))
        contents.append(_Content(_WHOLE_PARTS[message.role], "", text))
        if calls := [part for part in rest if isinstance(part, ToolCall)]:
            one["tool_calls"] = [_call(call) for call in calls]
            for call in calls:
                contents += [_Content("assistant", "", call.name), _Content("assistant", "", _dumped(_arguments(call)))]
        shown.append(one)
    return shown, contents


def _text(parts: Iterable[object]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def _call(call: ToolCall) -> dict[str, Any]:
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": _arguments(call)}}


def _arguments(call: ToolCall) -> Any:
    """The arguments as an object, as engines hand them to templates; the text itself where it is none."""
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return call.arguments


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    start: int
    end: int
    content: _Content


def _found(text: str, contents: Iterable[_Content]) -> Iterator[_Place]:
    """Find the contents in the rendered text, one behind the other; templates may trim them."""
    cursor = 0
    for content in contents:
        wanted = content.text.strip()
        start = text.find(wanted, cursor) if wanted else -1
        if start >= 0:
            cursor = start + len(wanted)
            yield _Place(start, cursor, content)


def _fragments(text: str, spans: Sequence[tuple[int, int]], places: Iterable[_Place]) -> Iterator[Fragment]:
    """The rendered text in pieces: contents, and the framing between them; each token is in the piece where it begins."""
    edges: list[tuple[int, _Content | None]] = [(0, None)]
    reached = 0
    for place in sorted(places, key=lambda place: (place.start, place.end)):
        if place.start >= reached:
            edges += [(place.start, place.content), (place.end, None)]
            reached = place.end
    ends = [start for start, _ in edges[1:]] + [len(text) + 1]
    tokens = iter(spans)
    token = next(tokens, None)
    for (start, content), end in zip(edges, ends, strict=True):
        number = 0
        while token is not None and token[0] < end:
            number += 1
            token = next(tokens, None)
        if not number:
            continue
        if content is None:
            yield Fragment("framing", identity=text[start:end], fixed=number * MILLI)
        else:
            yield Fragment(content.part, content.name, identity=content.text, fixed=number * MILLI)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
