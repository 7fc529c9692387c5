"""Measured profiles of model families whose tokenizer is not public, and how they turn a prompt into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.prompt import File, Image, Message, Prompt, Reasoning, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, Memo, Rendering, bare_model
from pytest_tokenbudget.tokens.media import file_fragment, image_fragment
from pytest_tokenbudget.tokens.openai_tokens import PART_OF


@dataclass(frozen=True, slots=True)
class Profile:
    """The tokens that a prompt costs a family of models, against its texts counted in ``o200k_base``.

    Attributes:
        name: Name of the family.
        n: Requests that it was fitted on.
        text: Tokens a token of text.
        start: Tokens of every prompt (hidden system prompt, begin, prime of the answer).
        message: Tokens a message.
        system: Tokens more where there is a system prompt.
        schema_start: Tokens more where the answer is to be JSON, whatever its schema.
        schema: Tokens a token of its schema's compact JSON.
        thinking: Tokens more where thinking is asked for.
        tools: Tokens of the tool prompt.
        forced: Tokens more where a tool must be called.
        tool: Tokens a tool.
        tool_text: Tokens a token of the tools' compact JSON.
        tool_words: Tokens a token of the words of the tools' declarations, for families that count these and not their
            JSON; 0 for all others.
        parameter: Tokens a parameter of such a declaration.
        call: Tokens a tool call in the history, beside its name and arguments.
        result: Tokens a tool result, beside its text.
        sealed: Tokens a character of encrypted reasoning; 0 where the model does not read it.
        splits_digits: Whether each digit of a number is a token (``o200k_base``: three).
        keeps_reasoning: Whether the model reads the reasoning of earlier turns too.
        drops_unused_tools: Whether tools cost nothing where none may be called.
    """

    name: str
    n: int = 0
    text: float = 1.0
    start: float = 3
    message: float = 4
    system: float = 0
    schema_start: float = 0
    schema: float = 1.0
    thinking: float = 0
    tools: float = 0
    forced: float = 0
    tool: float = 0
    tool_text: float = 1.0
    tool_words: float = 0
    parameter: float = 0
    call: float = 5
    result: float = 5
    sealed: float = 0
    splits_digits: bool = False
    keeps_reasoning: bool = False
    drops_unused_tools: bool = False


FITTED = "2026-11-27"
"""Date of the fit."""

DEFAULT = Profile("default", tools=40, call=9, schema_start=15)
"""Of all families that are not in the table: a template like most, no ratio."""


@dataclass(frozen=True, slots=True)
class Family:
    """The models that a profile was measured on.

    Attributes:
        pattern: Regular expression of their names, found where a word of the name begins.
        profile: What their prompts cost.
        providers: Regular expression of those who serve them so; ``""`` for all. A provider adds prompts of its own.
        api: The API that they are served so by; ``""`` for all.
    """

    pattern: str
    profile: Profile
    providers: str = ""
    api: str = ""


_VERTEX = Profile(
    "Gemini on Vertex, 1.5, 2.0",
    n=164,
    start=0,
    message=0,
    schema=0,
    tools=1.9,
    tool_words=1.07,
    call=0.3,
    result=0.3,
    splits_digits=True,
)

# A row a family.
# fmt: off
TABLE: tuple[Family, ...] = (
    Family(r"claude-(instant|v2|2)", Profile("Claude 2", n=10, text=1, start=1)),
    Family(r"claude-(3-(haiku|opus|sonnet|5)|3\.5)", Profile(
        "Claude 3, 3.5", n=112, text=1.1, start=6.7, message=0, system=-0.9, schema=0.814, tools=262, forced=103,
        tool_text=1.38, call=54.7)),
    Family(r"claude-3[-.]7", Profile(
        "Claude Sonnet 3.7", n=22, text=1.083, start=3.2, message=2.8, schema_start=375.4, thinking=29.8, tools=301.7,
        tool=5, tool_text=1.509, call=36.7)),
    Family(r"claude-((sonnet|opus)-4(-20|@|$|-0|:)|opus-4[-.]1|4-(sonnet|opus))", Profile(
        "Claude 4.0, 4.1", n=126, text=1.146, start=2.6, message=3.8, system=-5, thinking=28.6, tools=305.7,
        forced=-28.8, tool=7.7, tool_text=1.258, result=43.4)),
    Family(r"claude-((sonnet|haiku|opus)-4[-.][56]|4\.[56])", Profile(
        "Claude 4.5, 4.6", n=372, text=1.148, start=3.8, message=2.2, system=-1.6, schema_start=97.3, schema=1.972,
        thinking=29, tools=496.5, forced=97.8, tool_text=1.33, result=46.1)),
    Family(r"claude-opus-4[-.]7", Profile(
        "Claude Opus 4.7", n=16, text=1.27, start=3, message=4, system=-1.3, schema_start=185, tools=754, forced=125,
        tool_text=1.3, result=36, keeps_reasoning=True)),
    Family(r"claude-(opus|fable)", Profile(
        "Claude Opus 4.8 on", n=30, text=1.21, start=3.9, message=3.4, system=-1.3, schema_start=187, tools=257,
        forced=125, tool=16.3, tool_text=2, result=60, keeps_reasoning=True)),
    Family(r"claude-", Profile(
        "Claude Sonnet 5 on", n=56, text=1.29, start=3.6, message=3.9, system=-1.6, schema_start=184, tools=378,
        forced=122, tool_text=1.35, result=27.6, keeps_reasoning=True)),
    Family(r"gemini-(1|2\.0)", _VERTEX),
    Family(r"gemini-", _VERTEX, providers=r"gcp\.vertex_ai|vercel"),
    Family(r"gemini-2", Profile(
        "Gemini 2.5", n=428, start=0, message=1, schema=0, tool=20, tool_words=1.1, parameter=6, call=13,
        splits_digits=True, keeps_reasoning=True)),
    Family(r"gemini-", Profile(
        "Gemini 3", n=213, start=0, message=1, schema=0, tools=6, forced=18, tool=12, tool_words=1.23, parameter=15.5,
        sealed=0.196, splits_digits=True, keeps_reasoning=True)),
    Family(r"(mi|magi|mini|dev)stral-small", Profile(
        "Mistral Small", n=76, start=12.8, message=2.2, schema=0, schema_start=-12, tool_text=1.41, call=0, result=2,
        splits_digits=True, keeps_reasoning=True, drops_unused_tools=True), providers="mistral_ai"),
    Family(r"(mi|magi|mini|code|dev)stral|mixtral|pixtral|voxtral", Profile(
        "Mistral", n=127, start=-0.7, message=3.7, system=-3.7, schema=0, tools=7.5, forced=3.4, tool=13, call=0,
        result=0, splits_digits=True, keeps_reasoning=True, drops_unused_tools=True)),
    Family(r"grok-(4\.[2-9]|[5-9])", Profile(
        "Grok 4.3 and later", n=35, start=187, schema_start=17.7, tools=25, tool_text=1.12, call=0, result=0,
        sealed=0.163, keeps_reasoning=True)),
    Family(r"grok-4(-1)?-fast(-reasoning|$)|grok-4($|-0709)", Profile(
        "Grok 4, reasoning", n=10, start=147, tools=153, tool_text=0.8, call=25, result=60)),
    Family(r"grok", Profile(
        "Grok", n=25, text=0.975, start=-4.3, message=4.4, system=-5, tools=144.6, tool_text=0.996, result=9.6)),
    Family(r"deepseek", Profile(
        "DeepSeek in Responses", n=10, start=79, tools=227, result=22), providers="deepseek", api="openai.responses"),
    Family(r"deepseek", Profile(
        "DeepSeek", n=39, start=2, message=2, system=-2, tools=224.5, forced=8.6, tool_text=1.148, result=28.8,
        drops_unused_tools=True), providers="deepseek"),
    Family(r"deepseek", Profile("DeepSeek elsewhere", n=10, start=-1, system=-4, forced=-50)),
    Family(r"command-(a|r7b)", Profile(
        "Command A, R7B", n=44, start=491, system=30, schema_start=75, thinking=400, tools=872.1, forced=10.1,
        tool_text=1.398, result=67.9, keeps_reasoning=True)),
    Family(r"command", Profile("Command", n=10, text=1.35, start=-5, message=3.2, tools=828.2, tool=5)),
    Family(r"nova-2", Profile(
        "Nova 2", n=35, start=46, message=0, tools=819, tool=5, tool_text=1.02, result=30.1, splits_digits=True)),
    Family(r"nova", Profile(
        "Nova", n=29, start=-2.5, message=2.5, system=-2.5, tools=334.6, tool=5, tool_text=1.227, result=22.2,
        splits_digits=True)),
    Family(r"gpt-oss", Profile(
        "gpt-oss on Ollama", n=34, start=62, message=5, system=3, tools=14.6, tool_text=0.763, result=9),
        providers="ollama"),
    Family(r"gpt-oss", Profile(
        "gpt-oss", n=22, start=62, message=5, system=30, schema_start=70, forced=-21.1, tool_text=0.984, result=8)),
    Family(r"(code)?qwen", Profile(
        "Qwen", n=55, text=1.054, start=5.5, message=2.1, system=4, schema_start=88, tools=42.8, tool=5,
        tool_text=1.388, result=10.6, splits_digits=True)),
    Family(r"(code)?llama", Profile(
        "Llama", n=41, start=0, message=10, system=15, tools=489.2, forced=166.4, tool=43.2, tool_text=0.2,
        drops_unused_tools=True)),
    Family(r"glm", Profile("GLM", n=11, start=5, message=0, system=-5, schema=0.273, tool=5, keeps_reasoning=True)),
    Family(r"titan", Profile("Titan", n=15, text=1.062, start=-2.8, message=2.4, tool=5, splits_digits=True)),
    Family(r"palmyra", Profile("Palmyra", n=8, start=28, tool_text=2, call=0, result=0)),
    Family(r"sonar", Profile("Sonar", n=11, start=0.5, message=0.5, system=-0.5, schema=0, tool=5)),
)
# fmt: on
"""The families; the first that matches counts."""

_NAMELESS = {"cohere.": "Command A, R7B"}
"""Beginning of an API's name and the family that answers where a request names no model."""

