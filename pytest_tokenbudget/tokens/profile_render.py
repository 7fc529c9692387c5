"""How a prompt becomes tokens where only a measured profile of the model's family is known."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tokenbudget.records.prompt import File, Image, Message, Prompt, Reasoning, Text, ToolCall, ToolResult
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment, Rendering
from pytest_tokenbudget.tokens.media import file_fragment, image_fragment
from pytest_tokenbudget.tokens.memo import Memo
from pytest_tokenbudget.tokens.openai_turns import PART_OF
from pytest_tokenbudget.tokens.profiles import Profile

_SEALED_BYTES_PER_TOKEN = 5


def render(prompt: Prompt, memo: Memo, profile: Profile, provider: str, *, exact_text: bool) -> Rendering:
    """A prompt as fragments by its family's profile.

    Args:
        prompt: The prompt.
        memo: Renders each definition once.
        profile: The family's profile.
        provider: Provider, which decides the images' formula.
        exact_text: Whether the texts are counted by the model's own vocabulary, so that no ratio applies.
    """
    text = MILLI if exact_text else _milli(profile.text)
    fragments = [Fragment("framing", identity="start", fixed=_milli(profile.start))]
    fragments += _tools(prompt, memo, profile, text if exact_text else None)
    if prompt.output_schema is not None and profile.schema:
        schema = memo.compact(prompt.output_schema.schema)
        fragments.append(Fragment("framing", text=schema, weight=_milli(profile.schema)))
    for message in prompt.messages:
        system = profile.system if message.role == "system" else 0.0
        fragments.append(Fragment("framing", identity=message.role, fixed=_milli(profile.message + system)))
        fragments += _message(message, profile, provider, prompt.model.lower(), text)
    return Rendering(tuple(fragments), estimated=True)


def _tools(prompt: Prompt, memo: Memo, profile: Profile, text: int | None) -> Iterator[Fragment]:
    if not prompt.tools:
        return
    yield Fragment("framing", identity="tools", fixed=_milli(profile.tools))
    for tool in prompt.tools:
        definition = memo.compact(tool.definition or {"name": tool.name})
        weight = _milli(profile.tool_text) if text is None else text
        yield Fragment("tools", tool.name, definition, weight=weight, fixed=_milli(profile.tool))


def _message(message: Message, profile: Profile, provider: str, model: str, weight: int) -> Iterator[Fragment]:
    part = PART_OF[message.role]
    for item in message.parts:
        if isinstance(item, Text):
            yield Fragment(part, text=item.text, weight=weight)
        elif isinstance(item, ToolCall):
            yield Fragment("assistant", text=item.name + item.arguments, weight=weight, fixed=_milli(profile.call))
        elif isinstance(item, ToolResult):
            yield Fragment("framing", identity="result", fixed=_milli(profile.result))
            for inner in item.parts:
                if isinstance(inner, Text):
                    yield Fragment("tool_results", item.name, inner.text, weight=weight)
                else:
                    yield _medium(inner, provider, model)
        elif isinstance(item, Reasoning):
            sealed = item.size // _SEALED_BYTES_PER_TOKEN * MILLI if item.opaque and not item.text else 0
            yield Fragment(
                "assistant", text=item.text, weight=weight, fixed=sealed, identity=item.text or f"sealed {item.size}"
            )
        else:
            yield _medium(item, provider, model)


def _medium(item: Image | File, provider: str, model: str) -> Fragment:
    return image_fragment(item, provider=provider, model=model) if isinstance(item, Image) else file_fragment(item)


def _milli(tokens: float) -> int:
    return round(tokens * MILLI)
