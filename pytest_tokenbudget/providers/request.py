"""A request as wire formats look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pytest_tokenbudget.providers.body import decoded
from pytest_tokenbudget.providers.loose import parse
from pytest_tokenbudget.records.exchange import Exchange, Headers

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
        return _host_of(self.url.netloc)

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


@lru_cache(maxsize=256)
def _host_of(netloc: str) -> str:
    try:
        return (SplitResult("", netloc, "", "", "").hostname or "").rstrip(".")
    except ValueError:
        return ""


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
