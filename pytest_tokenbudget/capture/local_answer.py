"""The answer that a player gives to a request instead of the network.

The capture asks the recorder's answerer, if there is one, before a request leaves. What it gives back is turned into
a real response object of the client's own library, and is recorded like any other exchange.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol

from pytest_tokenbudget.records.exchange import Headers, TokenBasis

Fault = Literal[
    "connect_timeout",
    "read_timeout",
    "write_timeout",
    "pool_timeout",
    "connect_error",
    "read_error",
    "write_error",
    "protocol_error",
]
"""A connection that fails: instead of a response, or after the chunks of one have been given."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is about to leave.

    Attributes:
        client: Name and version of the library, ``"httpx2 2.16.2"``.
        method: HTTP method, upper case.
        url: The whole URL.
        headers: Request headers, names in lower case.
        body: The body's bytes, ``None`` where it is a stream.
        stage: Path of the innermost open stage, ``""`` for none.
        streamed: Whether the caller asked for a streamed response.
        in_process: Whether it goes to an app in the same process, through a transport that has no network.
    """

    client: str
    method: str
    url: str
    headers: Headers
    body: bytes | None
    stage: str
    streamed: bool
    in_process: bool = False


_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """A response that is given locally.

    Attributes:
        status: HTTP status, 0 where there is no response.
        headers: Response headers as recorded; see ``plain_headers``.
        chunks: The body, piece by piece.
        before_chunk: Called with a chunk's index before it is handed to a synchronous reader; returns when it may go.
        before_chunk_async: The same for an asynchronous reader.
        fault: A failure to play; instead of a response where there is none, else after the chunks.
        answered_by: Who answered.
        token_basis: Input tokens of the recording, see ``Exchange.token_basis``.
    """

    status: int
    headers: Headers
    chunks: tuple[bytes, ...]
    before_chunk: Callable[[int], None] | None = None
    before_chunk_async: Callable[[int], Awaitable[None]] | None = None
    fault: Fault | None = None
    answered_by: Literal["replay", "script"] = "replay"
    token_basis: TokenBasis | None = None

    @property
    def plain_headers(self) -> Headers:
        """The headers without those of a body on the wire: the chunks are plain and come one by one."""
        return tuple(pair for pair in self.headers if pair[0].lower() not in _OF_THE_WIRE)

    @property
    def reason(self) -> str:
        """The phrase of its status, ``""`` for one that is not known."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return ""

    @property
    def says(self) -> str:
        """The text of its fault's error, whatever the library."""
        return f"{(self.fault or 'no fault').replace('_', ' ')} (played locally)"

    def pieces(self, failure: BaseException | None) -> Iterator[bytes]:
        """The body for a synchronous reader, each chunk when it is due; at its end, its fault as the reader's own error."""
        for number, chunk in enumerate(self.chunks):
            if self.before_chunk is not None:
                self.before_chunk(number)
            yield chunk
        if failure is not None and self.fault is not None:
            raise failure

    async def pieces_async(self, failure: BaseException | None) -> AsyncIterator[bytes]:
        """The body for an asynchronous reader; see :meth:`pieces`."""
        for number, chunk in enumerate(self.chunks):
            if self.before_chunk_async is not None:
                await self.before_chunk_async(number)
            yield chunk
        if failure is not None and self.fault is not None:
            raise failure


class Answerer(Protocol):
    """A player. It gives ``None`` for a request that is no model call: that goes to the network."""

    def answer(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer a synchronous client; may hold the caller until the answer is due."""

    async def answer_async(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer an asynchronous client; may hold the task until the answer is due."""
