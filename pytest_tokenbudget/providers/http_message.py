"""A request and a response as wire formats look at them: parsed, however they are framed.

Server-sent events follow the HTML standard (section 9.2; read 2026-11), as leniently as model servers need it; Ollama and
Cohere's version 1 send a JSON value a line; Google sends an array; Amazon a binary stream of events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pytest_tokenbudget.providers.loose import BROKEN, array_items, decoded, header, parse, parse_many, response_body
from pytest_tokenbudget.records.exchange import Exchange, Headers

if TYPE_CHECKING:
    from pytest_tokenbudget.providers.eventstream import Message


JsonObject = dict[str, Any]

_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "maxTokens", "num_predict")
_LIMIT_HOLDERS = ("generationConfig", "generation_config", "inferenceConfig", "options", "parameters")
"""Fields of OpenAI, Anthropic, Google, Bedrock and Ollama, and the objects that may hold them."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, with or without an answer yet.

    Attributes:
        method: HTTP method, upper case.
        url: The split URL.
        headers: Header name (lower case) -> value.
        body: The parsed JSON object of the body, ``None`` where it is none.
    """

    method: str
    url: SplitResult
    headers: dict[str, str]
    body: JsonObject | None

    @property
    def path(self) -> str:
        """The URL's path without a slash at its end."""
        return self.url.path.rstrip("/")

    @property
    def host(self) -> str:
        """The host in lower case, without port; ``""`` where the URL has none or is damaged."""
        try:
            return (self.url.hostname or "").rstrip(".")
        except ValueError:
            return ""

    @property
    def port(self) -> int | None:
        """The port that the URL names, if it names one."""
        try:
            return self.url.port
        except ValueError:
            return None

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens that the answer may have, in any API's own field; ``None`` where the request does not say."""
        body = self.body or {}
        for holder in (body, *[body.get(name) for name in _LIMIT_HOLDERS]):
            if isinstance(holder, dict):
                for name in _LIMITS:
                    value = holder.get(name)
                    if type(value) is int and value > 0:
                        return value
        return None

    def ends(self, *suffixes: str) -> bool:
        """Tell whether this is a POST to a path that ends with one of the suffixes."""
        return self.method == "POST" and self.path.endswith(suffixes)

    def has(self, *names: str) -> bool:
        """Tell whether the body has one of the fields, or could not be read, so that the path alone must decide."""
        body = self.body
        return body is None or any(name in body for name in names)

    def segment_after(self, marker: str) -> str:
        """The path segment behind a marker, percent-decoded: ``abc`` of ``/model/abc/converse``."""
        _, found, rest = self.path.rpartition(f"/{marker}/")
        return unquote(rest.split("/", 1)[0]) if found else ""


def parse_request(method: str, url: str, headers: Headers = (), body: bytes | None = None) -> Request:
    """Parse a request; nothing of it may be valid, and nothing raises."""
    found = None
    if body and method != "GET":
        data = decoded(body, headers)
        if data[:64].lstrip()[:1] == b"{":
            value = parse(data)
            found = value if isinstance(value, dict) else None
    return Request(method.upper(), split_url(url), {name.lower(): value for name, value in headers}, found)


def request_of(exchange: Exchange) -> Request:
    """Parse the request of an exchange."""
    return parse_request(exchange.method, exchange.url, exchange.request_headers, exchange.request_body)


def split_url(url: str) -> SplitResult:
    """Split a URL; of a damaged one the path alone is kept."""
    try:
        return urlsplit(url)
    except ValueError:
        path = url.partition("://")[2].partition("/")[2].partition("?")[0]
        return SplitResult("", "", f"/{path}", "", "")


Framing = Literal["json", "array", "sse", "ndjson", "eventstream", "none"]
"""``array`` is a JSON array whose items are the stream's events; ``none`` is a body that holds no JSON."""

