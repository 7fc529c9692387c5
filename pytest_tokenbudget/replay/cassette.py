"""Cassettes as files: JSON lines that can be read and compared.

The first line is the header. A ``content`` line holds a message, a tool schema or another large part of a request, once;
a ``take`` line holds a request that refers to contents and to earlier requests, and the line after it the ``answer`` with the time of each chunk.

Version 1: the first.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from pytest_tokenbudget.capture.local_answer import Fault
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.replay.folding import Folder, Unfolder, dump, pack, unpack
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.secrets import refuse_keys

VERSION = 1
KIND = "tokenbudget_cassette"
RECORD = "pytest --tokenbudget-traffic=record"
_DIGITS = 6
"""Times are kept to the microsecond."""

_ENDINGS = ("complete", "cut", "failed", "abandoned")
_FAULTS = (None, *get_args(Fault))


def write_cassette(path: Path, interactions: Sequence[Interaction]) -> None:
    """Write a cassette, whole or not at all.

    Raises:
        CassetteError: If something in it looks like a key, or the file cannot be written; the old file stays.
    """
    text = "".join(line + "\n" for line in lines(interactions))
    refuse_keys(_places(interactions))
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = file.name
            file.write(text)
        os.replace(temporary, path)
    except (OSError, UnicodeEncodeError) as error:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        raise CassetteError(f"{path} cannot be written: {error}", remedy="make its folder writable") from None


def _places(interactions: Sequence[Interaction]) -> Iterator[tuple[str, str]]:
    for number, recorded in enumerate(interactions, start=1):
        yield f"the URL of call {number}", recorded.url
        # Escapes of JSON would hide a key that stands behind a line break.
        yield f"the request of call {number}", dump(recorded.body).replace("\\n", "\n").replace('\\"', '"')
        answer = b"".join(recorded.chunks).decode("utf-8", "replace")
        yield f"the answer of call {number}", answer.replace("\\n", "\n").replace('\\"', '"')
        yield f"the headers of call {number}", "\n".join(value for _, value in recorded.headers)
        yield f"what the model says in call {number}", recorded.output_text


def lines(interactions: Sequence[Interaction]) -> Iterator[str]:
    """Give the lines of a cassette, without their ends."""
    yield _line({KIND: VERSION, "calls": len(interactions)})
    folder = Folder()
    for number, recorded in enumerate(interactions, start=1):
        request, fresh = (None, {}) if recorded.body is None else folder.fold(number, recorded.body)
        for name, content in fresh.items():
            yield _line({"content": name, "value": content})
        yield _line(_request_line(number, recorded, request))
        yield _line(_answer_line(number, recorded))


class _LoneSurrogates(dict[int, str]):
    """Escapes what JSON may hold and UTF-8 may not."""

    def __missing__(self, code: int) -> str:
        return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else chr(code)


_ESCAPED = _LoneSurrogates()


def _line(value: dict[str, Any]) -> str:
    return dump(value).translate(_ESCAPED)


def _request_line(number: int, recorded: Interaction, request: object) -> dict[str, Any]:
    line = {
        "take": number,
        "stage": recorded.stage,
        "api": recorded.api,
        "provider": recorded.provider,
        "model": recorded.model,
        "method": recorded.method,
        "url": recorded.url,
        "started": round(recorded.started, _DIGITS),
        "request": request,
    }
    return {**line, "redacted": True} if recorded.redacted else line


def _answer_line(number: int, recorded: Interaction) -> dict[str, Any]:
    line: dict[str, Any] = {
        "answer": number,
        "status": recorded.status,
        "headers": dict(recorded.headers),
        "input_tokens": recorded.input_tokens,
        "counted_tokens": recorded.counted_tokens,
        "output_tokens": recorded.output_tokens,
        "tool_calls": list(recorded.tool_calls),
        "duration": round(recorded.duration, _DIGITS),
        "ending": recorded.ending,
    }
    if recorded.fault is not None:
        line["fault"] = recorded.fault
    line["chunks"] = pack(recorded.chunks, tuple(round(time, _DIGITS) for time in recorded.times))
    return line


def read_cassette(path: Path) -> tuple[Interaction, ...]:
    """Read a cassette: its interactions in the order of their starts.

    Raises:
        CassetteError: If it is missing or damaged; the message names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise CassetteError(f"there is no cassette {path}", remedy=f"record it: {RECORD}") from None
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _broken(path, f"is no UTF-8 text (byte {error.start})") from None
    return _Reader(path).read(text)


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
        return _broken(self._path, f"line {number}: is damaged: {what}")

    def _json(self, number: int, line: str) -> dict[str, Any]:
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise _broken(self._path, f"line {number}: holds the conflict marker of a merge")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(self._path, f"line {number}: is no JSON ({error})") from None
        if not isinstance(value, dict):
            raise _broken(self._path, f"line {number}: is no JSON object")
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
        headers = answer.get("headers")
        calls = answer.get("tool_calls", [])
        if not isinstance(headers, dict) or not isinstance(calls, list):
            raise _Damaged("headers or tool_calls are malformed")
        ending, fault = answer.get("ending"), answer.get("fault")
        if ending not in _ENDINGS or fault not in _FAULTS:
            raise _Damaged(f"ending {ending!r} or fault {fault!r} is not known")
        return Interaction(
            api=_text(asked, "api"),
            provider=_text(asked, "provider"),
            stage=_text(asked, "stage"),
            method=_text(asked, "method"),
            url=_text(asked, "url"),
            model=_text(asked, "model"),
            body=self._unfolder.unfold(folded),
            started=_number(asked, "started"),
            duration=_number(answer, "duration"),
            status=int(_number(answer, "status")),
            headers=tuple((str(name), str(text)) for name, text in headers.items()),
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


def _text(line: dict[str, Any], name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise _Damaged(f"{name} is {value!r}, not a text")
    return value


def _number(line: dict[str, Any], name: str) -> float:
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise _Damaged(f"{name} is {value!r}, not a number of 0 or more")
    return float(value)


def _tokens(line: dict[str, Any], name: str) -> int | None:
    value = line.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise _Damaged(f"{name} is {value!r}, not a number of tokens")
    return value
