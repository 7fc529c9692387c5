"""What the built-in formats share: where the prompt comes from, and the way from an exchange to a reading."""

from __future__ import annotations

from typing import ClassVar

from pytest_tokenbudget.records.call import Operation, Reading
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.wire.answer import Answer, answer_of
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, reading
from pytest_tokenbudget.wire.prompts import prompt_for


class BuiltinFormat:
    """A format whose answer is a list of JSON documents that are walked through once.

    A format says how it is recognised and gathers the figures from the documents; the rest stands here.
    """

    api: ClassVar[str]
    operation: ClassVar[Operation] = "chat"

    def recognises(self, request: Request) -> bool:
        """Whether this request is a call of this API."""
        raise NotImplementedError

    def gather(self, answer: Answer, harvest: Harvest) -> None:
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

    def read(self, request: Request, exchange: Exchange) -> Reading:
        """Read usage, model, tool calls and finish reason."""
        answer = answer_of(exchange)
        harvest = Harvest()
        self.gather(answer, harvest)
        return reading(
            harvest,
            answer,
            request,
            api=self.api_of(request),
            status=exchange.status,
            operation=self.operation,
            asked_stream=self.asked_stream(request),
            url_model=self.url_model(request),
        )

    def prompt(self, request: Request) -> Prompt | None:
        """What the model was asked."""
        if request.body is None:
            return None
        return prompt_for(self.api_of(request), request.body, self.url_model(request))
