"""The figures of an answer: gathered from its documents, and made into a reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact
from pytest_tokenbudget.providers.names import finish_reason
from pytest_tokenbudget.providers.response import Response
from pytest_tokenbudget.records.call import NOTHING_BILLED, Operation, Reading, Usage

_LONGEST_ERROR = 500


class ResponseAccumulator:
    """Gathers the figures of one answer.

    Attributes:
        billed: What the answer says of its price beside tokens.
        quantities: What is counted for it on the way, by the name of its price.
        id: The response's own id.
        model: The model that the response names, the first non-empty one.
        usage: Tokens in the normal form.
        finish: Finish reason as the provider sent it.
        tool_calls: Names of client-side tool calls, in order.
        server_tool_calls: Names of server-side tool calls, in order.
        texts: All that the model wrote, in pieces.
        first: Index of the document that first carried generated content; ``None`` where none did.
        error: An error that the body itself reports.
        read: Whether anything of the answer had the shape that was expected.
    """

    __slots__ = (
        "billed",
        "error",
        "finish",
        "first",
        "id",
        "model",
        "quantities",
        "read",
        "server_tool_calls",
        "texts",
        "tool_calls",
        "usage",
    )

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.usage = Usage()
        self.billed = NOTHING_BILLED
        self.quantities: dict[str, object] = {}
        self.finish: object = None
        self.tool_calls: list[str] = []
        self.server_tool_calls: list[str] = []
        self.texts: list[str] = []
        self.first: int | None = None
        self.error: str | None = None
        self.read = False

    def text(self, value: object, index: int) -> None:
        """Take a piece of text that the model wrote, if it is one."""
        if isinstance(value, str) and value:
            self.texts.append(value)
            if self.first is None:
                self.first = index

    def call(self, name: object, arguments: object, index: int) -> None:
        """Take a client-side tool call."""
        self.tool_calls.append(as_str(name))
        if self.first is None:
            self.first = index
        self.texts.append(as_str(name))
        if arguments:
            self.texts.append(compact(arguments))

    def note_usage(self, told: Usage) -> None:
        """Take the tokens that an event tells, the last of several.

        Events that come later say more, but some servers end a stream with a usage of zeros. So neither zero nor nothing
        takes the place of a number above 0; the parts of input and output go with their whole.
        """
        known = self.usage
        self.usage = told
        if known.input_tokens and not told.input_tokens:
            self.usage = replace(
                self.usage,
                input_tokens=known.input_tokens,
                cached_input_tokens=known.cached_input_tokens,
                cache_write_tokens=known.cache_write_tokens,
            )
        if known.output_tokens and not told.output_tokens:
            self.usage = replace(self.usage, output_tokens=known.output_tokens, reasoning_tokens=known.reasoning_tokens)

    def named(self, document: dict[str, Any]) -> None:
        """Take the model and the id that a document names, where none was seen before."""
        if not self.model:
            self.model = as_str(document.get("model"))
        if not self.id:
            self.id = as_str(document.get("id"))


def reading(
    accumulator: ResponseAccumulator,
    response: Response,
    *,
    api: str,
    status: int | None,
    provider: str = "",
    operation: Operation = "chat",
    asked_stream: bool = False,
    request_model: str = "",
) -> Reading:
    """The reading of what was gathered.

    Args:
        accumulator: What was gathered.
        response: The response that it was gathered from.
        api: Name of the wire format.
        status: HTTP status.
        provider: Who answered; ``""`` where the caller puts it in.
        operation: What kind of call it was.
        asked_stream: Whether a stream was asked for.
        request_model: Model that was asked for.
    """
    failed = status is not None and status >= 400
    usage = Usage() if failed else accumulator.usage
    error = accumulator.error or (_error_in(response, status) if failed else None)
    # a JSON array is a stream only where one was asked for; text generation servers answer with arrays as well
    events = response.streamed and (asked_stream or response.framing != "array")
    problems = response.problems
    if error is not None and not failed and usage.output_tokens is not None and accumulator.finish:
        # the model answered, finished and was paid; what the gateway complains of afterwards does not undo the call
        error, problems = None, (*problems, f"the answer ends with an error: {error}")
    if operation == "other":
        problems = ()
    elif not failed and status is not None and error is None and not problems:
        if response.left and not response.body:
            problems = ("the answer was left unread",)
        elif response.left and events and usage.output_tokens is None and accumulator.finish is None:
            problems = ("the stream was left before its end, so that the provider's usage is not known",)
        elif not accumulator.read and accumulator.error is None:
            problems = (f"the answer has not the shape of {api}",)
    return Reading(
        api=api,
        provider=provider,
        operation=operation,
        request_model=request_model,
        model=accumulator.model or request_model,
        stream=asked_stream or events,
        usage=usage,
        billed=NOTHING_BILLED if failed else accumulator.billed,
        tool_calls=tuple(accumulator.tool_calls),
        server_tool_calls=tuple(accumulator.server_tool_calls),
        finish_reason=finish_reason(accumulator.finish),
        output_text="" if usage.output_tokens else "".join(accumulator.texts),
        first_content_at=response.end_of(accumulator.first) if events and accumulator.first is not None else None,
        error=error,
        problems=problems,
        id=accumulator.id,
    )


def keep_told(told: list[dict[str, Any]], usage: dict[str, Any], input_key: str) -> None:
    """Keep the usages of a stream that matter to :meth:`ResponseAccumulator.note_usage`, where each event tells one.

    Args:
        told: The last usage that tells an input, and behind it the last of those that came later.
        usage: The next one.
        input_key: Where the input's tokens stand in it.
    """
    if told and not usage.get(input_key):
        told[1:] = [usage]
    else:
        told[:] = [usage]


def _error_in(response: Response, status: int | None) -> str:
    for document in response.documents:
        return error_text(document.get("error", document))
    head = response.body[:80].decode("utf-8", "replace").strip()
    return f"http {status}: {head}" if head else f"http {status}"


def error_text(value: object) -> str:
    """An error object in one line: its type or code, and its message."""
    if isinstance(value, str):
        return value[:_LONGEST_ERROR] or "error"
    held = as_dict(value)
    kind = held.get("type") or held.get("code") or held.get("status") or held.get("error_type")
    message = held.get("message") or held.get("detail") or held.get("error") or held.get("errorMessage")
    words = [word if isinstance(word, str) else compact(word) for word in (kind, message) if word]
    return ": ".join(words)[:_LONGEST_ERROR] or "error"
