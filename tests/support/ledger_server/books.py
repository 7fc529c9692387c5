"""The server's own books."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered request, in the normal form of the tokens (cached is a part of input, reasoning of output).

    Attributes:
        api: Recognised API.
        path: Path of the URL.
        model: Model that answered.
        input_tokens: Tokens read; 0 where the answer was an error.
        output_tokens: Tokens written; 0 where the answer was an error.
        cached: Part of the input from a cache.
        cache_write: Part of the input written to a cache.
        reasoning: Part of the output that was reasoning.
        status: HTTP status.
        stream: Whether the answer was streamed.
        told: Whether the client was sent the numbers.
        tool_calls: Names of the tools called.
        stage: The script's hint, or the request's ``x-stage`` header.
        fault: What went wrong on purpose.
    """

    api: str
    path: str
    model: str
    input_tokens: int
    output_tokens: int
    cached: int
    cache_write: int
    reasoning: int
    status: int
    stream: bool
    told: bool
    tool_calls: tuple[str, ...] = ()
    stage: str = ""
    fault: str | None = None


class Ledger(list[Entry]):
    """All entries, in the order in which the answers began."""

    def total(self, field: str, *, stage: str | None = None, model: str | None = None) -> int:
        """Sum a field over the entries whose numbers the client was told."""
        return sum(
            getattr(entry, field)
            for entry in self
            if entry.told and (stage is None or entry.stage == stage) and (model is None or entry.model == model)
        )

    @property
    def calls(self) -> int:
        """Answers that were no error."""
        return sum(entry.status < 400 for entry in self)

    @property
    def attempts(self) -> int:
        """Answers that were an error."""
        return sum(entry.status >= 400 for entry in self)
