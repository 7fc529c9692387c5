"""The base class of wire formats: one API, what its endpoints are, how it is read, and how a script writes it.

Public as ``pytest_tokenbudget.ext.WireFormat``: the built-in APIs and those of a project's ``conftest.py`` are made of it alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pytest_tokenbudget.providers.http_message import Request, Response, response_of
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.names import finish_reason
from pytest_tokenbudget.records.call import NOTHING_BILLED, Operation, Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt

if TYPE_CHECKING:
    from pytest_tokenbudget.records.reply import Called, Reply


Kind = Literal["call", "auxiliary", "paid", "batch", "realtime", "unknown", "other"]
"""A request with its kind.

``call``: a call of a language or embedding model. ``auxiliary``: what is asked of a model's API beside its models (model
list, token count, files, polls). ``paid``: another model that costs money (images, speech, ranking). ``batch``: many calls
that are answered later. ``realtime``: a session over another protocol. ``unknown``: it looks like a model call, and no
format knows it. ``other``: all other traffic.
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Requests of one kind at an API.

    Attributes:
        kind: What they are.
        path: Regular expression that is searched in the URL's path, which has no slash at its end. Hosts are not looked
            at, so that gateways and local servers count too.
        when: What else must hold, by the body as a rule; ``None`` where the path says enough.
        methods: HTTP methods; empty for any.
        reads: Whether the answer is read; by default those of calls and of paid requests are. A poll's is read too, since it
            tells the usage of a call; that of an agent that tells nothing is not.
    """

    kind: Kind
    path: str
    when: Callable[[Request], bool] | None = None
    methods: tuple[str, ...] = ("POST",)
    reads: bool | None = None

    @property
    def is_read(self) -> bool:
        """Tell whether the answer is read."""
        return self.kind in ("call", "paid") if self.reads is None else self.reads


def has(*names: str) -> Callable[[Request], bool]:
    """Tell whether the body has one of the fields, or could not be read, so that the path alone decides; for ``Endpoint.when``."""
    return lambda request: request.has(*names)


def holds(*names: str) -> Callable[[Request], bool]:
    """Tell whether the body can be read and has all of the fields; for ``Endpoint.when``."""
    return lambda request: request.body is not None and all(name in request.body for name in names)


def holds_any(*names: str) -> Callable[[Request], bool]:
    """Tell whether the body can be read and has one of the fields; for ``Endpoint.when``."""
    return lambda request: request.body is not None and any(name in request.body for name in names)


class WireFormat:
    """One API.

    A format says where its requests go, where the figures stand in its answers and what its requests ask. Framing,
    encodings, streams and damage are taken care of here: an answer is a list of JSON documents that are walked through once.

    Attributes:
        api: Its name, ``"openai.chat"``.
        operation: What kind of call it reads.
        provider: Who made it, as OpenTelemetry's ``gen_ai.provider.name`` has it: the provider where the host is not known.
            ``""``: the first word of ``api``.
        endpoints: Its endpoints; the first that matches a request says what it is.
        hosts: Suffixes of hosts that answer, each with the provider's name.
        model_markers: Segments of a path behind which the model or its deployment is named; the first that the path has counts.
        stream_paths: Endings of the paths that ask for a stream; empty where the body's ``stream`` asks for it.
        read_prompt: Reads what is asked, from the body, the model that the URL names and the API's name; a static method.
        writer: How a script writes its answers; ``None`` where scripts do not speak it.
        common_path: Whether applications have such a path too (``/api/chat``), so that JSON of another shape in the
            answer tells that it is none of this API.
    """

    api: ClassVar[str]
    operation: ClassVar[Operation] = "chat"
    provider: ClassVar[str] = ""
    endpoints: ClassVar[tuple[Endpoint, ...]] = ()
    hosts: ClassVar[tuple[tuple[str, str], ...]] = ()
    model_markers: ClassVar[tuple[str, ...]] = ()
    stream_paths: ClassVar[tuple[str, ...]] = ()
    read_prompt: ClassVar[staticmethod[[dict[str, Any], str, str], Prompt] | None] = None
    writer: ClassVar[AnswerWriter | None] = None
    common_path: ClassVar[bool] = False

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Walk through the documents of an answer and gather what they say. May raise only on a mistake of its own."""
        raise NotImplementedError

    def prompt(self, request: Request) -> Prompt | None:
        """Read what the model is asked, for counting and explaining; ``None`` where the body cannot be read."""
        if request.body is None or self.read_prompt is None:
            return None
        return self.read_prompt(request.body, self.url_model(request), self.api_of(request))

    def model_of(self, request: Request) -> str:
        """The model that is asked for, ``""`` where the request names none."""
        body = request.body or {}
        return as_str(body.get("model")) or as_str(body.get("model_id")) or self.url_model(request)

    def url_model(self, request: Request) -> str:
        """The model that the URL names, for APIs whose body does not."""
        for marker in self.model_markers:
            if f"/{marker}/" in request.path:
                return request.segment_after(marker)
        return ""

    def asks_stream(self, request: Request) -> bool:
        """Tell whether the request asks for a stream."""
        if self.stream_paths:
            return request.path.endswith(self.stream_paths)
        return request.body is not None and request.body.get("stream") is True

    def ask_for_usage(self, request: Request, body: bytes) -> bytes | None:
        """Change a stream's request so that its answer tells usage; ``None`` where it does so anyway, or never.

        Args:
            request: The request.
            body: Its body as it is sent.
        """
        return None

    def api_of(self, request: Request) -> str:
        """The name of the API, for formats that read several."""
        return self.api

    def operation_of(self, request: Request, response: Response) -> Operation:
        """Tell what kind of call it was, for formats that read several."""
        return self.operation

    def read(self, request: Request, exchange: Exchange) -> Reading | None:
        """Read usage, model, tool calls and finish reason of an exchange.

        Must not raise, whatever the server sent: what cannot be read is said in ``problems``.

        Returns:
            The reading; its provider may be left empty, it is found by the host then. ``None`` where the answer shows that
            the request was none of this API after all; the next format is asked then.
        """
        return self.read_answer(request, exchange, "")

    def read_answer(self, request: Request, exchange: Exchange, provider: str) -> Reading | None:
        """Read an exchange whose provider is known, as :meth:`read` does."""
        response = response_of(exchange)
        accumulator = ResponseAccumulator()
        self.parse(response, accumulator)
        if self.common_path and response.documents and not accumulator.read and accumulator.error is None:
            return None
        return reading(
            accumulator,
            response,
            api=self.api_of(request),
            provider=provider,
            status=exchange.status,
            operation=self.operation_of(request, response),
            asked_stream=self.asks_stream(request),
            request_model=self.model_of(request),
        )


