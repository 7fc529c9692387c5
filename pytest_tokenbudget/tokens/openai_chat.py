"""How a chat completions request becomes tokens.

Sources: the cookbook's "How to count tokens with tiktoken" (github.com/openai/openai-cookbook, read 2026-11-24) for plain
messages; OpenAI's Harmony guide for the tools section, the response formats and the headers of tool messages; the rest
is fitted, see :mod:`pytest_tokenbudget.tokens.openai_rules`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pytest_tokenbudget.records.prompt import Message, Prompt, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment, Rendering, framing
from pytest_tokenbudget.tokens.memo import Memo
from pytest_tokenbudget.tokens.openai_rules import MESSAGE, Family, family
from pytest_tokenbudget.tokens.openai_tools import namespace, response_format
from pytest_tokenbudget.tokens.openai_turns import (
    PART_OF,
    Turn,
    compact_arguments,
    content,
    has_calls,
    parsed,
    text_of,
    turns,
    uncertain,
)
from pytest_tokenbudget.tokens.typescript import Dialect

_PARALLEL = 20
"""``assistant to=multi_tool_use.parallel`` and its results' header, with the starts and ends of both messages."""


def render(prompt: Prompt, memo: Memo) -> Rendering:
    """A chat completions request as fragments: tools, then messages, then what primes the answer."""
    kind = family(prompt.model)
    functions = [tool for tool in prompt.tools if tool.kind == "function"]
    instructed = any(message.role == "system" for message in prompt.messages)
    extended = bool(functions) if kind.gpt5 else bool(functions or prompt.output_schema) and not kind.reasoning
    fragments = [*_tools(functions, prompt.tool_choice, memo, kind, instructed=instructed)]
    fragments += _schema(prompt, kind, instructed=instructed, tools=bool(functions))
    for turn in turns(prompt.messages, merge_calls=False):
        if turn.calls or turn.results:
            fragments += _tool_turn(turn, kind, prompt.model)
        else:
            fragments += _message(turn.message, kind, prompt.model, extended=extended)
            extended = extended and turn.message.role != "system"
    fragments.append(framing(kind.prime, "prime"))
    estimated = (
        prompt.opaque_reasoning
        or len(functions) != len(prompt.tools)
        or any(not message.plain and uncertain(message.parts) for message in prompt.messages)
    )
    return Rendering(tuple(fragments), estimated)


def _tools(
    functions: Sequence[Tool], choice: str | None, memo: Memo, kind: Family, *, instructed: bool
) -> Iterator[Fragment]:
    if not functions:
        return
    if kind.gpt5:
        yield framing(89 if instructed else 90, "tools")
    elif kind.reasoning:
        yield framing(9, "tools")
    else:
        # the section joins the system message; without one it makes its own
        yield framing(5 if instructed else 5 + MESSAGE, "tools")
    yield from namespace(functions, memo, Dialect(unions_explained=True), apart=kind.reasoning)
    if choice in {tool.name for tool in functions} and not kind.reasoning:
        yield Fragment("framing", text=choice or "", identity="tool_choice", fixed=7 * MILLI)


def _schema(prompt: Prompt, kind: Family, *, instructed: bool, tools: bool) -> Iterator[Fragment]:
    """The schema of a structured output, and its name in the header of each answer that is no tool call."""
    if prompt.output_schema is None:
        return
    yield Fragment("framing", text=response_format(prompt.output_schema))
    answers = sum(message.role == "assistant" and not has_calls(message) for message in prompt.messages)
    answers += not tools
    own_message = 1 if tools else 0 if instructed or kind.reasoning else MESSAGE
    if kind.reasoning:
        yield framing(4 * answers + own_message, "format")
        return
    name = prompt.output_schema.name
    yield Fragment(
        "framing", text=name, identity="format", weight=answers * MILLI, fixed=(2 * answers + own_message) * MILLI
    )


def _message(message: Message, kind: Family, model: str, *, extended: bool) -> Iterator[Fragment]:
    part = PART_OF[message.role]
    yield framing(MESSAGE + (kind.assistant if message.role == "assistant" else 0), message.role)
    if message.name:
        yield Fragment("framing", text=f":{message.name}")
    if extended and message.role == "system":
        # what follows the instructions begins with a blank line, which may melt into their last token
        text = "".join(item.text for item in message.parts if isinstance(item, Text))
        yield Fragment(part, text=f"{text}\n\n", identity=text)
        return
    yield from content(message.parts, part, "", model)


def _tool_turn(turn: Turn, kind: Family, model: str) -> Iterator[Fragment]:
    said = "".join(item.text for item in turn.message.parts if isinstance(item, Text)) if turn.calls else ""
    if turn.calls and turn.message.name:
        yield Fragment("framing", text=f":{turn.message.name}")
    if said:
        yield framing(MESSAGE + kind.assistant, "assistant")
        yield Fragment("assistant", text=said)
    if len(turn.calls) > 1:
        yield from _parallel(turn.calls, turn.results, kind)
        return
    for call in turn.calls:
        # the call's header has ` to=functions.`, the name and the arguments' format; the result's header the whole name
        yield framing(18 if kind.harmony else 12, "call")
        yield Fragment("assistant", text=call.name)
        yield Fragment("framing", text=f"functions.{call.name}")
        yield Fragment("assistant", text=compact_arguments(call.arguments))
    for result in turn.results:
        if not turn.calls:
            yield framing(MESSAGE, "result")
            yield Fragment("framing", text=result.name)
        yield from content(result.parts, "tool_results", result.name, model)


def _parallel(calls: Sequence[ToolCall], results: Sequence[ToolResult], kind: Family) -> Iterator[Fragment]:
    """Parallel calls are one call of ``multi_tool_use.parallel``, their results one JSON array.

    The array is written as Python's ``json.dumps`` writes it, objects as objects and not as their text (reported in
    community.openai.com/t/1375117, read 2026-11-24). Until early 2026 it was ASCII only; recorded requests since are not.
    """
    uses = [{"recipient_name": f"functions.{call.name}", "parameters": parsed(call.arguments)} for call in calls]
    yield framing(_PARALLEL + (6 if kind.reasoning else 0), "parallel")
    yield Fragment("assistant", text=json.dumps({"tool_uses": uses}, separators=(",", ":"), ensure_ascii=False))
    opening = "["
    for result in results:
        text = text_of(result)
        value = parsed(text)
        shown = json.dumps(value if isinstance(value, dict | list) else text, ensure_ascii=False)
        shown = opening + shown
        cut = _before_punctuation(shown)
        yield Fragment("tool_results", result.name, shown[:cut], identity=text)
        opening = f"{shown[cut:]}, "
    if results:
        yield Fragment("framing", text=f"{opening.removesuffix(', ')}]")


def _before_punctuation(text: str) -> int:
    """Where the punctuation begins that a text ends with: encodings split there and not behind it."""
    cut = len(text)
    while cut and not (text[cut - 1].isalnum() or text[cut - 1].isspace()):
        cut -= 1
    return cut - 1 if cut and text[cut - 1] == " " else cut
