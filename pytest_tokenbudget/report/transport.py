"""Results on their way from one process to another: plain text in, the same records out."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pytest_tokenbudget.records.verdict import RunView, TestResult

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def encode(record: TestResult | RunView) -> str:
    """A result, or a whole run, as ASCII JSON, which any transport carries, surrogates included."""
    # Fractions, the only values that JSON does not know, become "1/10", from which pydantic makes them again.
    return json.dumps(asdict(record), separators=(",", ":"), default=str)


def decode(text: str) -> TestResult:
    """The result that :func:`encode` wrote.

    Raises:
        ValueError: If it is no such text.
    """
    return cast("TestResult", _adapter(TestResult).validate_python(json.loads(text)))


def decode_run(text: str) -> RunView:
    """The run that :func:`encode` wrote.

    Raises:
        ValueError: If it is no such text.
    """
    return cast("RunView", _adapter(RunView).validate_python(json.loads(text)))


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
