"""Ways to damage an exchange."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pytest_tokenbudget.records.exchange import Exchange

_WORDS = (
    b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b'"\\ud800"', b"\xff\xfe", b"[", b"{", b"]", b"}", b'"', b"\x00",
    b"[[" * 3_000, b'{"a":' * 3_000, b"data: ", b"\r", b"\n\n", b"event: error\n", b"true", b"-1", b"[]", b"{}", b'""',
)  # fmt: skip


def mutated(made: Exchange, chance: random.Random) -> Exchange:
    """A damaged copy of an exchange: bytes of its body flipped, cut, doubled, swapped or replaced.

    At times headers lie, the body is compressed or comes in pieces, and URL, method or status are others.
    """
    body = bytearray(b"".join(made.chunks))
    for _ in range(chance.randint(1, 4)):
        _damage(body, chance)
    fields: dict[str, Any] = {"chunks": (bytes(body),), "chunk_times": (11.0,)}
    if chance.random() < 0.1:
        kind = chance.choice(
            [
                "text/html",
                "text/event-stream",
                "application/vnd.amazon.eventstream",
                "application/json",
                "",
                "application/x-ndjson",
            ]
        )
        fields["response_headers"] = (("content-type", kind),)
    if chance.random() < 0.05:
        encoding = chance.choice(["gzip", "deflate", "br", "zstd", "nonsense", "gzip, br"])
        fields |= {"encoded": True, "response_headers": (("content-encoding", encoding),)}
        if chance.random() < 0.5:
            packed = bytearray(gzip.compress(bytes(body)))
            _damage(packed, chance)
            body = packed
            fields["chunks"] = (bytes(body),)
    if chance.random() < 0.1 and made.request_body:
        request = bytearray(made.request_body)
        _damage(request, chance)
        fields["request_body"] = bytes(request)
    if chance.random() < 0.05:
        fields["status"] = chance.choice([None, 204, 400, 429, 500])
    if chance.random() < 0.05:
        fields["url"] = _damaged_url(made.url, chance)
    if chance.random() < 0.02:
        fields["method"] = chance.choice(["GET", "PUT", "post", ""])
    if chance.random() < 0.2:
        fields |= _pieces(bytes(body), chance)
    return replace(made, **fields)


def _damaged_url(url: str, chance: random.Random) -> str:
    start = chance.randint(0, len(url))
    kept = chance.choice([url[:start], url])
    return kept + chance.choice(["", ":", "/", "?", "[", "%zz", "\ud800", "/invoke", "/v1/chat/completions"])


def _pieces(body: bytes, chance: random.Random) -> dict[str, Any]:
    """The body as a stream's chunks; some may be empty."""
    edges = [0, *sorted(chance.randint(0, len(body)) for _ in range(chance.randint(0, 20))), len(body)]
    chunks = tuple(body[start:end] for start, end in pairwise(edges))
    return {"chunks": chunks, "chunk_times": tuple(float(number) for number in range(len(chunks))), "streamed": True}


def _damage(body: bytearray, chance: random.Random) -> None:
    size = len(body)
    start = chance.randint(0, size)
    end = min(size, start + chance.choice([1, 4, 30, 300]))
    kind = chance.randrange(7)
    if kind == 0 and size:
        body[start % size] = chance.randrange(256)
    elif kind == 1:
        del body[start:end]
    elif kind == 2:
        body[start:start] = body[start:end]
    elif kind == 3:
        body[start:end] = chance.choice(_WORDS)
    elif kind == 4:
        del body[start:]
    elif kind == 5:
        _retype(body, chance)
    else:
        body[start:start] = chance.choice(_WORDS)


def _retype(body: bytearray, chance: random.Random) -> None:
    """Replace a JSON value by one of another type, so that the body stays valid but its shape does not."""
    colons = [place for place in range(len(body) - 1) if body[place] == 0x3A]
    if not colons:
        return
    start = chance.choice(colons) + 1
    end = start
    while end < len(body) and body[end] not in b",}]":
        end += 1
    body[start:end] = chance.choice(
        [b"null", b"1", b'"x"', b"[]", b"{}", b"[1]", b"[{}]", b'{"a":1}', b"true", b"-1.5"]
    )
