"""Cassettes as files: JSON lines that can be read and compared.

The first line is the header. A ``content`` line holds a message, a tool schema or another large part of a request, once;
a ``take`` line holds a request that refers to contents and to earlier requests, and the line after it the ``answer`` with the time of each chunk.

Version 1: the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.providers.names import current_provider
from pytest_tokenbudget.records.exchange import Headers
from pytest_tokenbudget.replay.folding import Folded, Folder, Unfolder, pack, unpack
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.redaction import Redactor, dump, redacted_chunks

VERSION = 1
KIND = "tokenbudget_cassette"
RECORD = "pytest --tokenbudget-traffic=record"
DEFAULT_LIMIT = 50_000_000
"""Bytes that a cassette may have."""

MOST_TOKENS = 10**12
"""From this number on a count of tokens is taken for damage."""

_DEEPEST = 200
"""Levels of nesting that are read."""

_DIGITS = 6
"""Times are kept to the microsecond."""

_ENDINGS = ("complete", "cut", "failed", "abandoned")
_FAULTS = (None, *get_args(Fault))


def cassette_text(interactions: Sequence[Interaction], redactor: Redactor) -> str:
    """Write interactions as the text of a cassette, redacted."""
    lines = [_line({KIND: VERSION, "calls": len(interactions)})]
    folder = Folder(redactor)
    for number, one in enumerate(interactions, start=1):
        folded = None if one.body is None else folder.fold(number, one.body)
        if folded is not None:
            lines += [_line({"content": name, "value": content}) for name, content in folded.fresh.items()]
        lines += [_line(_request_line(number, one, folded, redactor)), _line(_answer_line(number, one, redactor))]
    return "\n".join([*lines, ""])


def _line(value: dict[str, Any]) -> str:
    # JSON may hold lone surrogates, and UTF-8 may not.
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", dump(value))


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _request_line(number: int, one: Interaction, folded: Folded | None, redactor: Redactor) -> dict[str, Any]:
    line = {
        "take": number,
        "stage": redactor.text(one.stage),
        "api": one.api,
        "provider": redactor.text(one.provider),
        "model": redactor.text(one.model),
        "method": one.method,
        "url": redactor.text(one.url),
        "started": round(one.started, _DIGITS),
        "request": None if folded is None else folded.request,
    }
    return {**line, "redacted": True} if one.redacted or (folded is not None and folded.redacted) else line


def _answer_line(number: int, one: Interaction, redactor: Redactor) -> dict[str, Any]:
    line: dict[str, Any] = {
        "answer": number,
        "status": one.status,
        "headers": {name: redactor.text(value) for name, value in one.headers},
        "input_tokens": one.input_tokens,
        "counted_tokens": one.counted_tokens,
        "output_tokens": one.output_tokens,
        "tool_calls": [redactor.text(name) for name in one.tool_calls],
        "duration": round(one.duration, _DIGITS),
        "ending": one.ending,
    }
    if one.fault is not None:
        line["fault"] = one.fault
    chunks, times = redacted_chunks(one.chunks, tuple(round(time, _DIGITS) for time in one.times), redactor)
    line["chunks"] = pack(chunks, times)
    return line


def read_cassette(path: Path, *, limit: int = DEFAULT_LIMIT) -> tuple[Interaction, ...]:
    """Read a cassette: its interactions in the order of their starts.

    Args:
        path: The file.
        limit: How large it may be, bytes.

    Raises:
        CassetteError: If it is missing, too large or damaged; the message names the line.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise too_large(path, f"has {size:,} bytes", limit)
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise CassetteError(f"there is no cassette {path}", remedy=f"record it: {RECORD}") from None
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _broken(path, f"is no UTF-8 text (byte {error.start})") from None
    return parse_cassette(path, text)


def parse_cassette(path: Path, text: str) -> tuple[Interaction, ...]:
    """Read the text of a cassette.

    Raises:
        CassetteError: If it is damaged; the message names the line.
    """
    return _Reader(path).read(text)


def too_large(path: Path, what: str, limit: int) -> CassetteError:
    """Make the error of a cassette that passes its limit."""
    return CassetteError(
        f"{path}: {what}; the limit is {limit / 1e6:g} MB",
        remedy=f"record a shorter run, or raise it: tokenbudget_cassette_limit = {2 * limit}",
    )


def _broken(path: Path, problem: str) -> CassetteError:
    return CassetteError(f"{path}: {problem}", remedy=f"restore it, or record again: {RECORD}")


class _Damaged(Exception):
    """Raised for a line that is not as it should be."""


