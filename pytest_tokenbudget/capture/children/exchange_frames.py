"""An exchange as two frames: one when the request leaves, one when the exchange has ended.

So a child that is killed in between leaves the request behind. Credentials are left out of both.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from pytest_tokenbudget.capture.children.frames import encode
from pytest_tokenbudget.records.exchange import Exchange, Headers, TokenBasis

LEFT_OUT = "left-out"
_CREDENTIAL_WORDS = ("auth", "cookie", "credential", "key", "secret", "security-token", "signature")
_NO_CREDENTIALS = frozenset({"idempotency-key", "x-amzn-bedrock-cache-key"})


def begin_frame(exchange: Exchange) -> bytes:
    """The frame of a request that is about to leave; its ``sequence`` counts the exchanges of its process."""
    head: dict[str, Any] = {
        "begin": exchange.sequence,
        "within": exchange.within,
        "client": exchange.client,
        "method": exchange.method,
        "url": without_credentials(exchange.url),
        "headers": [_pair(name, value) for name, value in exchange.request_headers],
        "body": exchange.request_body is not None,
        "streamed": exchange.streamed,
        "stage": exchange.stage,
        "started": exchange.started,
    }
    return encode(head, exchange.request_body or b"")


def end_frame(exchange: Exchange) -> bytes:
    """The frame of an exchange that has ended; see :func:`begin_frame`."""
    basis = exchange.token_basis
    head: dict[str, Any] = {
        "end": exchange.sequence,
        "how": exchange.end,
        "ended": exchange.ended,
        "status": exchange.status,
        "headers": [_pair(name, value) for name, value in exchange.response_headers],
        "lengths": [len(chunk) for chunk in exchange.chunks],
        "times": exchange.chunk_times,
        "encoded": exchange.encoded,
        "body_cut": exchange.body_cut,
        "error": exchange.error,
        "agent": exchange.agent,
        "answered_by": exchange.answered_by,
        "basis": None if basis is None else [basis.recorded, basis.counted, basis.estimated],
    }
    return encode(head, b"".join(exchange.chunks))


def begun_exchange(head: dict[str, Any], blob: bytes, *, base: int) -> Exchange:
    """The exchange of a request that has left; it is open.

    Args:
        head: The frame's head.
        blob: The frame's blob.
        base: What is added to the numbers of its process, so that they are unique in the session.

    Raises:
        KeyError, TypeError, ValueError: If the frame holds something else.
    """
    return Exchange(
        client=str(head["client"]),
        method=str(head["method"]),
        url=str(head["url"]),
        request_headers=_pairs(head["headers"]),
        request_body=blob if head["body"] else None,
        streamed=bool(head["streamed"]),
        stage=str(head["stage"]),
        started=float(head["started"]),
        ended=float(head["started"]),
        end="open",
        sequence=base + int(head["begin"]),
        within=None if head["within"] is None else base + int(head["within"]),
    )


def ended_exchange(begun: Exchange, head: dict[str, Any], blob: bytes) -> Exchange:
    """The exchange that has ended.

    Raises:
        KeyError, TypeError, ValueError: If the frame holds something else.
    """
    from dataclasses import replace

    chunks, at = [], 0
    for length in head["lengths"]:
        chunks.append(blob[at : at + length])
        at += length
    basis = head["basis"]
    return replace(
        begun,
        status=head["status"],
        response_headers=_pairs(head["headers"]),
        chunks=tuple(chunks),
        chunk_times=tuple(map(float, head["times"])),
        encoded=bool(head["encoded"]),
        body_cut=bool(head["body_cut"]),
        ended=float(head["ended"]),
        end=head["how"],
        error=head["error"],
        agent=head["agent"],
        answered_by=head["answered_by"],
        token_basis=None if basis is None else TokenBasis(*basis),
    )


def without_credentials(url: str) -> str:
    """A URL whose query holds no key."""
    before, mark, query = url.partition("?")
    if not mark or not _is_credential(query.lower()):
        return url
    kept = [(name, LEFT_OUT if _is_credential(name.lower()) else value) for name, value in parse_qsl(query, True)]
    return f"{before}?{urlencode(kept)}"


def _pair(name: str, value: str) -> tuple[str, str]:
    return name, LEFT_OUT if name not in _NO_CREDENTIALS and _is_credential(name) else value


def _is_credential(name: str) -> bool:
    return any(word in name for word in _CREDENTIAL_WORDS)


def _pairs(pairs: Any) -> Headers:
    return tuple((str(name), str(value)) for name, value in pairs)
