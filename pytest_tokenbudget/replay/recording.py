"""Makes a cassette of a live run, after it: during the run only the capture's own tee listens."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.providers.classify import Classified, classify, read
from pytest_tokenbudget.providers.http_message import request_of, response_of
from pytest_tokenbudget.providers.loose import response_pieces
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange, containers
from pytest_tokenbudget.replay.cassette import DEFAULT_LIMIT, cassette_text, parse_cassette, too_large
from pytest_tokenbudget.replay.interaction import Ending, Interaction
from pytest_tokenbudget.replay.redaction import (
    Redactor,
    bare_url,
    documents,
    dump,
    kept_headers,
    nested_json,
    readable_lines,
    stream_pieces,
)
from pytest_tokenbudget.replay.secrets import find_secret
from pytest_tokenbudget.tokens.counter import Counter


class LeakCheck:
    """Looks through the interactions of a cassette that was read back.

    Args:
        redactor: Holds the project's patterns; none of them may match any more.
        allowed: Kinds and names of findings that are no secrets.
        about: How the messages begin.
    """

    def __init__(
        self,
        redactor: Redactor,
        allowed: frozenset[str] = frozenset(),
        *,
        about: str = "the cassette is not written",
    ) -> None:
        self._about = about
        self._redactor = redactor
        self._syntax = Redactor(tuple(one for one in redactor.patterns if '"' in one.pattern))
        self._allowed = allowed
        self._seen: set[int] = set()

    def refuse(self, interactions: Sequence[Interaction]) -> None:
        """Look through all interactions; a message that many requests share is looked at once.

        Raises:
            CassetteError: If a pattern still matches, or something looks like a secret; it says in which call.
        """
        for number, one in enumerate(interactions, start=1):
            names = (one.stage, one.provider, one.model, one.api, one.method, *one.tool_calls)
            self._check(f"the names of call {number}", "\n".join(names))
            self._check(f"the URL of call {number}", one.url)
            self._check(f"the headers of call {number}", "\n".join(f"{name}: {text}" for name, text in one.headers))
            self._check_request(f"the request of call {number}", one)
            self._check_answer(f"the answer of call {number}", one)

    def _check_request(self, where: str, one: Interaction) -> None:
        for key, value in (one.body or {}).items():
            self._check(where, key)
            for part in value if isinstance(value, list) else (value,):
                # Contents are stored once and shared, so what was looked at has the same identity.
                if isinstance(part, dict | list):
                    if id(part) in self._seen:
                        continue
                    self._seen.add(id(part))
                self._check(where, "\n".join(readable_lines(part, key)), raw=part)

    def _check_answer(self, where: str, one: Interaction) -> None:
        body = b"".join(one.chunks)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = body.decode("utf-8", "replace")
            values: list[object] = list(_binary_documents(one))
            gaps = text
        else:
            spans = documents(text)
            values = [value for _, _, value in spans]
            ends = [0, *(end for _, end, _ in spans)]
            gaps = "\n".join(
                text[end:start] for end, start in zip(ends, [*(s for s, _, _ in spans), None], strict=True)
            )
        self._check(where, gaps, raw=text)
        for value in values:
            self._check(where, "\n".join(readable_lines(value)))
        self._check(where, "\n".join(_joined_texts(values)))

    def _check(self, where: str, text: str, *, raw: object = None) -> None:
        pattern = self._redactor.match(text) or (
            self._syntax.match(raw if isinstance(raw, str) else dump(raw))
            if self._syntax.patterns and raw is not None
            else None
        )
        if pattern is not None:
            raise CassetteError(
                f"{self._about}: {where} still holds what {pattern!r} of tokenbudget_redact matches",
                remedy="make the pattern match within one text, or keep it out of what the model is told and says",
            )
        secret = find_secret(text, self._allowed)
        if secret is not None:
            raise CassetteError(
                f"{self._about}: {where} holds what looks like a key ({secret.kind}, {secret.shown})",
                remedy="keep it out of prompts and answers, add a pattern to tokenbudget_redact that matches it, or, if it"
                f" is none, tokenbudget_allow_secret = {secret.name}",
            )


def _binary_documents(one: Interaction) -> Iterator[object]:
    """Read the documents of a binary event stream; those of Bedrock hold others in base64."""
    response = response_of(Exchange("", one.method, one.url, response_headers=one.headers, chunks=one.chunks))
    for found in (response, response.inner):
        for document in found.documents if found is not None else ():
            yield document
            for holder in (document, *document.values()):
                inner = _nested_base64(holder.get("bytes") if isinstance(holder, dict) else None)
                if inner is not None:
                    yield inner


def _nested_base64(value: object) -> object:
    if not isinstance(value, str):
        return None
    try:
        return nested_json(base64.b64decode(value).decode("utf-8", "replace"))
    except ValueError:
        return None


def _joined_texts(values: Sequence[object]) -> Iterator[str]:
    """Give the texts that a stream says piece by piece."""
    for path, pieces in stream_pieces(values).items():
        if len(pieces) > 1:
            text = "".join(piece.text for piece in pieces)
            yield f"{path[-1] if path else ''}: {text}"
            nested = nested_json(text)
            if nested is not None:
                yield from readable_lines(nested)


_FAULT_WORDS: tuple[tuple[str, Fault], ...] = (
    ("ConnectTimeout", "connect_timeout"),
    ("ConnectionTimeout", "connect_timeout"),
    ("PoolTimeout", "pool_timeout"),
    ("WriteTimeout", "write_timeout"),
    ("Timeout", "read_timeout"),
    ("Protocol", "protocol_error"),
    ("Disconnected", "protocol_error"),
    ("ConnectionClosed", "protocol_error"),
    ("ReadError", "read_error"),
    ("ClientOSError", "read_error"),
    ("WriteError", "write_error"),
)
"""Words in the names of errors of httpx, requests, aiohttp and botocore, with their meaning; the first that is found counts."""

_NO_READING = Reading(api="unknown", provider="")


def record(
    exchanges: Iterable[Exchange],
    formats: Sequence[WireFormat],
    counter: Counter,
    *,
    limit: int = DEFAULT_LIMIT,
) -> tuple[Interaction, ...]:
    """Take the model calls of a run, failed attempts included, and the auxiliary requests to their hosts; nothing else.

    Args:
        exchanges: The exchanges of one sample.
        formats: The wire formats.
        counter: Counts each request as it is counted when it is replayed.
        limit: How large one answer may be, bytes; it is not unpacked any further.

    Raises:
        CassetteError: If an answer is larger.
    """
    ordered = sorted(exchanges, key=lambda exchange: exchange.started)
    asked = [(exchange, classify(request_of(exchange), formats)) for exchange in ordered]
    hops = containers(ordered, (exchange for exchange, found in asked if found.kind in ("call", "unknown")))
    asked = [(exchange, found) for exchange, found in asked if exchange.sequence not in hops]
    hosts = {found.request.url.netloc for _, found in asked if found.kind not in ("auxiliary", "other")}
    kept = [
        (exchange, found)
        for exchange, found in asked
        if found.kind != "other" and (found.kind != "auxiliary" or found.request.url.netloc in hosts)
    ]
    origin = kept[0][0].started if kept else 0.0
    bodies = [_pieces(exchange, number, limit) for number, (exchange, _) in enumerate(kept, start=1)]
    return tuple(
        _interaction(exchange, found, chunks, formats, counter, origin)
        for (exchange, found), chunks in zip(kept, bodies, strict=True)
    )


def _pieces(exchange: Exchange, number: int, limit: int) -> tuple[bytes, ...]:
    chunks = response_pieces(exchange, most=limit)
    if sum(map(len, chunks)) > limit:
        raise CassetteError(
            f"the cassette is not written: the answer of call {number} has more than {limit / 1e6:g} MB",
            remedy=f"tokenbudget_cassette_limit = {2 * limit}, or keep the answer shorter",
        )
    return chunks


def _interaction(
    exchange: Exchange,
    found: Classified,
    chunks: tuple[bytes, ...],
    formats: Sequence[WireFormat],
    counter: Counter,
    origin: float,
) -> Interaction:
    reading: Reading = getattr(read(exchange, formats), "reading", _NO_READING)
    prompt = found.prompt()
    ending, fault = _ending(exchange)
    return Interaction(
        api=found.api,
        provider=reading.provider,
        stage=exchange.stage or exchange.surrounding_stage,
        method=exchange.method,
        url=bare_url(exchange.url),
        model=reading.request_model or reading.model,
        body=found.request.body,
        started=exchange.started - origin,
        duration=exchange.ended - exchange.started,
        status=exchange.status or 0,
        headers=kept_headers(exchange.response_headers),
        chunks=chunks,
        times=_times(exchange, len(chunks)),
        ending=ending,
        fault=fault,
        tool_calls=reading.tool_calls,
        input_tokens=reading.usage.input_tokens,
        counted_tokens=None if prompt is None else counter.count_prompt(prompt, provider=reading.provider).tokens,
        output_tokens=reading.usage.output_tokens,
    )


def save(
    path: Path,
    interactions: Sequence[Interaction],
    patterns: Sequence[re.Pattern[str]] = (),
    *,
    allowed: frozenset[str] = frozenset(),
    limit: int = DEFAULT_LIMIT,
) -> None:
    """Write a cassette: redacted, read back, looked through for what is secret, and only then put in place.

    Only its owner may read the file, and what stood there stays where it cannot be written.

    Args:
        path: The file.
        interactions: What was recorded.
        patterns: What they match is replaced.
        allowed: Kinds and names of findings that are no secrets.
        limit: How large the file may be, bytes.

    Raises:
        CassetteError: If something in it is secret or looks like a key, if it is too large, or if it cannot be written.
    """
    redactor = Redactor(tuple(patterns))
    text = cassette_text(interactions, redactor)
    data = text.encode()
    if len(data) > limit:
        raise too_large(path, f"is not written: it would have {len(data):,} bytes", limit)
    LeakCheck(redactor, allowed).refuse(parse_cassette(path, text))
    try:
        write_atomically(path, data, mode=0o600, follow_link=False)
    except OSError as error:
        raise CassetteError(
            f"{path} cannot be written: {error.strerror or error}", remedy="make its folder writable"
        ) from None


def _times(exchange: Exchange, pieces: int) -> tuple[float, ...]:
    """Give the arrival of each piece; the last one is there when the answer ends, so that its duration is kept."""
    times = [max(0.0, time - exchange.started) for time in exchange.chunk_times[:pieces]]
    times += [exchange.ended - exchange.started] * (pieces - len(times))
    if times and exchange.end == "complete":
        times[-1] = max(times[-1], exchange.ended - exchange.started)
    return tuple(times)


def _ending(exchange: Exchange) -> tuple[Ending, Fault | None]:
    # A stream that the consumer left without closing it is one that it closed.
    if exchange.end in ("complete", "closed") or (exchange.end == "open" and exchange.status is not None):
        return "complete", None
    if exchange.end in ("cancelled", "open"):
        return "abandoned", None
    cut = exchange.end == "cut"
    named = (fault for word, fault in _FAULT_WORDS if word in (exchange.error or ""))
    return ("cut" if cut else "failed"), next(named, "protocol_error" if cut else "connect_error")
