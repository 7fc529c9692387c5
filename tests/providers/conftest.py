"""What the tests of the wire share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from wire_samples import exchange

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange

ReadBody = Callable[..., Reading]


@pytest.fixture(scope="session")
def reading() -> Callable[[Exchange], Reading]:
    """Reads an exchange that must be recognised."""
    formats = builtin_formats()

    def read_it(made: Exchange) -> Reading:
        found = read(made, formats)
        assert isinstance(found, ReadExchange), found
        return found.reading

    return read_it


@pytest.fixture(scope="session")
def answered(reading: Callable[[Exchange], Reading]) -> ReadBody:
    """Reads an answer to a request: ``answered(path, request, body or document, **fields of the exchange)``."""

    def read_it(path: str, request: dict[str, Any] | None, body: Any, **more: Any) -> Reading:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return reading(exchange(path, request, data, **more))

    return read_it
