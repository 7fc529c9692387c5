"""What the server is asked and what it is told to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["cut", "drop", "garbage", "no_usage", "error_inside"]
"""What goes wrong after the request was understood.

``cut``: the connection breaks in the middle of the body. ``drop``: it breaks before a single byte. ``garbage``: the
body (or one event of the stream) is no JSON. ``no_usage``: all is well, but no usage is sent. ``error_inside``: a 200
whose body (or next event) reports an error.
"""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model makes."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model.

    Attributes:
        text: What it says.
        tool_calls: Tools that it calls.
        reasoning: What it thinks, on the wires that show it.
        input_tokens: All tokens read, cached ones included; by default a quarter of the request's bytes.
        output_tokens: All tokens written, reasoning included; by default a quarter of the written characters.
        cached: The part of the input that came from a cache.
        cache_write: The part of the input that was written to a cache.
        reasoning_tokens: The part of the output that was reasoning.
        status: HTTP status; 400 and above answer with the API's error object.
        retry_after: Value of ``Retry-After``, s.
        fault: What goes wrong, see :data:`Fault`.
        gzip: Whether the body is sent with ``content-encoding: gzip``.
        model: Name that the server reports; by default the requested one.
        pieces: In how many events a stream carries the text.
        split: Cut the streamed bytes into network pieces of this many bytes, regardless of events; 0 for one an event.
        delay: Pause before the first byte, s.
        event_delay: Pause before each event of a stream, s.
        stage: The stage that the script means this for; kept in the books.
        headers: Further response headers.
    """

    text: str = "ok"
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning_tokens: int = 0
    status: int = 200
    retry_after: float | None = None
    fault: Fault | None = None
    gzip: bool = False
    model: str = ""
    pieces: int = 4
    split: int = 0
    delay: float = 0.0
    event_delay: float = 0.0
    stage: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a script sees it.

    Attributes:
        api: The API that was recognised, ``"openai.chat"``.
        path: Path of the URL, query left out.
        headers: Header name (lower case) -> value.
        body: The parsed JSON body.
        size: Bytes of the body.
        stream: Whether a streamed answer was asked for.
        model: The requested model.
        number: How many requests came before.
    """

    api: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    size: int
    stream: bool
    model: str
    number: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The tokens of one answer, in the normal form: parts are contained in their whole."""

    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int

    @property
    def total(self) -> int:
        """Input plus output."""
        return self.input + self.output

    @property
    def uncached(self) -> int:
        """Input that neither came from a cache nor was written to one."""
        return self.input - self.cached - self.cache_write


def numbers(asked: Asked, reply: Reply) -> Numbers:
    """The tokens that the books show for this answer: the script's, or ones that follow from the sizes."""
    written = (
        len(reply.text) + len(reply.reasoning) + sum(len(c.name) + len(str(c.arguments)) for c in reply.tool_calls)
    )
    wrote = 0 if asked.api == "openai.embeddings" else max(1, written // 4)
    return Numbers(
        input=max(1, asked.size // 4) if reply.input_tokens is None else reply.input_tokens,
        output=wrote if reply.output_tokens is None else reply.output_tokens,
        cached=reply.cached,
        cache_write=reply.cache_write,
        reasoning=reply.reasoning_tokens,
    )


def split_text(text: str, pieces: int) -> list[str]:
    """Cut a text into at most ``pieces`` non-empty parts of nearly equal length."""
    if not text:
        return []
    step = -(-len(text) // max(1, pieces))
    return [text[at : at + step] for at in range(0, len(text), step)]
