"""Turns a prompt into tokens where only a measured profile of the model's family is known, or no template surrounds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.prompt import File, Image, Message, Prompt, Reasoning, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, Memo, Rendering
from pytest_tokenbudget.tokens.media import file_fragment, image_fragment
from pytest_tokenbudget.tokens.openai_tokens import PART_OF
from pytest_tokenbudget.tokens.profiles import Profile

_DEEP = 16
"""Levels after which a schema is not looked into: a recursive one has no end."""


def declaration(tool: Tool) -> str:
    """The words of a tool: a line of its own name and description, then one for each parameter, nested ones too."""
    own = [tool.name, tool.description or ""]
    lines: list[str] = []
    own += _words(tool.parameters, lines, 0)
    return "\n".join([_line(own), *lines])


def _words(schema: Any, lines: list[str], depth: int) -> Iterator[str]:
    """The words of a schema itself; those of its properties are added to ``lines``."""
    if not isinstance(schema, dict) or depth > _DEEP:
        return
    for key in ("title", "format", "description"):
        if isinstance(schema.get(key), str):
            yield schema[key]
    for key in ("enum", "required"):
        if isinstance(schema.get(key), list):
            yield from map(str, schema[key])
    for key in ("properties", "$defs"):
        if isinstance(schema.get(key), dict):
            for name, inner in schema[key].items():
                lines.append(_line([str(name), *_words(inner, lines, depth + 1)]))
    yield from _words(schema.get("items"), lines, depth + 1)
    for key in ("anyOf", "any_of", "oneOf"):
        if isinstance(schema.get(key), list):
            for variant in schema[key]:
                yield from _words(variant, lines, depth + 1)


def _line(words: list[str]) -> str:
    return " ".join(" ".join(words).split())


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes fragments; ``exact_text``: the texts are counted by the model's own vocabulary, so that no ratio applies."""

    profile: Profile
    provider: str
    model: str
    memo: Memo
    exact_text: bool

    def text(self, part: PartName, name: str, text: str, more: float = 0) -> Fragment:
        """A text, with the amount that goes with it."""
        if self.exact_text:
            return Fragment(part, name, text, fixed=_milli(more))
        fixed = _milli(more) + (self.memo.split_digits(text) * MILLI if self.profile.splits_digits else 0)
        return Fragment(part, name, text, weight=_milli(self.profile.text), fixed=fixed)

    def medium(self, item: Image | File) -> Fragment:
        """An image or a file."""
        if isinstance(item, Image):
            return image_fragment(item, provider=self.provider, model=self.model)
        return file_fragment(item, paged="claude" in self.model or self.provider == "anthropic")


def render(prompt: Prompt, memo: Memo, profile: Profile, provider: str, *, exact_text: bool) -> Rendering:
    """A prompt as fragments by its family's profile.

    Args:
        prompt: The prompt.
        memo: Renders each definition once.
        profile: The family's profile.
        provider: Provider, which decides the images' formula.
        exact_text: Whether the texts are counted by the model's own vocabulary, so that no ratio applies.
    """
    writer = _Writer(profile, provider, prompt.model.lower(), memo, exact_text)
    fragments = [Fragment("framing", identity="start", fixed=_milli(_start(prompt, profile))), *_tools(prompt, writer)]
    if prompt.output_schema is not None:
        schema = memo.compact(prompt.output_schema.schema)
        fragments.append(Fragment("framing", text=schema, weight=_milli(profile.schema)))
    asked = max((at for at, message in enumerate(prompt.messages) if message.role == "user"), default=-1)
    for at, message in enumerate(prompt.messages):
        fragments.append(Fragment("framing", identity=message.role, fixed=_milli(profile.message)))
        fragments += _message(message, writer, reasoning=at > asked or profile.keeps_reasoning)
    return Rendering(tuple(fragments), estimated=True)