_COMPILED = tuple(
    (re.compile(rf"(?<![a-z0-9])(?:{family.pattern})"), re.compile(family.providers or ".*"), family)
    for family in TABLE
)


def profile_of(provider: str, api: str, model: str) -> Profile:
    """Find the profile of a model by its name; :data:`DEFAULT` where no family has such a name.

    The names of a provider or an API are no models': what Ollama serves is no Llama for that.
    """
    name = bare_model(model)
    for pattern, providers, family in _COMPILED:
        if pattern.search(name) and providers.fullmatch(provider) and (not family.api or api.startswith(family.api)):
            return family.profile
    nameless = next((wanted for start, wanted in _NAMELESS.items() if not name and api.startswith(start)), None)
    return next((family.profile for family in TABLE if family.profile.name == nameless), DEFAULT)


def families() -> tuple[Profile, ...]:
    """All profiles, the default one last."""
    return (*dict.fromkeys(family.profile for family in TABLE), DEFAULT)


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


def render_profiled(prompt: Prompt, memo: Memo, profile: Profile, provider: str, *, exact_text: bool) -> Rendering:
    """A prompt as fragments by its family's profile; ``exact_text``: its own vocabulary counts, so that no ratio applies."""
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
    """The texts of a prompt, ``weight`` thousandths of a token per token of a text, and the ids that it has in place of texts."""
    ids = prompt.extra.get("token_ids", 0)
    fragments = [Fragment("user", identity=f"{ids} token ids", fixed=ids * MILLI)] if ids else []
    for message in prompt.messages:
        fragments += [
            Fragment("user", text=part.text, weight=weight) for part in message.parts if isinstance(part, Text)
        ]
    if isinstance(suffix := prompt.extra.get("suffix"), str):
        fragments.append(Fragment("user", text=suffix, weight=weight))
    return Rendering(tuple(fragments) or (Fragment("user", identity="nothing"),), estimated)