class _Reader:
    """Reads the lines of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfolder = Unfolder()
        self._asked: dict[str, Any] | None = None
        self._interactions: list[Interaction] = []

    def read(self, text: str) -> tuple[Interaction, ...]:
        """Read all lines."""
        calls: object = None
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            value = self._json(number, line)
            if calls is None:
                calls = self._header(number, value)
                continue
            try:
                self._line(value)
            except KeyError as error:
                raise self._damaged(number, f"{error} is missing") from None
            except (_Damaged, ValueError, TypeError) as error:
                raise self._damaged(number, str(error)) from None
        if calls is None:
            raise _broken(self._path, "is empty")
        if self._asked is not None or calls != len(self._interactions):
            raise _broken(self._path, f"ends too early: {len(self._interactions)} of {calls} calls")
        return tuple(self._interactions)

    def _damaged(self, number: int, what: str) -> CassetteError:
        return _broken(self._path, f"line {number}: is damaged: {what[:300]}")

    def _json(self, number: int, line: str) -> dict[str, Any]:
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise _broken(self._path, f"line {number}: holds the conflict marker of a merge")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(self._path, f"line {number}: is no JSON ({str(error)[:200]})") from None
        if not isinstance(value, dict):
            raise _broken(self._path, f"line {number}: is no JSON object")
        if line.count("[") + line.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
            raise self._damaged(number, f"it is nested more than {_DEEPEST} levels deep")
        return value

    def _header(self, number: int, value: dict[str, Any]) -> object:
        version = value.get(KIND)
        if type(version) is not int or version < 1:
            raise _broken(self._path, f"line {number}: does not say that this is a cassette")
        if version > VERSION:
            raise CassetteError(
                f"{self._path}: has format {version}, this version reads up to {VERSION}",
                remedy="pip install --upgrade pytest-tokenbudget",
            )
        return value.get("calls", -1)

    def _line(self, value: dict[str, Any]) -> None:
        if self._asked is not None:
            if value.get("answer") != self._asked["take"]:
                raise _Damaged(f"the answer of call {self._asked['take']} is missing")
            self._interactions.append(self._interaction(self._asked, value))
            self._asked = None
        elif "content" in value:
            self._unfolder.keep(_text(value, "content"), value["value"])
        elif "take" in value:
            if value["take"] != len(self._interactions) + 1:
                raise _Damaged(f"call {value['take']!r} where call {len(self._interactions) + 1} should be")
            self._asked = value
        else:
            raise _Damaged("neither content, take nor answer")

    def _interaction(self, asked: dict[str, Any], answer: dict[str, Any]) -> Interaction:
        folded = asked.get("request")
        if folded is not None and not isinstance(folded, dict):
            raise _Damaged("request is no object")
        chunks, times = unpack(answer.get("chunks"))
        ending, fault = answer.get("ending"), answer.get("fault")
        if ending not in _ENDINGS or fault not in _FAULTS:
            raise _Damaged(f"ending {ending!r} or fault {fault!r} is not known")
        status = _number(answer, "status")
        if status != int(status) or not (status == 0 or 100 <= status < 1000):
            raise _Damaged(f"status is {status:g}, not one of HTTP")
        if not status and fault is None and ending != "abandoned":
            raise _Damaged("there is neither a status nor a fault")
        calls = answer.get("tool_calls", [])
        if not isinstance(calls, list):
            raise _Damaged("tool_calls is no list")
        return Interaction(
            api=_text(asked, "api", longest=100),
            provider=current_provider(_text(asked, "provider", longest=100)),
            stage=_text(asked, "stage", longest=1000),
            method=_text(asked, "method", longest=100),
            url=_url(asked),
            model=_text(asked, "model", longest=1000),
            body=self._unfolder.unfold(folded),
            started=_number(asked, "started"),
            duration=_number(answer, "duration"),
            status=int(status),
            headers=_headers(answer),
            chunks=chunks,
            times=times,
            ending=ending,
            fault=fault,
            tool_calls=tuple(map(str, calls)),
            input_tokens=_tokens(answer, "input_tokens"),
            counted_tokens=_tokens(answer, "counted_tokens"),
            output_tokens=_tokens(answer, "output_tokens"),
            redacted=asked.get("redacted") is True,
        )


def _depth(value: object) -> int:
    """Measure how deep a JSON value is nested, as far as one level more than is read."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        depth += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def _url(line: dict[str, Any]) -> str:
    url = _text(line, "url")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _Damaged(f"url is malformed: {error}") from None
    if not url.isprintable() or not parts.scheme:
        raise _Damaged(f"url is {url[:80]!r}")
    return url


_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")


def _headers(line: dict[str, Any]) -> Headers:
    headers = line.get("headers")
    if not isinstance(headers, dict):
        raise _Damaged("headers is no object")
    for name, text in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise _Damaged(f"header {name[:80]!r} is {str(text)[:80]!r}")
    return tuple(headers.items())


def _text(line: dict[str, Any], name: str, *, longest: int = 10_000) -> str:
    value = line.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise _Damaged(f"{name} is {str(value)[:80]!r}, not a text")
    return value


def _number(line: dict[str, Any], name: str) -> float:
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise _Damaged(f"{name} is {str(value)[:80]}, not a number of 0 or more")
    return float(value)


def _tokens(line: dict[str, Any], name: str) -> int | None:
    value = line.get(name)
    if value is not None and (type(value) is not int or not 0 <= value < MOST_TOKENS):
        raise _Damaged(f"{name} is {str(value)[:80]}, not a number of tokens")
    return value