_HIGHEST_FIRST_BYTE = 2
"""Amazon's binary messages begin with their length, which is at most 32 MB."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response, decoded.

    Attributes:
        documents: The JSON objects in order.
        framing: How they stood in the body.
        numbers: For each document the number of its event, line or item in the body.
        body: The decoded body.
        messages: Messages of a binary event stream, else empty.
        inner: What stands in the payloads of the messages, where they are pieces of another stream (SageMaker).
        problems: What could not be read, in words.
        left: Whether whoever asked went away before the body's end.
    """

    documents: list[dict[str, Any]]
    framing: Framing
    numbers: list[int] | range
    body: bytes
    messages: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()
    inner: Response | None = None
    left: bool = False

    @property
    def streamed(self) -> bool:
        """Tell whether the body is a stream of events."""
        return self.framing not in ("json", "none")

    def end_of(self, index: int) -> int:
        """Offset in the body just behind the event that holds a document."""
        number = self.numbers[index]
        if self.framing == "sse":
            return _end_of_event(self.body, number)
        if self.framing == "ndjson":
            return _end_of_line(self.body, number)
        if self.inner is not None:
            return self._end_around(self.inner.end_of(index))
        if self.framing == "eventstream":
            return self.messages[number].end
        text = self.body.decode("utf-8", "replace")
        item = next(islice(array_items(text), number, None), None)
        return len(self.body) if item is None else len(text[: item[1]].encode())

    def _end_around(self, offset: int) -> int:
        """Offset behind the message whose payload reaches an offset in the joined payloads."""
        length = 0
        for message in self.messages:
            length += len(message.payload)
            if length >= offset:
                return message.end
        return len(self.body)


def response_of(exchange: Exchange) -> Response:
    """Decode an exchange's response. The bytes decide how it is framed; the content type is often wrong."""
    decoded = response_body(exchange)
    body, left = decoded.data, exchange.end in ("closed", "open")
    if not body:
        return Response([], "none", [], body, (), decoded.problems, left=left)
    found = _framed(body, header(exchange.response_headers, "content-type"))
    if not decoded.problems and not left:
        return found
    return replace(found, problems=decoded.problems + found.problems, left=left)


def _framed(body: bytes, content_type: str) -> Response:
    if body[0] <= _HIGHEST_FIRST_BYTE or "vnd.amazon.eventstream" in content_type:
        from pytest_tokenbudget.providers import eventstream

        if eventstream.CONTENT_TYPE in content_type or eventstream.looks_like(body[:12]):
            return _from_eventstream(body)
    if body[:64].lstrip(b"\xef\xbb\xbf\r\n \t").startswith(_STARTS) or "text/event-stream" in content_type:
        return _from_sse(body)
    return _from_json(body)


def _from_sse(body: bytes) -> Response:
    payloads, names, ended = _events(body)
    wanted = [n for n, payload in enumerate(payloads) if _is_json(payload)]
    values = parse_many([payloads[n] for n in wanted])
    documents: list[dict[str, Any]] = []
    numbers: list[int] = []
    problems: list[str] = []
    broken = 0
    for number, value in zip(wanted, values, strict=True):
        if names[number] == b"error" and value is not BROKEN:
            value = {"error": value.get("error", value) if isinstance(value, dict) else value}  # noqa: PLW2901 - wrapped
        if isinstance(value, dict):
            documents.append(value)
            numbers.append(number)
        elif value is BROKEN:
            for line in _lines_of_event(payloads[number]):
                documents.append(line)
                numbers.append(number)
            broken += 1
    if broken == 1 and not ended:
        problems.append("the stream was cut inside an event")
    elif broken:
        problems.append(f"{broken} events are not JSON")
    if not documents:
        if body.lstrip()[:1] == b"{" or not payloads:
            return _from_json(body)
        problems.append("no event holds a JSON object")
    return Response(documents, "sse", numbers, body, (), tuple(problems))


def _is_json(payload: bytes) -> bool:
    start = payload[:1]
    if start not in (b"{", b"["):
        start = payload.lstrip()[:1]
    return start == b"{" or (start == b"[" and payload.strip() != b"[DONE]")


def _lines_of_event(payload: bytes) -> list[dict[str, Any]]:
    """Servers that forget the blank line between events put several documents into one."""
    if b"\n" not in payload:
        return []
    values = parse_many(payload.split(b"\n"))
    return [value for value in values if isinstance(value, dict)]


def _from_json(body: bytes) -> Response:
    value = parse(body)
    if isinstance(value, dict):
        return Response([value], "json", [0], body)
    if isinstance(value, list):
        numbers = [n for n, item in enumerate(value) if isinstance(item, dict)]
        return Response([value[n] for n in numbers], "array", numbers, body)
    start = body.lstrip()[:1]
    if value is not BROKEN or start not in (b"{", b"["):
        return Response([], "none", [], body, (), ("the body is not JSON",))
    return _from_lines(body) if start == b"{" else _from_cut_array(body)


