"""How a Responses request becomes tokens.

The tools section and the response formats have the form of OpenAI's Harmony guide
(cookbook.openai.com/articles/openai-harmony, read 2026-11-24). The numbers are fitted, see
:mod:`pytest_tokenbudget.tokens.openai_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_tokenbudget.records.prompt import Message, Prompt, Reasoning, Tool
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment, Rendering, framing
from pytest_tokenbudget.tokens.memo import Memo
from pytest_tokenbudget.tokens.openai_rules import MESSAGE, Family, family
from pytest_tokenbudget.tokens.openai_tools import namespace, response_format
from pytest_tokenbudget.tokens.openai_turns import PART_OF, Turn, compact_arguments, content, turns, uncertain
from pytest_tokenbudget.tokens.typescript import Dialect

_SEALED_BYTES_PER_TOKEN = 5
"""Encrypted reasoning holds about this many base64 characters a token."""


def render(prompt: Prompt, memo: Memo) -> Rendering:
    """A Responses request as fragments: tools, then items, then what primes the answer."""
    kind = family(prompt.model)
    functions = [tool for tool in prompt.tools if tool.kind == "function"]
    fragments = [*_tools(functions, prompt.tool_choice, memo, kind)]
    if prompt.output_schema is not None:
        fragments.append(Fragment("framing", text=response_format(prompt.output_schema)))
        fragments.append(framing(0 if kind.reasoning else 1, "format"))
    items = [message for message in prompt.messages if not _silent(message)]
    for turn in turns(items, merge_calls=True):
        if turn.calls or turn.results:
            fragments += _tool_turn(turn, kind, prompt.model)
        else:
            fragments += _message(turn.message, kind, prompt.model)
    fragments.append(framing(kind.prime, "prime"))
    estimated = (
        prompt.opaque_reasoning
        or len(functions) != len(prompt.tools)
        or any(uncertain(message.parts) for message in prompt.messages)
    )
    return Rendering(tuple(fragments), estimated)


def _silent(message: Message) -> bool:
    """Reasoning of earlier turns that is sent back in clear: its summary is not what the model reads."""
    return bool(message.parts) and all(isinstance(part, Reasoning) and not part.opaque for part in message.parts)


def _tools(functions: Sequence[Tool], choice: str | None, memo: Memo, kind: Family) -> Iterator[Fragment]:
    if not functions:
        return
    yield framing(8 if kind.reasoning else 3, "tools")
    yield from namespace(functions, memo, Dialect(), apart=kind.reasoning)
    if choice in {tool.name for tool in functions} and not kind.reasoning:
        yield Fragment("framing", text=choice or "", identity="tool_choice", fixed=7 * MILLI)


def _message(message: Message, kind: Family, model: str) -> Iterator[Fragment]:
    part = PART_OF[message.role]
    sealed = [item for item in message.parts if isinstance(item, Reasoning)]
    for item in sealed:
        tokens = item.size // _SEALED_BYTES_PER_TOKEN
        yield Fragment("assistant", identity=f"reasoning {item.size}", fixed=tokens * MILLI)
    if len(sealed) == len(message.parts) and sealed:
        return
    yield framing(MESSAGE + (kind.assistant if message.role == "assistant" else 0), message.role)
    yield from content(message.parts, part, "", model)


def _tool_turn(turn: Turn, kind: Family, model: str) -> Iterator[Fragment]:
    count = len(turn.calls)
    if count == 1:
        yield framing(18 if kind.reasoning else 12, "call")
    elif count:
        yield framing(46 + 19 * (count - 2) if kind.reasoning else 18 + 9 * (count - 2), "parallel")
    for call in turn.calls:
        yield Fragment("assistant", text=f"functions.{call.name}", weight=2 * MILLI)
        yield Fragment("assistant", text=compact_arguments(call.arguments))
    for result in turn.results:
        if not count:
            yield framing(MESSAGE, "result")
        yield from content(result.parts, "tool_results", result.name, model)
