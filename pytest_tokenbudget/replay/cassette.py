"""A cassette: the recorded calls of one run, as JSON lines.

The first line says the format. A ``part`` line holds a message, a tool or a long text, once, under its digest; a
``call`` line holds one exchange and refers to parts by their digests. Every line is one JSON object with sorted keys, so
that a diff shows what changed and nothing else. No header, query key or text that looks like a credential gets in.
"""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.records.exchange import End, Headers

FORMAT = 1
"""1: the first format (2026-11)."""

_LONG = 120
"""Characters from which on a text of a request is stored once and referred to."""

_REFERENCE = "$part"
Json = Any


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One recorded exchange.

    Attributes:
        number: Its position in the order of starts, from 0.
        stage: Path of the stage that code had opened, ``""`` for none.
        api: Its wire format.
        method: HTTP method.
        url: URL without credentials.
        body: The request's JSON object.
        streamed: Whether a streamed answer was asked for.
        status: HTTP status, ``None`` where there was no response.
        headers: Response headers that matter to a client.
        chunks: The decoded body in the pieces in which it arrived.
        times: When each piece arrived, s after the start.
        started: Its start, s after the run's first.
        duration: Its duration, s.
        end: How it ended.
        error: Type name of the exception that ended it.
        input_tokens: The provider's input tokens, ``None`` where it sent none.
        counted_tokens: The local count of the request.
        tool_calls: Names of the tools that the answer calls.
    """

    number: int
    stage: str
    api: str
    method: str
    url: str
    body: dict[str, Any]
    streamed: bool
    status: int | None
    headers: Headers
    chunks: tuple[bytes, ...]
    times: tuple[float, ...]
    started: float
    duration: float
    end: End = "complete"
    error: str | None = None
    input_tokens: int | None = None
    counted_tokens: int = 0
    tool_calls: tuple[str, ...] = ()


def digest(value: Json) -> str:
    """Digest of a JSON value: equal content, equal digest."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=9).hexdigest()


def dump(calls: Iterable[RecordedCall]) -> str:
    """The text of a cassette."""
    parts: dict[str, Json] = {}
    lines = [_line({"tokenbudget_cassette": FORMAT})]
    for call in calls:
        new: dict[str, Json] = {}
        written = _call_json(call, new)
        lines += [_line({"part": key, "value": value}) for key, value in new.items() if key not in parts]
        parts.update(new)
        lines.append(_line(written))
    return "\n".join(lines) + "\n"


def _line(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).translate(_LONE_SURROGATES)


class _Surrogates(dict[int, str]):
    def __missing__(self, code: int) -> str:
        return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else chr(code)


_LONE_SURROGATES = _Surrogates()


def _call_json(call: RecordedCall, parts: dict[str, Json]) -> Json:
    return {
        "call": call.number,
        "api": call.api,
        "body": {key: _stored(value, parts) for key, value in call.body.items()},
        "chunks": [_chunk_json(chunk) for chunk in call.chunks],
        "counted_tokens": call.counted_tokens,
        "duration": round(call.duration, 6),
        "end": call.end,
        "error": call.error,
        "headers": [list(pair) for pair in call.headers],
        "input_tokens": call.input_tokens,
        "method": call.method,
        "stage": call.stage,
        "started": round(call.started, 6),
        "status": call.status,
        "streamed": call.streamed,
        "times": [round(time, 6) for time in call.times],
        "tool_calls": list(call.tool_calls),
        "url": call.url,
    }


def _stored(value: Json, parts: dict[str, Json]) -> Json:
    """A field of a request: its items, and long texts, become references."""
    if isinstance(value, list):
        return [_part(item, parts) if isinstance(item, dict) else _stored(item, parts) for item in value]
    if isinstance(value, dict) or (isinstance(value, str) and len(value) >= _LONG):
        return _part(value, parts)
    return value


def _part(value: Json, parts: dict[str, Json]) -> Json:
    key = digest(value)
    parts[key] = value
    return {_REFERENCE: key}


def _chunk_json(chunk: bytes) -> Json:
    try:
        return chunk.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(chunk).decode()}


def load(path: Path) -> tuple[RecordedCall, ...]:
    """Read a cassette.

    Raises:
        CassetteError: If it cannot be read; it names the file and the line.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _broken(path, f"is no UTF-8 text (byte {error.start})") from None
    parts: dict[str, Json] = {}
    calls: list[RecordedCall] = []
    lines = list(_lines(path, text))
    _check_format(path, lines[0][1] if lines else {})
    for number, value in lines[1:]:
        try:
            if "part" in value:
                parts[value["part"]] = value["value"]
            else:
                calls.append(_call(value, parts))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _broken(path, f"line {number}: is damaged ({type(error).__name__}: {error})") from None
    return tuple(calls)


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise _broken(path, f"line {number}: holds the conflict marker of a merge")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(path, f"line {number}: is no JSON ({error})") from None
        if not isinstance(value, dict):
            raise _broken(path, f"line {number}: is no JSON object")
        yield number, value


def _check_format(path: Path, head: Mapping[str, Any]) -> None:
    found = head.get("tokenbudget_cassette")
    if not isinstance(found, int):
        raise _broken(path, "line 1: does not say that this is a cassette")
    if found > FORMAT:
        raise CassetteError(
            f"{path}: has format {found}, this version reads up to {FORMAT}",
            remedy="pip install --upgrade pytest-tokenbudget",
        )


def _broken(path: Path, problem: str) -> CassetteError:
    return CassetteError(f"{path}: {problem}", remedy="pytest --tokenbudget-traffic=record")


def _call(value: Mapping[str, Any], parts: Mapping[str, Json]) -> RecordedCall:
    return RecordedCall(
        number=int(value["call"]),
        stage=str(value["stage"]),
        api=str(value["api"]),
        method=str(value["method"]),
        url=str(value["url"]),
        body={key: _restored(item, parts) for key, item in value["body"].items()},
        streamed=bool(value["streamed"]),
        status=value["status"],
        headers=tuple((str(name), str(content)) for name, content in value["headers"]),
        chunks=tuple(_chunk(chunk) for chunk in value["chunks"]),
        times=tuple(float(time) for time in value["times"]),
        started=float(value["started"]),
        duration=float(value["duration"]),
        end=value["end"],
        error=value["error"],
        input_tokens=value["input_tokens"],
        counted_tokens=int(value["counted_tokens"]),
        tool_calls=tuple(map(str, value["tool_calls"])),
    )


def _restored(value: Json, parts: Mapping[str, Json]) -> Json:
    if isinstance(value, list):
        return [_restored(item, parts) for item in value]
    if isinstance(value, dict) and set(value) == {_REFERENCE}:
        return parts[value[_REFERENCE]]
    return value


def _chunk(value: Json) -> bytes:
    return b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode("utf-8", "surrogatepass")


def write(path: Path, text: str) -> None:
    """Write a cassette in one step: what stood there stays until the new one is whole.

    Raises:
        CassetteError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise CassetteError(
            f"{path}: cannot be written: {error.strerror or error}", remedy="make its directory writable"
        ) from None
