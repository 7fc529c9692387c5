"""The answers of a scripted model."""

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
        finish: Why it stopped, in the normal form; ``""`` for ``tool_call`` or ``stop`` as fits.
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
        """The whole text that the model wrote, tool arguments included: its output tokens are counted from it."""
        calls = "".join(call.name + dump(call.arguments) for call in self.calls)
        return self.reasoning + self.text + calls


def dump(value: object) -> str:
    """JSON as models write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usage_of(given: UsageLike | None) -> Usage:
    """A usage as a record.

    Raises:
        ScriptError: If it cannot be understood.
    """
    names = ("input", "output", "cached", "cache_write", "reasoning")
    if given is None:
        return Usage()
    if isinstance(given, Usage):
        return given
    pairs: dict[Any, Any]
    if isinstance(given, Mapping):
        pairs = dict(given)
    elif isinstance(given, list | tuple):
        pairs = dict(zip((*names, *range(len(given))), given, strict=False))
    else:
        pairs = {type(given).__name__: given}
    known = {short: pairs.pop(short, pairs.pop(long, None)) for short, long in zip(names, _LONG, strict=True)}
    wrong = [name for name, value in known.items() if value is not None and (type(value) is not int or value < 0)]
    if pairs or wrong:
        raise ScriptError(
            f"usage {repr(given)[:80]} cannot be understood: {', '.join([*map(str, pairs), *wrong])[:80]}",
            remedy=f"give a tuple or mapping of whole numbers: {', '.join(names)}",
        )
    return Usage(**dict(zip(_LONG, known.values(), strict=True)))


_LONG = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