class FormatGroup(WireFormat):
    """Stands for several formats that are imported when no format before it knows a request.

    Attributes:
        rare: Whether few speak them, so that they are not imported ahead.
    """

    rare: ClassVar[bool] = False
    formats: tuple[WireFormat, ...]
    """The formats, in the order in which they are asked."""


def each_format(formats: Iterable[WireFormat]) -> Iterator[WireFormat]:
    """Give the formats one by one, and those of a group in its place."""
    for one in formats:
        if isinstance(one, FormatGroup):
            yield from one.formats
        else:
            yield one


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

    def texts_in(self, pieces: object, index: int, key: str = "text") -> None:
        """Take the text of each object of a list."""
        for piece in dicts(pieces):
            self.text(piece.get(key), index)

    def call(self, name: object, arguments: object, index: int) -> None:
        """Take a client-side tool call."""
        self.tool_calls.append(as_str(name))
        if self.first is None:
            self.first = index
        self.texts.append(as_str(name))
        if arguments:
            self.texts.append(compact(arguments))

    def note_error(self, told: object) -> None:
        """Take an error that the body reports, if it reports one."""
        if told:
            self.error = error_text(told)

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
    """The reading of what was gathered; ``provider`` may be left empty for the caller to put in."""
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

    ``told`` is the last usage that tells an input, by its key, and behind it the last of those that came later.
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


JsonObject = dict[str, Any]

PIECE = 16
"""Characters of one streamed piece of text: about four tokens."""

CREATED = 1_700_000_000
"""A fixed time of creation: scripted answers are the same in every run."""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """An answer that is to be written.

    Attributes:
        body: The request's JSON object.
        model: The model that was asked for.
        number: How many requests the script was asked before.
        reply: What the model says; its tool calls have ids.
        usage: Its tokens; ``None`` where none are to be told.
    """

    body: JsonObject
    model: str
    number: int
    reply: Reply
    usage: Usage | None

    @property
    def answering_model(self) -> str:
        """The model that answers."""
        return self.reply.model or self.model

    @property
    def finish(self) -> str:
        """The finish reason in the normal form."""
        return finish_reason(self.reply.finish) or ("tool_call" if self.reply.calls else "stop")


@dataclass(frozen=True, slots=True)
class Event:
    """One streamed event: its bytes, and how many characters of generated content it carries."""

    data: bytes
    written: int = 0


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Writes the answers of one API.

    Attributes:
        plain: Gives the body of a plain answer.
        events: Gives the events of a streamed answer.
        error: Gives the body of an error, from its status and message.
        call_id: How the ids of tool calls begin.
    """

    plain: Callable[[ScriptedAnswer], JsonObject]
    events: Callable[[ScriptedAnswer], list[Event]]
    error: Callable[[int, str], JsonObject]
    call_id: str = "call"


def encode(value: object) -> bytes:
    """Write compact JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates, which JSON can only hold escaped
        return json.dumps(value, separators=(",", ":")).encode()


def data_event(value: object, written: int = 0) -> Event:
    """Write a server-sent event without a name."""
    return Event(b"data: " + encode(value) + b"\n\n", written)


def named_event(value: JsonObject, written: int = 0) -> Event:
    """Write a server-sent event that is named after its ``type``."""
    return Event(b"event: " + str(value["type"]).encode() + b"\ndata: " + encode(value) + b"\n\n", written)


def pieces(text: str) -> list[str]:
    """Cut a text as a stream carries it."""
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def arguments(call: Called) -> str:
    """Give a call's arguments as the JSON text that models write."""
    return json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))
