"""Turns chat completions and Responses requests into tokens.

Sources: the cookbook's "How to count tokens with tiktoken" (github.com/openai/openai-cookbook, read 2026-11-24) for plain
messages; OpenAI's Harmony guide (cookbook.openai.com/articles/openai-harmony, read 2026-11-24) for the tools section, the
response formats and the headers of tool messages; the rest is fitted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.prompt import File, Image, Message, Prompt, Reasoning, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, Memo, Rendering, bare_model, compact_json, framing

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
    """Tell whether a message holds tool calls."""
    return any(isinstance(part, ToolCall) for part in message.parts)


def _calls(message: Message) -> list[ToolCall]:
    return [part for part in message.parts if isinstance(part, ToolCall)]


def _results(message: Message) -> list[ToolResult]:
    return [part for part in message.parts if isinstance(part, ToolResult)]


def content(parts: Sequence[object], part: PartName, name: str, model: str) -> list[Fragment]:
    """Fragments of a message's content; texts that stand side by side are one."""
    if len(parts) == 1 and isinstance(only := parts[0], Text):
        return [Fragment(part, name, only.text)]
    fragments: list[Fragment] = []
    held: list[str] = []
    for item in parts:
        if isinstance(item, Text):
            held.append(item.text)
        elif isinstance(item, Image | File):
            if held:
                fragments.append(Fragment(part, name, "".join(held)))
                held = []
            from pytest_tokenbudget.tokens.media import file_fragment, image_fragment

            if isinstance(item, Image):
                fragments.append(image_fragment(item, provider="openai", model=model))
            else:
                fragments.append(file_fragment(item, paged=False))
    if held:
        fragments.append(Fragment(part, name, "".join(held)))
    return fragments


def uncertain(parts: Iterable[object]) -> bool:
    """Tell whether a content holds what only an estimate can be given for."""
    for item in parts:
        if isinstance(item, ToolResult):
            if uncertain(item.parts):
                return True
        elif (
            (isinstance(item, File) and item.text is None)
            or (isinstance(item, Image) and not item.is_sized)
            or (isinstance(item, Reasoning) and item.opaque)
        ):
            return True
    return False


def text_of(result: ToolResult) -> str:
    """All text of a tool result."""
    return "".join(part.text for part in result.parts if isinstance(part, Text))


def parsed(text: str) -> object:
    """A JSON text's value, the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def compact_arguments(arguments: str) -> str:
    """Arguments as the model wrote them: compact JSON."""
    value = parsed(arguments)
    return arguments if isinstance(value, str) else compact_json(value) or arguments


_REASONING = re.compile(r"o[1-9](?:$|-)|gpt-[5-9]|codex|computer-use")
_GPT5 = re.compile(r"gpt-[5-9]")
_EARLY = re.compile(r"o[1-9](?:$|-)|codex|computer-use|gpt-5(?:$|-)")
_BEFORE_HARMONY = re.compile(r"o1(?:$|-)|o3-mini")

MESSAGE = 4
"""Start, role, separator and end of a message."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models by the format that its prompts are written in.

    Attributes:
        reasoning: Harmony rather than ChatML: messages of the assistant name their channel.
        gpt5: A GPT-5 model or a later one, which has its own preamble for tools.
        early: A reasoning model before GPT-5.1: in Responses, a call that is sent back does not name its arguments' format.
        harmony: Whether chat completions name channel and recipient of tool messages too; o1 and o3-mini are older than that.
    """

    reasoning: bool
    gpt5: bool
    early: bool
    harmony: bool

    @property
    def response_tools(self) -> int:
        """Tokens in front of the tools in Responses."""
        if self.gpt5:
            return 8
        return 5 if self.reasoning else 3

    @property
    def prime(self) -> int:
        """Tokens that prime the answer; reasoning models choose the channel themselves."""
        return 2 if self.reasoning else 3

    @property
    def assistant(self) -> int:
        """Tokens of the channel in the header of an assistant's message."""
        return 2 if self.reasoning else 0

    def response_calls(self, count: int, *, stored: bool) -> int:
        """Tokens of the headers of calls that stand side by side in Responses, and of their results, beside the names.

        Args:
            count: Number of calls.
            stored: Whether the server puts what the model wrote in the place of a single call: it named the format.
        """
        if self.reasoning and not self.early:
            return 18 if count == 1 else 19 * count + 8
        return (15 if self.reasoning else 9) * count + (3 if stored and count == 1 else 0)


@lru_cache(maxsize=256)
def family(model: str) -> Family:
    """The family of a model, by its name."""
    name = bare_model(model)
    reasoning = _REASONING.match(name) is not None
    return Family(
        reasoning=reasoning,
        gpt5=_GPT5.match(name) is not None,
        early=_EARLY.match(name) is not None,
        harmony=reasoning and _BEFORE_HARMONY.match(name) is None,
    )


_HOSTED = re.compile(r"(?:ft:)?(?:gpt-|chatgpt-|o[1-9](?:$|-)|codex-|computer-use)")


@lru_cache(maxsize=256)
def is_openai(api: str, model: str) -> bool:
    """Tell whether a prompt is read by a model of OpenAI's own API, so that these rules apply and not a profile."""
    name = bare_model(model)
    hosted = _HOSTED.match(name) is not None and not name.startswith("gpt-oss")
    return hosted and api.startswith(("openai.chat", "openai.responses"))


_PARALLEL = 20
"""``assistant to=multi_tool_use.parallel`` and its results' header, with the starts and ends of both messages."""


def render_chat(prompt: Prompt, memo: Memo) -> Rendering:
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
    from pytest_tokenbudget.tokens.typescript import Dialect, namespace

    yield from namespace(functions, memo, Dialect(unions_explained=True), apart=kind.reasoning)
    if choice in {tool.name for tool in functions} and not kind.reasoning:
        yield Fragment("framing", text=choice or "", identity="tool_choice", fixed=7 * MILLI)


