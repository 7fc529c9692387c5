"""What OpenAI's chat completions and Responses share: messages, tool calls and their results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.prompt import File, Image, Message, Reasoning, Text, ToolCall, ToolResult
from pytest_tokenbudget.tokens.fragments import Fragment
from pytest_tokenbudget.tokens.media import file_fragment, image_fragment, image_known
from pytest_tokenbudget.tokens.memo import compact_json

PART_OF: dict[str, PartName] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool_results"}
"""The part of the composition that a role's texts belong to."""

Content = Text | Image | File


@dataclass(slots=True)
class Turn:
    """Consecutive messages that the model reads as one exchange with tools, or one plain message.

    Attributes:
        message: The first of them.
        calls: The tool calls of the assistant.
        results: What the tools returned.
    """

    message: Message
    calls: Sequence[ToolCall] = ()
    results: Sequence[ToolResult] = ()


def turns(messages: Sequence[Message], *, merge_calls: bool) -> Iterator[Turn]:
    """Messages grouped: calls with the results that follow them.

    Args:
        messages: The messages in order.
        merge_calls: Whether messages of nothing but calls that follow one another are one turn (Responses has an item
            for each parallel call).
    """
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        if message.plain:
            yield Turn(message)
            continue
        turn = Turn(message, _calls(message), _results(message))
        if turn.calls and merge_calls:
            while at < len(messages) and (more := _calls(messages[at])):
                turn.calls = [*turn.calls, *more]
                at += 1
        if turn.calls or turn.results:
            while at < len(messages) and messages[at].role == "tool":
                turn.results = [*turn.results, *_results(messages[at])]
                at += 1
        yield turn


def has_calls(message: Message) -> bool:
    """Whether a message holds tool calls."""
    return any(isinstance(part, ToolCall) for part in message.parts)


def _calls(message: Message) -> list[ToolCall]:
    return [part for part in message.parts if isinstance(part, ToolCall)]


def _results(message: Message) -> list[ToolResult]:
    return [part for part in message.parts if isinstance(part, ToolResult)]


def content(parts: Iterable[object], part: PartName, name: str, model: str) -> Iterator[Fragment]:
    """Fragments of a message's content; texts that stand side by side are one."""
    held: list[str] = []
    for item in parts:
        if isinstance(item, Text):
            held.append(item.text)
        elif isinstance(item, Image | File):
            if held:
                yield Fragment(part, name, "".join(held))
                held = []
            if isinstance(item, Image):
                yield image_fragment(item, provider="openai", model=model)
            else:
                yield file_fragment(item, paged=False)
    if held:
        yield Fragment(part, name, "".join(held))


def uncertain(parts: Iterable[object]) -> bool:
    """Whether a content holds what only an estimate can be given for."""
    for item in parts:
        if isinstance(item, ToolResult):
            if uncertain(item.parts):
                return True
        elif (
            (isinstance(item, File) and item.text is None)
            or (isinstance(item, Image) and not image_known(item))
            or (isinstance(item, Reasoning) and item.opaque)
        ):
            return True
    return False


def text_of(result: ToolResult) -> str:
    """All text of a tool result."""
    return "".join(part.text for part in result.parts if isinstance(part, Text))


def parsed(text: str) -> object:
    """A JSON text's value, the text itself where it is none."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def compact_arguments(arguments: str) -> str:
    """Arguments as the model wrote them: compact JSON."""
    value = parsed(arguments)
    return arguments if isinstance(value, str) else compact_json(value) or arguments
