"""The bytes of a baseline file: UTF-8 JSON, keys sorted, one metric a line, the same entries the same bytes."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_tokenbudget.baselines.damage import current_document
from pytest_tokenbudget.baselines.migrations import FORMAT, STEPS, Step
from pytest_tokenbudget.baselines.render import render
from pytest_tokenbudget.baselines.schema import json_schema, validator
from pytest_tokenbudget.records.baseline import BaselineEntry

_SURROGATE = re.compile("[\ud800-\udfff]")


def dump(entries: Mapping[str, BaselineEntry]) -> bytes:
    """The bytes of a file that holds these entries.

    Args:
        entries: Entries by test key (node id within the file).

    Returns:
        UTF-8 JSON. A lone surrogate, which UTF-8 cannot hold, is written as the text of its escape.

    Raises:
        BaselineError: If an entry holds what cannot be stored.
    """
    text = render(entries, number=FORMAT)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text).encode()


def load(data: bytes, path: Path, *, steps: Mapping[int, Step] = STEPS) -> dict[str, BaselineEntry]:
    """Read the bytes of a file.

    Args:
        data: The file's content.
        path: Its path, for messages only.
        steps: Migrations by the format that they start from.

    Returns:
        Entries by test key.

    Raises:
        BaselineError: If it is not a baseline of this or an older format; the message says what is wrong at which
            line or key and how to fix it.
    """
    from pydantic_core import ValidationError

    try:
        with _collector_paused():
            document = validator().validate_json(data)
    except ValidationError:
        document = None
    if document is None or _key_count(data) != _keys_of(document["tests"]):
        # Damaged, of another format, or perhaps with a key twice: only now is the slow look worth its time.
        document = current_document(data, path, steps=steps)
    tests: dict[str, BaselineEntry] = document["tests"]
    return tests


def schema() -> dict[str, Any]:
    """The JSON Schema of a baseline file."""
    return json_schema()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Records hold no cycles: a collector that looks at them while they are made takes as long as making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _key_count(data: bytes) -> int:
    """Number of object keys in valid JSON; too many or -1 where a string or odd spacing may mislead, never too few."""
    keys = data.count(b'":')
    if keys != data.count(b":") and any(space + b":" in data for space in (b" ", b"\t", b"\n", b"\r")):
        return -1
    return keys


def _keys_of(tests: Mapping[str, BaselineEntry]) -> int:
    """Number of object keys of a file with these tests: all keys are required, so it follows from the records."""
    count = 2
    for entry in tests.values():
        count += 9 + 3 * (len(entry.metrics) + len(entry.pooled)) + len(entry.sources) + _json_keys(entry.outcomes)
        for composition in entry.composition.values():
            count += 12 + 8 * len(composition.parts)
    return count


def _json_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_json_keys, value.values()))
    return sum(map(_json_keys, value)) if isinstance(value, list) else 0