def _schema(prompt: Prompt, kind: Family, *, instructed: bool, tools: bool) -> Iterator[Fragment]:
    """The schema of a structured output, and its name in the header of each answer that is no tool call."""
    if prompt.output_schema is None:
        return
    from pytest_tokenbudget.tokens.typescript import response_format

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


def _message(message: Message, kind: Family, model: str, *, extended: bool) -> list[Fragment]:
    part = PART_OF[message.role]
    header = framing(MESSAGE + (kind.assistant if message.role == "assistant" else 0), message.role)
    fragments = [header, Fragment("framing", text=f":{message.name}")] if message.name else [header]
    if extended and message.role == "system":
        # what follows the instructions begins with a blank line, which may melt into their last token
        text = "".join([item.text for item in message.parts if isinstance(item, Text)])
        fragments.append(Fragment(part, text=f"{text}\n\n", identity=text))
    else:
        fragments += content(message.parts, part, "", model)
    return fragments


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
    """Find where the punctuation begins that a text ends with: encodings split there and not behind it."""
    cut = len(text)
    while cut and not (text[cut - 1].isalnum() or text[cut - 1].isspace()):
        cut -= 1
    return cut - 1 if cut and text[cut - 1] == " " else cut


_SEALED_OVERHEAD = 800
"""Characters of an encrypted reasoning item that are no reasoning."""

_ADDED_TOOLS = 90
"""A section of tools that were added in the course of the conversation, with its own preamble."""

_SEALED_MILLI = 140
"""Thousandths of a token a further character."""


def render_responses(prompt: Prompt, memo: Memo) -> Rendering:
    """A Responses request as fragments: tools, then items, then what primes the answer."""
    from pytest_tokenbudget.tokens.typescript import Dialect, namespace, response_format

    kind = family(prompt.model)
    functions = [tool for tool in prompt.tools if tool.kind == "function"]
    added = [tool for tool in prompt.tools if tool.kind == "additional_tools"]
    fragments = [*_responses_tools(functions, prompt.tool_choice, memo, kind)]
    if added:
        fragments += [framing(_ADDED_TOOLS, "additional_tools"), *namespace(added, memo, Dialect(), apart=True)]
    if prompt.output_schema is not None:
        fragments.append(Fragment("framing", text=response_format(prompt.output_schema)))
        fragments.append(framing(0 if kind.reasoning else 1, "format"))
    items = [message for message in prompt.messages if not _silent(message)]
    asked = max((at for at, item in enumerate(items) if item.role == "user"), default=-1)
    recent = {id(item) for item in items[asked + 1 :]}
    for turn in turns(items, merge_calls=True):
        if turn.calls or turn.results:
            fragments += _responses_tool_turn(turn, kind, prompt.model)
        elif sealed := [part for part in turn.message.parts if isinstance(part, Reasoning)]:
            fragments += _sealed(sealed, current=id(turn.message) in recent)
        else:
            fragments += _message(turn.message, kind, prompt.model, extended=False)
    fragments.append(framing(kind.prime, "prime"))
    asked_to_reason = prompt.extra.get("reasoning")
    estimated = (
        prompt.opaque_reasoning
        # the mode `pro` has a long prompt of its own, which is not public
        or (isinstance(asked_to_reason, dict) and asked_to_reason.get("mode") not in (None, "standard"))
        or len(functions) + len(added) != len(prompt.tools)
        or any(uncertain(message.parts) for message in prompt.messages)
    )
    return Rendering(tuple(fragments), estimated)


def _silent(message: Message) -> bool:
    """Reasoning of earlier turns that is sent back in clear: its summary is not what the model reads."""
    return bool(message.parts) and all(isinstance(part, Reasoning) and not part.opaque for part in message.parts)


def _responses_tools(functions: Sequence[Tool], choice: str | None, memo: Memo, kind: Family) -> Iterator[Fragment]:
    if not functions:
        return
    from pytest_tokenbudget.tokens.typescript import Dialect, namespace

    yield framing(kind.response_tools, "tools")
    yield from namespace(functions, memo, Dialect(), apart=kind.reasoning)
    # where one tool is all that there is to call, it is forced by its name
    forced = functions[0].name if choice == "required" and len(functions) == 1 else choice
    if forced in {tool.name for tool in functions} and not kind.reasoning:
        yield Fragment("framing", text=forced or "", identity="tool_choice", fixed=7 * MILLI)


def _sealed(items: Sequence[Reasoning], *, current: bool) -> Iterator[Fragment]:
    """Encrypted reasoning: the model reads that of the current turn, what precedes the user's last message is dropped.

    (OpenAI, "Reasoning models", "Keeping reasoning items in context", read 2026-11-24; tokens by size: fitted.)
    """
    for item in items:
        tokens = max(0, item.size - _SEALED_OVERHEAD) * _SEALED_MILLI if current else 0
        yield Fragment("assistant", identity=f"reasoning {item.size}", fixed=tokens)


def _responses_tool_turn(turn: Turn, kind: Family, model: str) -> Iterator[Fragment]:
    count = len(turn.calls)
    if count:
        stored = turn.calls[0].stored
        yield framing(kind.response_calls(count, stored=stored), "call")
    for call in turn.calls:
        yield Fragment("assistant", text=f"functions.{call.name}", weight=2 * MILLI)
        yield Fragment("assistant", text=compact_arguments(call.arguments) if kind.reasoning else call.arguments)
    for result in turn.results:
        if not count:
            yield framing(MESSAGE, "result")
        yield from content(result.parts, "tool_results", result.name, model)