def _from_lines(body: bytes) -> Response:
    lines = _lines(body)
    # the lines of a damaged document that was written over thousands of them are not worth parsing
    wanted = [n for n, line in enumerate(lines) if line.lstrip()[:1] == b"{"]
    values = parse_many([lines[n] for n in wanted])
    found = [(n, value) for n, value in zip(wanted, values, strict=True) if isinstance(value, dict)]
    if not found:
        return Response([], "none", [], body, (), ("the body is not valid JSON",))
    broken = len(lines) - len(found)
    problems = (f"{broken} lines are not JSON",) if broken else ()
    return Response([value for _, value in found], "ndjson", [n for n, _ in found], body, (), problems)


def _from_cut_array(body: bytes) -> Response:
    items = list(array_items(body.decode("utf-8", "replace")))
    numbers = [n for n, (value, _) in enumerate(items) if isinstance(value, dict)]
    documents = [items[n][0] for n in numbers]
    return Response(documents, "array" if documents else "none", numbers, body, (), ("the JSON array was cut",))


def _from_eventstream(body: bytes) -> Response:
    from pytest_tokenbudget.providers import eventstream

    messages, whole = eventstream.messages(body)
    if not messages:
        return _from_json(body)
    problems = () if whole else ("the event stream was cut",)
    if all(message.headers.get(":event-type") == "PayloadPart" for message in messages):
        inner = _framed(b"".join(message.payload for message in messages), "")
        found = problems + inner.problems
        return Response(inner.documents, "eventstream", inner.numbers, body, tuple(messages), found, inner)
    documents: list[dict[str, Any]] = []
    numbers: list[int] = []
    values = parse_many([message.payload for message in messages])
    for number, (message, value) in enumerate(zip(messages, values, strict=True)):
        headers = message.headers
        if headers.get(":message-type") in ("exception", "error"):
            kind = headers.get(":exception-type") or headers.get(":error-code") or "exception"
            text = value.get("message") if isinstance(value, dict) else None
            documents.append({"error": {"type": kind, "message": text or headers.get(":error-message")}})
        elif isinstance(value, dict):
            documents.append({headers.get(":event-type", ""): value})
        else:
            documents.append({headers.get(":event-type", ""): {"raw": message.payload}})
        numbers.append(number)
    return Response(documents, "eventstream", numbers, body, tuple(messages), problems)


_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


def _events(body: bytes) -> tuple[list[bytes], list[bytes], bool]:
    """Split a body into the events that carry data.

    Lines may end in CR LF, LF or CR. An event at the end that no blank line ends is kept: many servers forget it.

    Returns:
        The data of each, its lines joined with a line feed; the ``event`` field of each; whether a blank line ended the last.
    """
    payloads: list[bytes] = []
    names: list[bytes] = []
    data: bytes | None = None
    name = b""
    for line in (body[3:] if body.startswith(b"\xef\xbb\xbf") else body).splitlines():
        if not line:
            if data is not None:
                payloads.append(data)
                names.append(name)
                data = None
            name = b""
        elif line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            data = value if data is None else data + b"\n" + value
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    ended = data is None
    if data is not None:
        payloads.append(data)
        names.append(name)
    return payloads, names, ended


def _end_of_event(body: bytes, number: int) -> int:
    """Offset just behind the blank line that ends an event (by its number among those that carry data), or the body's end."""
    offset, seen, has_data = 0, -1, False
    for line in body.splitlines(keepends=True):
        offset += len(line)
        bare = line.rstrip(b"\r\n")
        if bare.removeprefix(b"\xef\xbb\xbf").startswith(b"data:"):
            has_data = True
        elif not bare and has_data:
            seen, has_data = seen + 1, False
            if seen == number:
                return offset
    return len(body)


def _lines(body: bytes) -> list[bytes]:
    """The lines that hold something."""
    return [line for line in body.splitlines() if line and not line.isspace()]


def _end_of_line(body: bytes, number: int) -> int:
    """Offset just behind a line, by its number among those that hold something."""
    offset, seen = 0, -1
    for line in body.splitlines(keepends=True):
        offset += len(line)
        if not line.isspace():
            seen += 1
            if seen == number:
                return offset
    return len(body)
