"""An exchange as two frames: one when the request leaves, one when the exchange has ended.

So a child that is killed in between leaves the request behind. Credentials are left out of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pytest_tokenbudget.capture.children.frames import encode, pairs, pieces
from pytest_tokenbudget.records.exchange import Exchange, TokenBasis

LEFT_OUT = "left-out"
_CREDENTIAL_WORDS = ("auth", "cookie", "credential", "key", "secret", "security-token", "signature")
_NO_CREDENTIALS = frozenset({"idempotency-key", "x-amzn-bedrock-cache-key"})


def _as_is(value: Any) -> Any:
    return value


# Fields that stand in a frame's head under their own names, and what makes them of what stands there.
_BEGUN: dict[str, Callable[[Any], Any]] = {
    "client": str,
    "method": str,
    "streamed": bool,
    "stage": str,
    "started": float,
}
_ENDED: dict[str, Callable[[Any], Any]] = {
    "status": _as_is,
    "encoded": bool,
    "body_cut": bool,
    "ended": float,
    "error": _as_is,
    "agent": _as_is,
    "answered_by": str,
}


def begin_frame(exchange: Exchange) -> bytes:
    """The frame of a request that is about to leave; its ``sequence`` counts the exchanges of its process."""
    head = {name: getattr(exchange, name) for name in _BEGUN} | {
        "begin": exchange.sequence,
        "within": exchange.within,
        "url": without_credentials(exchange.url),
        "headers": [_pair(name, value) for name, value in exchange.request_headers],
        "body": exchange.request_body is not None,
    }
    return encode(head, exchange.request_body or b"")


def end_frame(exchange: Exchange) -> bytes:
    """The frame of an exchange that has ended; see :func:`begin_frame`."""
    basis = exchange.token_basis
    head = {name: getattr(exchange, name) for name in _ENDED} | {
        "end": exchange.sequence,
        "how": exchange.end,
        "headers": [_pair(name, value) for name, value in exchange.response_headers],
        "lengths": [len(chunk) for chunk in exchange.chunks],
        "times": exchange.chunk_times,
        "basis": None if basis is None else [basis.recorded, basis.counted, basis.estimated],
    }
    return encode(head, b"".join(exchange.chunks))


def begun_exchange(head: dict[str, Any], blob: bytes, *, base: int) -> Exchange:
    """The exchange of a request that has left, numbered from ``base`` on, unique in the session; it is open.

    Raises:
        KeyError, TypeError, ValueError: If the frame holds something else.
    """
    known = {name: kind(head[name]) for name, kind in _BEGUN.items()}
    return Exchange(
        **known,
        url=str(head["url"]),
        request_headers=pairs(head["headers"]),
        request_body=blob if head["body"] else None,
        ended=known["started"],
        end="open",
        sequence=base + int(head["begin"]),
        within=None if head["within"] is None else base + int(head["within"]),
    )


def ended_exchange(begun: Exchange, head: dict[str, Any], blob: bytes) -> Exchange:
    """The exchange that has ended; raises as :func:`begun_exchange` does."""
    basis = head["basis"]
    return replace(
        begun,
        **{name: kind(head[name]) for name, kind in _ENDED.items()},
        end=head["how"],
        response_headers=pairs(head["headers"]),
        chunks=pieces(blob, head["lengths"]),
        chunk_times=tuple(map(float, head["times"])),
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
