"""The base class of wire formats: one API, what its endpoints are, and how it is read.

Public as ``pytest_tokenbudget.ext.WireFormat``: the built-in APIs and those of a project's ``conftest.py`` are made of it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, reading
from pytest_tokenbudget.providers.loose import as_str
from pytest_tokenbudget.providers.request import Request
from pytest_tokenbudget.providers.response import Response, response_of
from pytest_tokenbudget.providers.writing import AnswerWriter
from pytest_tokenbudget.records.call import Operation, Reading
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt

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
        return ""

    def asks_stream(self, request: Request) -> bool:
        """Tell whether the request asks for a stream."""
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
