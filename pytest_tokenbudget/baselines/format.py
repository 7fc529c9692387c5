"""Gives the bytes of a baseline file, and reads them: the same entries, the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_tokenbudget.baselines.document import to_document, to_entry
from pytest_tokenbudget.baselines.file_reader import read_document
from pytest_tokenbudget.baselines.migrations import FORMAT, NEEDS, STEPS, Step
from pytest_tokenbudget.baselines.render import render
from pytest_tokenbudget.baselines.schema import json_schema
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry

_SURROGATE = re.compile("[\ud800-\udfff]")


def dump(entries: Mapping[str, BaselineEntry]) -> bytes:
    """Give the bytes of a file that holds these entries.

    Args:
        entries: Entries by test key (node id within the file).

    Returns:
        UTF-8 JSON. A lone surrogate, which UTF-8 cannot hold, is written as the text of its escape.

    Raises:
        BaselineError: If an entry holds what cannot be stored.
    """
    tests = {}
    for key, entry in entries.items():
        try:
            tests[key] = to_document(entry)
        except BaselineError as error:
            raise BaselineError(f"test {key!r}: {error.message}", remedy=error.remedy) from None
    text = render({"format": FORMAT, "needs": NEEDS, "tests": tests})
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
    document = read_document(data, path, steps=steps)
    return {key: to_entry(test) for key, test in document["tests"].items()}


def format_of(data: bytes) -> int:
    """Tell the format of a file that :func:`load` can read."""
    number: int = json.loads(data)["format"]
    return number


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a baseline file."""
    return json_schema()
