"""Writes the bytes of a baseline file and reads them. It says what is wrong with a file that cannot be read.

The same entries give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pytest_tokenbudget.baselines.document import render, to_document, to_entry
from pytest_tokenbudget.baselines.migrations import FORMAT, NEEDS, STEPS, Document, Step, migrate
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.files import DiskCache
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.wording import with_visible_escapes

_CONFLICT = re.compile(rb"^(?:<{7}|\|{7}|={7}|>{7})(?: .*)?\r?$", re.MULTILINE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_VERSION = re.compile(r"\d+(?:\.\d+){0,3}")
_TAG = re.compile(r"<\w+>")
_RESTORE = "`git checkout -- {path}` brings back the committed file; or delete it and run pytest --tokenbudget-update"
_MESSAGES = {"missing": "the key is missing", "extra_forbidden": "the key is unknown"}
_NEVER_NEGATIVE = frozenset(spec.name for spec in BUILTIN_METRICS)


class _DuplicateKey(ValueError):
    """A key that stands twice in one object."""


def checked_cache(folder: Path | None) -> DiskCache:
    """Keep between sessions which files were found to be valid; ``None`` keeps it for this process alone."""
    path = folder and folder / "checked_baselines.json"
    return DiskCache(path, libraries=("pytest-tokenbudget",), form=FORMAT, most=10_000)


def read_document(data: bytes, path: Path, *, steps: Mapping[int, Step], checked: DiskCache) -> Document:
    """Read a file of this format or of an older one.

    Args:
        data: The file's content.
        path: Its path, for messages only.
        steps: Migrations by the format that they start from.
        checked: Files of the current format that were found to be valid: they are parsed, and not validated again.

    Returns:
        The validated document of the current format; ``tests`` holds the entries.

    Raises:
        BaselineError: If it is damaged or of a newer format, with place and remedy.
    """
    digest = blake2b(data, digest_size=16).hexdigest()
    if checked.get(digest) is True:
        known: Document = json.loads(data.decode())
        return known
    document = _parse(_text(data, path), path)
    number = document.get("format")
    if type(number) is not int:
        raise _wrong(path, f"is no baseline: the key format is {'missing' if number is None else 'no whole number'}")
    if number > FORMAT:
        raise _newer(path, number, document.get("needs"))
    if number < FORMAT:
        return _validated(_migrated(document, path, steps), path)
    validated = _validated(document, path)
    checked.set(digest, True)
    return validated


def _text(data: bytes, path: Path) -> str:
    if not data.strip():
        raise _wrong(path, "is empty")
    if markers := [data.count(b"\n", 0, match.start()) + 1 for match in _CONFLICT.finditer(data)]:
        raise BaselineError(
            f"{path}: conflict markers of a merge on line{'s' if len(markers) > 1 else ''} {_few(markers)}",
            remedy=f"`git checkout --ours {path}` (or --theirs), then run pytest --tokenbudget-update",
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise _wrong(path, "begins with a byte order mark", remedy="save it as UTF-8 without a byte order mark")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(path, f"is no UTF-8: byte 0x{data[error.start]:02x} on line {line}") from None


def _parse(text: str, path: Path) -> Document:
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        cut = " (the file ends too early: truncated?)" if error.pos >= len(text.rstrip()) else ""
        raise _wrong(path, f"line {error.lineno}, column {error.colno}: {error.msg}{cut}") from None
    except _DuplicateKey as error:
        key = json.dumps(error.args[0], ensure_ascii=False)
        lines = [n for n, line in enumerate(text.splitlines(), 1) if f"{key}:" in line]
        where = f" (lines {_few(lines)})" if lines else ""
        raise BaselineError(
            f"{path}: the key {key} stands twice in one object{where}, as after a merge that kept both sides",
            remedy="remove one of them, or delete the test's entry and run pytest --tokenbudget-update",
        ) from None
    except RecursionError:
        raise _wrong(path, "is nested too deeply") from None
    except ValueError as error:
        raise _wrong(path, f"holds a number that cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise _wrong(path, f"is no baseline: a JSON object is expected, not {_kind(document)}")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        raise _DuplicateKey(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # set.add gives None: the idiom for "not seen yet, and now seen"
    return result


def _constant(name: str) -> float:
    raise ValueError(name)


def _migrated(document: Document, path: Path, steps: Mapping[int, Step]) -> Document:
    number = document["format"]
    try:
        return migrate(document, steps=steps)
    except BaselineError as error:
        problem = error.message
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        problem = repr(error)
    raise _wrong(path, f"cannot be brought from format {number} to format {FORMAT}: {problem}")


def _validated(document: Document, path: Path) -> Document:
    from pydantic_core import ValidationError

    from pytest_tokenbudget.baselines.schema import validator

    try:
        validated: Document = validator().validate_python(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message = _MESSAGES.get(first["type"], first["msg"])
        if first["type"] not in _MESSAGES:
            message += f", found {_shown(first['input'])}"
        raise _wrong(path, f"{_json_path(first['loc'])}: {message}{more}") from None
    for place, value in _negative(validated):
        raise _wrong(path, f"{_json_path(place)}: Input should be 0 or more, found {_shown(value)}")
    return validated


def _negative(document: Document) -> Iterator[tuple[tuple[int | str, ...], float]]:
    """Give the place and value of numbers below 0 where a measurement gives none."""
    for key, test in document["tests"].items():
        for part in ("metrics", "pooled"):
            for name, row in test.get(part, {}).items():
                if name not in _NEVER_NEGATIVE:
                    continue
                for value in _numbers(row):
                    if value < 0:
                        yield ("tests", key, part, name), value
        for name, value in test.get("origin", {}).items():
            if value is not None and value < 0 and name.rpartition(".")[2] in _NEVER_NEGATIVE:
                yield ("tests", key, "origin", name), value


def _numbers(row: Any) -> Iterator[float]:
    if isinstance(row, dict | list):
        for inner in row.values() if isinstance(row, dict) else row:
            yield from _numbers(inner)
    else:
        yield row


def _newer(path: Path, number: int, needs: object) -> BaselineError:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = f"pytest-tokenbudget {version('pytest-tokenbudget')}"
    except PackageNotFoundError:
        installed = "the installed pytest-tokenbudget"
    known = isinstance(needs, str) and _VERSION.fullmatch(needs)
    wanted = f"'pytest-tokenbudget>={needs}'" if known else "--upgrade pytest-tokenbudget"
    return BaselineError(
        f"{path}: written in format {number}; {installed} reads formats up to {FORMAT}",
        remedy=f"install the version that wrote it: pip install {wanted}",
    )


def _wrong(path: Path, what: str, *, remedy: str = _RESTORE) -> BaselineError:
    return BaselineError(f"{path}: {what}", remedy=remedy.format(path=path))


def _few(lines: list[int], most: int = 6) -> str:
    shown = ", ".join(map(str, lines[:most]))
    return f"{shown}, ..." if len(lines) > most else shown


def _json_path(place: tuple[int | str, ...]) -> str:
    parts = []
    for key in place:
        if isinstance(key, str) and _TAG.fullmatch(key):
            continue
        if isinstance(key, int):
            parts.append(f"[{key}]")
        elif _IDENTIFIER.fullmatch(key):
            parts.append(f".{key}")
        else:
            parts.append(f"[{json.dumps(key, ensure_ascii=False)}]")
    return "$" + "".join(parts)


def _shown(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{_kind(value)}"


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


_SURROGATE = re.compile("[\ud800-\udfff]")


def dump(entries: Mapping[str, BaselineEntry], *, kept: Mapping[str, Document] | None = None) -> bytes:
    """Give the bytes of a file that holds these entries.

    Args:
        entries: Entries by test key (node id within the file).
        kept: Further ones as they stand in a file that was read: an entry that did not change is not worked out again.

    Returns:
        UTF-8 JSON. A lone surrogate, which UTF-8 cannot hold, is written as the text of its escape.

    Raises:
        BaselineError: If an entry holds what cannot be stored.
    """
    tests = dict(kept or {})
    for key, entry in entries.items():
        try:
            tests[key] = to_document(entry)
        except BaselineError as error:
            raise BaselineError(f"test {key!r}: {error.message}", remedy=error.remedy) from None
    text = with_visible_escapes(render({"format": FORMAT, "needs": NEEDS, "tests": tests}))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text).encode()


class Entries(Mapping[str, BaselineEntry]):
    """The entries of a file by test key, each made from its document when it is asked for."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self.documents = documents

    def __getitem__(self, key: str) -> BaselineEntry:
        return to_entry(self.documents[key])

    def __contains__(self, key: object) -> bool:
        return key in self.documents

    def __iter__(self) -> Iterator[str]:
        return iter(self.documents)

    def __len__(self) -> int:
        return len(self.documents)


def load(data: bytes, path: Path, *, steps: Mapping[int, Step] = STEPS, checked: DiskCache | None = None) -> Entries:
    """Read the bytes of a file.

    Args:
        data: The file's content.
        path: Its path, for messages only.
        steps: Migrations by the format that they start from.
        checked: Files that were found to be valid, see :func:`checked_cache`.

    Returns:
        Entries by test key.

    Raises:
        BaselineError: If it is not a baseline of this or an older format; the message says what is wrong at which
            line or key and how to fix it.
    """
    return Entries(read_document(data, path, steps=steps, checked=checked or checked_cache(None))["tests"])


def format_of(data: bytes) -> int:
    """Tell the format of a file that :func:`load` can read."""
    number: int = json.loads(data)["format"]
    return number
