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


class WireFormat(Protocol):
    """One API. A module in ``wire/`` holds one; a user's ``conftest.py`` can add more through the same hook."""

    @property
    def api(self) -> str:
        """Name of the format, ``"openai.chat"``."""

    def recognises(self, request: Request) -> bool:
        """Whether this request is a call of this API, by path and body shape, not by host. Must not raise."""

    def read(self, request: Request, exchange: Exchange) -> Reading:
        """Read usage, model, tool calls and finish reason. Must not raise: what cannot be read is said in ``problems``."""

    def prompt(self, request: Request) -> Prompt | None:
        """What the model was asked, for counting and composition; ``None`` where the body cannot be read."""
