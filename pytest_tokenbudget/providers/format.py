"""The shape of a wire format: how one API is recognised and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult

from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a wire format looks at it.

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

    def ends(self, *suffixes: str) -> bool:
        """Whether this is a POST to a path that ends with one of the suffixes."""
        return self.method == "POST" and self.path.endswith(suffixes)

    def has(self, *names: str) -> bool:
        """Whether the body has one of the fields, or could not be read, so that the path alone must decide."""
        body = self.body
        return body is None or any(name in body for name in names)


class WireFormat(Protocol):
    """One API. A module in ``wire/`` holds one; a user's ``conftest.py`` can add more through the same hook."""

    @property
    def api(self) -> str:
        """Name of the format, ``"openai.chat"``."""

    def recognises(self, request: Request) -> bool:
        """Whether this request is a call of this API, by path and body shape, not by host. Must not raise."""

    def read(self, request: Request, exchange: Exchange) -> Reading | None:
        """Read usage, model, tool calls and finish reason. Must not raise: what cannot be read is said in ``problems``.

        ``None`` where the answer shows that the request was none of this API after all; the next format is asked then.
        """

    def prompt(self, request: Request) -> Prompt | None:
        """What the model was asked, for counting and composition; ``None`` where the body cannot be read."""
