"""One HTTP request and its response, as the capture saw it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Headers = tuple[tuple[str, str], ...]
"""Header pairs in order, names in lower case."""

End = Literal["complete", "closed", "cut", "cancelled", "failed", "open"]
"""The end of an exchange.

``complete``: the body was read to its end. ``closed``: the consumer stopped reading early, on purpose or because it
raised. ``cut``: the connection broke while the body was read. ``cancelled``: the task was cancelled. ``failed``: there
never was a response (timeout, connection error). ``open``: still running when the sample ended.
"""


@dataclass(frozen=True, slots=True)
class TokenBasis:
    """The recorded counts from which a replayed request's input tokens are computed.

    Attributes:
        recorded: The provider's number for the recorded request, ``None`` where it told none.
        counted: The local count of the recorded request; ``None`` where the request of now is the same, so that nothing
            has to be counted.
        estimated: Whether the recording has no answer of this request, and a recorded one of its kind was given instead.
    """

    recorded: int | None
    counted: int | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request and its response.

    Attributes:
        client: Name and version of the library that sent it, ``"httpx2 2.16.2"``.
        method: HTTP method, upper case.
        url: The whole URL, query included.
        request_headers: Request headers.
        request_body: The bytes that were sent; ``None`` where the body was a stream that could not be kept.
        status: HTTP status; ``None`` if there was no response.
        response_headers: Response headers.
        chunks: The body in the pieces in which it arrived; a body that was read at once is one piece.
        chunk_times: Arrival of each piece, s on the sample's clock; as many as ``chunks``.
        body_cut: Whether the body is longer than what is kept of it in ``chunks``, because it is no model call's.
        encoded: Whether ``chunks`` still carry the response's ``content-encoding``.
        streamed: Whether the caller asked for a streamed response.
        started: When ``send`` was called, s on the sample's clock.
        ended: When the last byte had been read, or the exchange ended otherwise, s on the sample's clock.
        end: How it ended.
        error: Type name of the exception that ended it (``"ReadTimeout"``), else ``None``.
        stage: Path of the innermost open stage, ``"worker/finalize"``; ``""`` where no stage was open in code.
        surrounding_stage: Path of the stage that was open in the test while another process sent the request, ``""``
            for none; it counts where nothing else says a stage.
        agent: The current OpenTelemetry span's ``gen_ai.agent.name`` where OpenTelemetry is in use.
        answered_by: ``"network"``; ``"replay"`` or ``"script"`` where the plugin itself gave the answer; ``"mock"`` where
            no byte of the request went to a network: a tool for tests or an app in the same process answered, so that
            the usage that it tells may be that of another request.
        token_basis: For a replayed answer: the input tokens of the recording, from which those of the request of now are
            reckoned; ``None`` else.
        sequence: Position in the order of starts, from 0; requests that were refused leave gaps, and other
            processes count by themselves, far above.
        within: ``sequence`` of the exchange within whose sending it was sent, ``None`` where there is none.
    """

    client: str
    method: str
    url: str
    request_headers: Headers = ()
    request_body: bytes | None = None
    status: int | None = None
    response_headers: Headers = ()
    chunks: tuple[bytes, ...] = ()
    chunk_times: tuple[float, ...] = ()
    body_cut: bool = False
    encoded: bool = False
    streamed: bool = False
    started: float = 0.0
    ended: float = 0.0
    end: End = "complete"
    error: str | None = None
    stage: str = ""
    surrounding_stage: str = ""
    agent: str | None = None
    answered_by: Literal["network", "replay", "script", "mock"] = "network"
    token_basis: TokenBasis | None = None
    sequence: int = 0
    within: int | None = None


def containers(exchanges: Iterable[Exchange], calls: Iterable[Exchange]) -> frozenset[int]:
    """Find the requests that no network carried and that contain a model call: they are hops to it, and no calls.

    Args:
        exchanges: All exchanges of a sample.
        calls: Those that a wire format recognised.

    Returns:
        Their ``sequence``.
    """
    numbered = {exchange.sequence: exchange for exchange in exchanges}
    found: set[int] = set()
    for call in calls:
        at = call.within
        while at is not None and at not in found and at in numbered:
            found.add(at)
            at = numbered[at].within
    return frozenset(number for number in found if numbered[number].answered_by == "mock")


def likely_hops(calls: Sequence[Exchange], is_local: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
    """Find servers of this machine that are asked as a model and seem to ask another model for each answer.

    A network carried the request to such a server, so that it cannot be told for sure whether it passes the question on.

    Args:
        calls: The model calls of a sample.
        is_local: Says whether a host with its port is of this machine.

    Returns:
        The hosts of the calls that began and ended within those to a server, by that server's host.
    """
    named = [(urlsplit(call.url).netloc.rpartition("@")[2], call) for call in calls if call.answered_by == "network"]
    inner: dict[str, set[str]] = {}
    leaves: set[str] = set()
    for host, outer in named:
        if host in leaves or not is_local(host):
            continue
        inside = {other for other, call in named if other != host and _is_during(call, outer)}
        if inside:
            inner.setdefault(host, set()).update(inside)
        else:
            leaves.add(host)
    return {host: tuple(sorted(inside)) for host, inside in sorted(inner.items()) if host not in leaves}


def _is_during(call: Exchange, outer: Exchange) -> bool:
    return outer.started < call.started and call.ended <= outer.ended


@dataclass(frozen=True, slots=True)
class Unattributed:
    """Traffic that looks like a model call and that no wire format reads.

    Attributes:
        host: Host of the URL.
        path: Path of the URL, query left out.
        reason: Why it is listed: ``"unknown"``, ``"batch"``, ``"realtime"`` or what could not be read.
        count: How often it was seen.
    """

    host: str
    path: str
    reason: str = "unknown"
    count: int = 1
