"""How much of a body is kept: all of a model call's, a bound of what may be one, nothing of other traffic.

Small bodies are kept without a question, so that a call pays for nothing but a sum. Only a body that grows beyond
:data:`FREE`, and all bodies together beyond :data:`HELD`, are asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pytest_tokenbudget.providers.wire_format import WireFormat
    from pytest_tokenbudget.records.exchange import Headers

BodyLimit: TypeAlias = "Callable[[str, str, Headers], int | None]"
"""Bytes that are worth keeping of a body, from method, URL and response headers; ``None`` for all."""

FREE = 256 * 1024
"""Bytes of a response's body that are kept without asking what it is."""

HELD = 8 * 1024 * 1024
"""Bytes of the bodies of ended exchanges that are held without asking what they are."""

LARGEST_PROMPT = 32 * 1024 * 1024
"""Bytes of a JSON body of a request that may be the prompt of a model that no format knows."""


def request_size(request: Any) -> int:
    """Bytes of a request's body, whatever the client library; 0 where it is a stream that nobody has read."""
    for name in ("body", "_content"):  # requests, botocore and our own objects; httpx, whose ``content`` may raise
        body = getattr(request, name, None)
        if isinstance(body, bytes | bytearray | str):
            return len(body)
    return 0


def may_hold_a_prompt(body: bytes | None) -> bool:
    """Whether a request's body is worth keeping whatever was answered: a prompt is what tells an unknown model call."""
    return body is not None and body[:1] == b"{" and len(body) <= LARGEST_PROMPT


def builtin_body_limit(method: str, url: str, response_headers: Headers) -> int | None:
    """The limit by the built-in APIs, for processes that know of no others."""
    from pytest_tokenbudget.providers.classify import body_limit

    return body_limit(method, url, response_headers, builtin_formats())


@lru_cache(maxsize=1)
def builtin_formats() -> tuple[WireFormat, ...]:
    """The built-in APIs, imported when they are first asked for."""
    from pytest_tokenbudget.providers import registry

    return registry.builtin_formats()