def _start(prompt: Prompt, profile: Profile) -> float:
    """Tokens of what every prompt has and of what the request switches on."""
    start = profile.start
    if _thinks(prompt):
        start += profile.thinking
    if any(message.role == "system" for message in prompt.messages):
        start += profile.system
    if prompt.output_schema is not None or prompt.extra.get("response_format"):
        start += profile.schema_start
    return start


def _tools(prompt: Prompt, writer: _Writer) -> Iterator[Fragment]:
    profile = writer.profile
    if not prompt.tools or (prompt.tool_choice == "none" and profile.drops_unused_tools):
        return
    forced = profile.forced if prompt.tool_choice not in (None, "auto", "none") else 0
    yield Fragment("framing", identity="tools", fixed=_milli(profile.tools + forced))
    for tool in prompt.tools:
        content = tool.definition or {"name": tool.name}
        if profile.tool_words:
            shown = writer.memo.render("declaration", content, partial(declaration, tool))
            weight, fixed = profile.tool_words, profile.tool + profile.parameter * shown.count("\n")
        else:
            shown, weight, fixed = writer.memo.compact(content), profile.tool_text, profile.tool
        weight = 1 if writer.exact_text else weight
        yield Fragment("tools", tool.name, shown, weight=_milli(weight), fixed=_milli(fixed))


def _message(message: Message, writer: _Writer, *, reasoning: bool) -> Iterator[Fragment]:
    profile = writer.profile
    for item in message.parts:
        if isinstance(item, Text):
            yield writer.text(PART_OF[message.role], "", item.text)
        elif isinstance(item, ToolCall):
            yield writer.text("assistant", "", item.name + item.arguments, profile.call)
        elif isinstance(item, ToolResult):
            yield Fragment("framing", identity="result", fixed=_milli(profile.result))
            for inner in item.parts:
                if isinstance(inner, Text):
                    yield writer.text("tool_results", item.name, inner.text)
                else:
                    yield writer.medium(inner)
        elif not isinstance(item, Reasoning):
            yield writer.medium(item)
        elif reasoning and item.opaque and (profile.sealed or not item.text):
            yield Fragment("assistant", identity=f"sealed {item.size}", fixed=_milli(profile.sealed * item.size))
        elif reasoning:
            yield writer.text("assistant", "", item.text)


def _thinks(prompt: Prompt) -> bool:
    """Tell whether the request asks for thinking, in Anthropic's words or through Bedrock."""
    asked = prompt.extra.get("thinking")
    more = prompt.extra.get("additionalModelRequestFields")
    if asked is None and isinstance(more, dict):
        asked = more.get("thinking")
    return bool(asked) and not (isinstance(asked, dict) and asked.get("type") == "disabled")


def _milli(tokens: float) -> int:
    return round(tokens * MILLI)


BARE_APIS = frozenset(
    {
        "alephalpha.complete",
        "cohere.embed",
        "google.embed_content",
        "google.predict_embed",
        "huggingface.text_generation",
        "ollama.embed",
        "openai.completions",
        "openai.embeddings",
    }
)
"""The wire formats whose texts reach the model as they stand."""


def render_bare(prompt: Prompt, *, weight: int, estimated: bool) -> Rendering:
    """The texts of a prompt, and as many tokens as it has ids in place of texts.

    Args:
        prompt: The prompt.
        weight: Thousandths of a token per token of a text.
        estimated: Whether that is a guess.
    """
    ids = prompt.extra.get("token_ids", 0)
    fragments = [Fragment("user", identity=f"{ids} token ids", fixed=ids * MILLI)] if ids else []
    for message in prompt.messages:
        fragments += [
            Fragment("user", text=part.text, weight=weight) for part in message.parts if isinstance(part, Text)
        ]
    if isinstance(suffix := prompt.extra.get("suffix"), str):
        fragments.append(Fragment("user", text=suffix, weight=weight))
    return Rendering(tuple(fragments) or (Fragment("user", identity="nothing"),), estimated)
