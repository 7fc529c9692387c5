"""Holds the answers of a scripted model, and the builders with which a script is written.

text("Booked.", usage=(1200, 40), ttft=0.4, tokens_per_second=60)
tool_call("calendar_read", day="2026-03-17")
parallel(tool_call("weather", city="Rome"), tool_call("weather", city="Oslo"), reasoning="Both at once.")
error(429, retry_after=2)
timeout(after=30)
cut(text("Booked, and the rest"), after_chunks=3)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_tokenbudget.errors import ScriptError
from pytest_tokenbudget.records.call import Usage

Failure = Literal["connect_timeout", "read_timeout", "connect_error"]

UsageLike = Usage | Sequence[int] | Mapping[str, int]
"""A usage as a script may write it: ``(input, output[, cached[, cache_write[, reasoning]]])`` or a mapping."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call that the model makes; an empty ``id`` is filled in."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a scripted model.

    Attributes:
        text: What it says.
        calls: Tools that it calls.
        reasoning: What it thinks, on the wires that show it.
        usage: Its tokens in the normal form; fields that are ``None`` are counted locally.
        model: The model that it says it is; ``""`` for the requested one.
        finish: Why it stopped, in the normal form; ``""`` for ``tool_calls`` or ``stop`` as fits.
        status: HTTP status; 400 and above answer with the API's error object.
        message: Text of that error.
        retry_after: Value of ``Retry-After``, s.
        failure: A connection that fails instead of an answer.
        cut_after: Chunks after which the connection breaks, ``None`` for a whole answer.
        ttft: Time to the first content, virtual s; ``None`` for the script's own pace.
        tokens_per_second: Output tokens in a virtual second after that, likewise.
        duration: Whole duration, virtual s; wins over ``tokens_per_second``.
    """

    text: str = ""
    calls: tuple[Called, ...] = ()
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    finish: str = ""
    status: int = 200
    message: str = ""
    retry_after: float | None = None
    failure: Failure | None = None
    cut_after: int | None = None
    ttft: float | None = None
    tokens_per_second: float | None = None
    duration: float | None = None

    def using(self, usage: UsageLike) -> Reply:
        """Give the same answer with this usage."""
        return replace(self, usage=usage_of(usage))

    def taking(
        self, duration: float | None = None, *, ttft: float | None = None, tokens_per_second: float | None = None
    ) -> Reply:
        """Give the same answer at this pace (virtual s); what is not given stays as it was."""
        return replace(
            self,
            duration=self.duration if duration is None else duration,
            ttft=self.ttft if ttft is None else ttft,
            tokens_per_second=self.tokens_per_second if tokens_per_second is None else tokens_per_second,
        )

    @property
    def written(self) -> str:
        """Give all that the model wrote, tool arguments included: its output tokens are counted from it."""
        calls = "".join(call.name + dump(call.arguments) for call in self.calls)
        return self.reasoning + self.text + calls


def dump(value: object) -> str:
    """Write JSON as models do."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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


def usage_of(given: UsageLike | None) -> Usage:
    """Read a usage.

    Raises:
        ScriptError: If it cannot be understood.
    """
    names = ("input", "output", "cached", "cache_write", "reasoning")
    if given is None:
        return Usage()
    if isinstance(given, Usage):
        return given
    pairs = dict(given) if isinstance(given, Mapping) else dict(zip(names, given, strict=False))
    known = {short: pairs.pop(short, pairs.pop(long, None)) for short, long in zip(names, _LONG, strict=True)}
    wrong = [name for name, value in known.items() if value is not None and (type(value) is not int or value < 0)]
    if pairs or wrong:
        raise ScriptError(
            f"usage {given!r} cannot be understood: {', '.join([*map(str, pairs), *wrong])}",
            remedy=f"give a tuple or mapping of whole numbers: {', '.join(names)}",
        )
    return Usage(**dict(zip(_LONG, known.values(), strict=True)))


_LONG = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


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
