"""Which request is a model call, and what it asks: the wire formats' view of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.providers.format import Request, WireFormat
from pytest_tokenbudget.providers.looks import unattributed
from pytest_tokenbudget.providers.registry import format_of, request_of
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.tokens.counter import Counter


@dataclass(slots=True)
class Recognised:
    """A model call.

    Attributes:
        request: The request.
        format: The format that recognised it; ``None`` where it only looks like a model call.
    """

    request: Request
    format: WireFormat | None
    _prompt: tuple[Prompt | None] | None = None

    @property
    def api(self) -> str:
        """Name of the API; one format may read several."""
        if self.format is None:
            return "unknown"
        api_of = getattr(self.format, "api_of", None)
        return self.format.api if api_of is None else str(api_of(self.request))

    def prompt(self) -> Prompt | None:
        """What it asks, ``None`` where that cannot be read; read when it is first asked for."""
        if self._prompt is None:
            self._prompt = (self._read_prompt(),)
        return self._prompt[0]

    def _read_prompt(self) -> Prompt | None:
        if self.format is None:
            return None
        try:
            return self.format.prompt(self.request)
        except Exception:
            # Formats of projects may fail on hostile input; without a prompt there is no count, and that is said.
            return None


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Tells model calls from other traffic, and counts them.

    Attributes:
        formats: The wire formats, the first that recognises a request reads it.
        counter: Counts prompts.
    """

    formats: Sequence[WireFormat]
    counter: Counter

    def outgoing(self, outgoing: Outgoing) -> Recognised | None:
        """A request that is about to leave; ``None`` for what is no model call."""
        sent = Exchange(
            outgoing.client,
            outgoing.method,
            outgoing.url,
            request_headers=outgoing.headers,
            request_body=outgoing.body,
        )
        return self.request(request_of(sent))

    def request(self, request: Request) -> Recognised | None:
        """A request; ``None`` for what is no model call."""
        wire_format = format_of(request, self.formats)
        if wire_format is None and unattributed(request) is None:
            return None
        return Recognised(request, wire_format)

    def count(self, recognised: Recognised, provider: str) -> int | None:
        """Local count of a call's input tokens, ``None`` where it cannot be counted.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        prompt = recognised.prompt()
        return None if prompt is None else self.counter.count_prompt(prompt, provider=provider).tokens
