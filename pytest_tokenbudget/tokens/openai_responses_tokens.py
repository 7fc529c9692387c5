"""Turns a Responses request into tokens.

The tools section and the response formats have the form of OpenAI's Harmony guide
(cookbook.openai.com/articles/openai-harmony, read 2026-11-24). The numbers are fitted, see
:mod:`pytest_tokenbudget.tokens.openai_chat_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_tokenbudget.records.prompt import Message, Prompt, Reasoning, Tool
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, Memo, Rendering, framing
from pytest_tokenbudget.tokens.openai_chat_tokens import (
    MESSAGE,
    PART_OF,
    Family,
    Turn,
    compact_arguments,
    content,
    family,
    turns,
    uncertain,
)
from pytest_tokenbudget.tokens.typescript import Dialect, namespace, response_format

_SEALED_OVERHEAD = 800
"""Characters of an encrypted reasoning item that are no reasoning."""

_ADDED_TOOLS = 90
"""A section of tools that were added in the course of the conversation, with its own preamble."""

_SEALED_MILLI = 140
"""Thousandths of a token a further character."""


def render(prompt: Prompt, memo: Memo) -> Rendering:
    """A Responses request as fragments: tools, then items, then what primes the answer."""
    kind = family(prompt.model)
    functions = [tool for tool in prompt.tools if tool.kind == "function"]
    added = [tool for tool in prompt.tools if tool.kind == "additional_tools"]
    fragments = [*_tools(functions, prompt.tool_choice, memo, kind)]
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
            fragments += _tool_turn(turn, kind, prompt.model)
        elif sealed := [part for part in turn.message.parts if isinstance(part, Reasoning)]:
            fragments += _sealed(sealed, current=id(turn.message) in recent)
        else:
            fragments += _message(turn.message, kind, prompt.model)
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


def _tools(functions: Sequence[Tool], choice: str | None, memo: Memo, kind: Family) -> Iterator[Fragment]:
    if not functions:
        return
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


def _message(message: Message, kind: Family, model: str) -> Iterator[Fragment]:
    yield framing(MESSAGE + (kind.assistant if message.role == "assistant" else 0), message.role)
    yield from content(message.parts, PART_OF[message.role], "", model)


def _tool_turn(turn: Turn, kind: Family, model: str) -> Iterator[Fragment]:
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
