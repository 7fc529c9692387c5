"""The builders with which a script is written.

text("Booked.", usage=(1200, 40), ttft=0.4, tokens_per_second=60)
tool_call("calendar_read", day="2026-03-17")
parallel(tool_call("weather", city="Rome"), tool_call("weather", city="Oslo"), reasoning="Both at once.")
error(429, retry_after=2)
timeout(after=30)
cut(text("Booked, and the rest"), after_chunks=3)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_tokenbudget.errors import ScriptError
from pytest_tokenbudget.records.reply import Called, Reply, UsageLike, dump, usage_of


def text(
    said: object,
    *,
    reasoning: str = "",
    usage: UsageLike | None = None,
    finish: str = "",
    model: str = "",
    ttft: float | None = None,
    tokens_per_second: float | None = None,
    duration: float | None = None,
) -> Reply:
    """Build an answer in words.

    Args:
        said: The words; anything but a string is written as JSON (structured output).
        reasoning: What the model thought before.
        usage: Its tokens, see :data:`UsageLike`; counted locally where not given.
        finish: Why it stopped, ``"stop"`` by default (``"length"``, ``"content_filter"``).
        model: The model that it says it is.
        ttft: Time to the first content, virtual s.
        tokens_per_second: Output tokens in a virtual second.
        duration: Whole duration, virtual s.
    """
    return Reply(
        text=said if isinstance(said, str) else dump(said),
        reasoning=reasoning,
        usage=usage_of(usage),
        finish=finish,
        model=model,
        ttft=ttft,
        tokens_per_second=tokens_per_second,
        duration=duration,
    )


def tool_call(name: str, /, **arguments: Any) -> Reply:
    """Build an answer that calls one tool. Set usage and pace with ``.using(...)`` and ``.taking(...)``."""
    return Reply(calls=(Called(name, arguments),))


def parallel(*replies: Reply, text: str = "", reasoning: str = "", usage: UsageLike | None = None) -> Reply:
    """Build one answer that makes all the tool calls of the given answers at once, with words before them if wanted."""
    return Reply(
        text=text or "".join(reply.text for reply in replies),
        calls=tuple(call for reply in replies for call in reply.calls),
        reasoning=reasoning or "".join(reply.reasoning for reply in replies),
        usage=usage_of(usage),
    )


def error(status: int, message: str = "", *, retry_after: float | None = None, duration: float | None = None) -> Reply:
    """Build an answer with an HTTP error, ``error(429, retry_after=2)``."""
    if status < 400:
        raise ScriptError(f"error({status}) is no HTTP error", remedy="give a status of 400 or above")
    said = message or f"scripted error {status}"
    return Reply(status=status, message=said, retry_after=retry_after, duration=duration)


def timeout(after: float = 0.0, *, connecting: bool = False) -> Reply:
    """Build a missing answer: the client's read (or connect) timeout passes ``after`` virtual seconds."""
    return Reply(failure="connect_timeout" if connecting else "read_timeout", duration=after)


def unreachable() -> Reply:
    """Build a missing answer: the connection is refused."""
    return Reply(failure="connect_error")


def cut(whole: Reply | str, *, after_chunks: int = 1) -> Reply:
    """Build an answer whose connection breaks after so many chunks."""
    return replace(reply_of(whole), cut_after=after_chunks)


def reply_of(given: object) -> Reply:
    """Read an answer from what a script may write: an answer, a string, or several tool calls in a list.

    Raises:
        ScriptError: If it is none of these.
    """
    if isinstance(given, Reply):
        return given
    if isinstance(given, str):
        return Reply(text=given)
    if isinstance(given, list | tuple) and given and all(isinstance(one, Reply) for one in given):
        return parallel(*given)
    raise ScriptError(
        f"{given!r} is no answer of a scripted model",
        remedy='give text("..."), tool_call("name", argument=...), a list of tool calls, error(429) or a string',
    )
