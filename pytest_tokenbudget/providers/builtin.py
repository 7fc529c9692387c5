"""What the built-in formats share: where the prompt comes from, and the way from an exchange to a reading."""

from __future__ import annotations

from typing import ClassVar

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, reading
from pytest_tokenbudget.providers.answer import Answer, answer_of
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.prompts import prompt_for
from pytest_tokenbudget.records.call import Operation, Reading
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt


class BuiltinFormat:
    """A format whose answer is a list of JSON documents that are walked through once.

    A format says how it is recognised and gathers the figures from the documents; the rest stands here.

    Attributes:
        api: Its name.
        operation: What kind of call it reads.
        common_path: Whether applications have such a path too (``/api/chat``), so that JSON of another shape in the
            answer tells that it is none of this API.
    """

    api: ClassVar[str]
    operation: ClassVar[Operation] = "chat"
    common_path: ClassVar[bool] = False

    def recognises(self, request: Request) -> bool:
        """Whether this request is a call of this API."""
        raise NotImplementedError

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Walk through the documents of an answer and gather what they say."""
        raise NotImplementedError

    def url_model(self, request: Request) -> str:
        """The model that the URL names, ``""`` for APIs whose body names it."""
        return ""

    def asked_stream(self, request: Request) -> bool:
        """Whether a stream was asked for."""
        return request.body is not None and request.body.get("stream") is True

    def api_of(self, request: Request) -> str:
        """The name of the API, for formats that read several."""
        return self.api

    def operation_of(self, request: Request, answer: Answer) -> Operation:
        """What kind of call it was, for formats that read several."""
        return self.operation

    def read(self, request: Request, exchange: Exchange) -> Reading | None:
        """Read usage, model, tool calls and finish reason."""
        answer = answer_of(exchange)
        accumulator = ResponseAccumulator()
        self.parse(answer, accumulator)
        if self.common_path and answer.documents and not accumulator.read and accumulator.error is None:
            return None
        return reading(
            accumulator,
            answer,
            request,
            api=self.api_of(request),
            status=exchange.status,
            operation=self.operation_of(request, answer),
            asked_stream=self.asked_stream(request),
            url_model=self.url_model(request),
        )

    def prompt(self, request: Request) -> Prompt | None:
        """What the model was asked."""
        if request.body is None:
            return None
        return prompt_for(self.api_of(request), request.body, self.url_model(request))
