"""Keeps out of cassettes what does not belong there.

Credentials of headers and URLs are left out. What a project's own patterns (``tokenbudget_redact``) match is replaced in
decoded values, which are then written anew: as JSON may escape what a pattern matches, nothing is replaced in raw text
where the text is JSON. What remains is looked through for secrets, decoded again.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.records.exchange import Headers

REDACTED = "[redacted]"

KEPT_QUERY = ("alt", "api-version", "stream")
KEPT_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
KEPT_HEADER_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "x-amzn-bedrock-")
"""Response headers that clients act on. All others, and all request headers, are left out."""

_TOKEN_COUNTS = re.compile(r"(?i)usage|tokens?\b|tokens?count|_count|duration")
"""Keys of numbers that are never redacted: a replay needs them, and they tell nothing about anybody."""

_ENVELOPE = frozenset(
    ("id", "object", "model", "type", "role", "status", "event", "system_fingerprint", "service_tier", "finish_reason")
)
"""Keys that stand in each event of a stream with the same value, and not with the next piece of a text."""

_DISCRIMINATORS = ("index", "output_index", "content_index", "item_id")


def kept_headers(headers: Headers) -> Headers:
    """Give the response headers that a cassette keeps."""
    return tuple(
        (name.lower(), value)
        for name, value in headers
        if name.lower() in KEPT_HEADERS or name.lower().startswith(KEPT_HEADER_PREFIXES)
    )


def bare_url(url: str) -> str:
    """Give a URL without user and fragment, and with those query keys only that say which API is called."""
    try:
        parts = urlsplit(url)
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name in KEPT_QUERY])
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
    except ValueError:
        return url.partition("?")[0].partition("#")[0]


def compile_patterns(lines: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Read a project's own patterns (``tokenbudget_redact``).

    Raises:
        SettingsError: If one is no regular expression.
    """
    patterns = []
    for line in lines:
        try:
            patterns.append(re.compile(line))
        except (re.error, OverflowError, RecursionError) as error:
            raise SettingsError(
                f"tokenbudget_redact: {line!r} is no regular expression: {error}",
                remedy=r"tokenbudget_redact = acct-\d+",
            ) from None
    return tuple(patterns)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces what a project's patterns match.

    Attributes:
        patterns: The patterns.
    """

    patterns: tuple[re.Pattern[str], ...] = ()

    def text(self, text: str) -> str:
        """Redact a text."""
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """Redact a JSON value: its texts, the JSON within them, its keys and its numbers.

        Args:
            value: The value.
            key: The key under which it stands.
        """
        if not self.patterns or value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        if isinstance(value, dict):
            redacted: dict[str, Any] = {}
            for name, one in value.items():
                below = key if _TOKEN_COUNTS.search(key) else name
                redacted[self._unused_key(self.text(name), redacted)] = self.value(one, below)
            return redacted
        return self._number(value, key)

    def _string(self, value: str) -> str:
        nested = nested_json(value)
        if nested is None:
            return self.text(value)
        redacted = self.value(nested)
        return value if redacted == nested else dump(redacted)

    def _number(self, value: float, key: str) -> float | str:
        if _TOKEN_COUNTS.search(key) or self.match(dump(value)) is None:
            return value
        return 0 if self.match("0") is None else REDACTED

    @staticmethod
    def _unused_key(key: str, keys: dict[str, Any]) -> str:
        unused, number = key, 2
        while unused in keys:
            unused, number = f"{key} {number}", number + 1
        return unused

    def match(self, text: str) -> str | None:
        """Give the pattern that matches in a text, ``None`` for none."""
        return next((pattern.pattern for pattern in self.patterns if pattern.search(text)), None)

    def answer(self, body: str) -> list[Edit]:
        """Redact the body of an answer: each of its JSON documents, what they say together, and what stands between.

        Returns:
            What to replace, in order.
        """
        if not self.patterns:
            return []
        spans = documents(body)
        changed = self._redact_joined([value for _, _, value in spans])
        edits: list[Edit] = []
        at = 0
        for number, (start, end, value) in enumerate(spans):
            edits += self._edits_of_raw(body, at, start)
            redacted = self.value(value)
            if number in changed or redacted != value:
                edits.append((start, end, dump(redacted)))
            at = end
        return edits + self._edits_of_raw(body, at, len(body))

    def _edits_of_raw(self, body: str, start: int, end: int) -> list[Edit]:
        raw = body[start:end]
        redacted = self.text(raw)
        return [] if redacted == raw else [(start, end, redacted)]

    def _redact_joined(self, values: list[Any]) -> set[int]:
        """Redact, in place, what a pattern matches across pieces; gives the numbers of the documents that changed."""
        changed: set[int] = set()
        for pieces in stream_pieces(values).values():
            if len(pieces) == 1:
                continue
            before = [piece.text for piece in pieces]
            after = self._redacted_pieces(before)
            for piece, old, new in zip(pieces, before, after, strict=True):
                if new != old:
                    piece.container[piece.key] = new
                    changed.add(piece.document)
        return changed

    def _redacted_pieces(self, texts: list[str]) -> list[str]:
        joined = "".join(texts)
        nested = nested_json(joined)
        if nested is not None and (redacted := self.value(nested)) != nested:
            texts = [dump(redacted), *("" for _ in texts[1:])]
        for pattern in self.patterns:
            texts = _replaced_across(texts, pattern)
        return texts


Edit = tuple[int, int, str]
"""Start and end of what is replaced, and what takes its place."""


def redacted_chunks(
    chunks: Sequence[bytes], times: Sequence[float], redactor: Redactor
) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
    """Redact an answer in the pieces in which it arrived; what replaces a text that several share is in the last.

    A body that is no text stays as it is: whoever looks through it refuses what is in it.

    Args:
        chunks: The pieces.
        times: Arrival of each.
        redactor: Redacts the body.

    Returns:
        Pieces and times; a piece of which nothing is left is gone.
    """
    try:
        body = b"".join(chunks).decode("utf-8")
    except UnicodeDecodeError:
        return tuple(chunks), tuple(times)
    edits, at, offset = [], 0, 0
    for start, end, text in redactor.answer(body):
        begin = offset + len(body[at:start].encode())
        at, offset = end, begin + len(body[start:end].encode())
        edits.append((begin, offset, text.encode("utf-8", "surrogatepass")))
    if not edits:
        return tuple(chunks), tuple(times)
    written: list[bytes] = []
    begin, waiting = 0, deque(edits)
    for chunk in chunks:
        kept, at, end = bytearray(), begin, begin + len(chunk)
        while waiting and waiting[0][0] < end:
            first, last, text_bytes = waiting[0]
            kept += chunk[at - begin : max(at, first) - begin]
            at = min(last, end)
            if last > end:
                break
            kept += text_bytes
            waiting.popleft()
        written.append(bytes(kept + chunk[at - begin :]))
        begin = end
    pairs = [(chunk, time) for chunk, time in zip(written, times, strict=True) if chunk]
    return tuple(chunk for chunk, _ in pairs), tuple(time for _, time in pairs)


def _replaced_across(texts: list[str], pattern: re.Pattern[str]) -> list[str]:
    ends = list(accumulate(map(len, texts)))
    written = list(texts)
    # From the last match to the first, so that offsets before a match stay as they are.
    for found in reversed([one for one in pattern.finditer("".join(texts)) if one.end() > one.start()]):
        first, last = bisect_right(ends, found.start()), bisect_left(ends, found.end())
        for number in range(first, last + 1):
            begin = ends[number] - len(texts[number])
            start, end = max(0, found.start() - begin), max(0, found.end() - begin)
            kept = written[number]
            written[number] = kept[:start] + (REDACTED if number == first else "") + kept[end:]
    return written


@dataclass(frozen=True, slots=True)
class Piece:
    """A text in a JSON document that may go on in the next one.

    Attributes:
        document: Number of its document.
        container: The object or list that holds it.
        key: Its key there.
    """

    document: int
    container: Any
    key: Any

    @property
    def text(self) -> str:
        """Give the text."""
        return str(self.container[self.key])


def stream_pieces(values: Sequence[Any]) -> dict[tuple[Any, ...], list[Piece]]:
    """Collect the texts of documents by where they stand: those of a stream that stand in one place are one text.

    Args:
        values: The documents.

    Returns:
        The pieces by their path of keys, and of the numbers that tell choices, blocks and items apart.
    """
    groups: dict[tuple[Any, ...], list[Piece]] = {}
    for number, document in enumerate(values):
        stack: list[tuple[Any, tuple[Any, ...]]] = [(document, ())]
        while stack:
            container, path = stack.pop()
            if isinstance(container, dict):
                marks = (container.get(name) for name in _DISCRIMINATORS)
                path = (*path, *(mark for mark in marks if isinstance(mark, int | str)))
                items = [(key, one, (*path, key)) for key, one in container.items() if key not in _ENVELOPE]
            else:
                items = [(key, one, path) for key, one in enumerate(container)]
            for key, one, place in items:
                if isinstance(one, str):
                    groups.setdefault(place, []).append(Piece(number, container, key))
            stack += [(one, place) for _, one, place in reversed(items) if isinstance(one, dict | list)]
    return groups


def documents(body: str) -> list[tuple[int, int, Any]]:
    """Find the JSON documents of a body: the whole of it, or one in each line, also behind ``data:``.

    Returns:
        Start, end and value of each.
    """
    whole = nested_json(body)
    if whole is not None:
        return [(0, len(body), whole)]
    found = []
    for line in _LINE.finditer(body):
        value = nested_json(line[1])
        if value is not None:
            found.append((*line.span(1), value))
    return found


_LINE = re.compile(r"^(?:data:)?[ \t]{0,16}([\[{][^\r\n]*)", re.MULTILINE)


def nested_json(text: str) -> Any:
    """Read a text that is a JSON object or list; ``None`` for any other."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def dump(value: object) -> str:
    """Write compact JSON. Keys stay in their order: the number of tokens depends on it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def readable_lines(value: Any, key: str = "") -> Iterator[str]:
    """Give all texts, keys and numbers of a JSON value, decoded: ``key: value``, JSON within texts included.

    Numbers that count tokens are left out.
    """
    stack: list[tuple[Any, str]] = [(value, key)]
    while stack:
        one, name = stack.pop()
        if isinstance(one, dict):
            for below, inner in reversed(one.items()):
                stack.append((inner, name if _TOKEN_COUNTS.search(name) else below))
                if isinstance(inner, dict | list):
                    stack.append((below, ""))
        elif isinstance(one, list):
            stack += [(inner, name) for inner in reversed(one)]
        elif isinstance(one, str):
            yield f"{name}: {one}" if name else one
            nested = nested_json(one)
            if nested is not None:
                stack.append((nested, name))
        elif isinstance(one, bytes):
            yield one.decode("utf-8", "replace")
        elif isinstance(one, int | float) and not isinstance(one, bool) and not _TOKEN_COUNTS.search(name):
            yield f"{name}: {dump(one)}"
