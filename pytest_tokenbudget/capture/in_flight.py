"""One request on its way through a client's ``send``, whatever the library, for all recorders that watch."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.answer import LocalAnswer, Outgoing
from pytest_tokenbudget.capture.stages import current_path
from pytest_tokenbudget.errors import TokenBudgetError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library


class InFlightRequest:
    """A request on its way, from the call of ``send`` to its return.

    Attributes:
        sender: The client object.
        request: The library's request.
        drafts: The exchange as each recorder sees it.
        answer: The answer that is given locally, if one is.
        hides_usage: Whether the response holds a usage chunk that the caller did not ask for.
    """

    __slots__ = ("_around", "_done", "_library", "_streamed", "answer", "drafts", "hides_usage", "request", "sender")

    def __init__(
        self, library: Library, sender: Any, request: Any, *, streamed: bool, around: InFlightRequest | None
    ) -> None:
        self._library = library
        self.sender = sender
        self.request = request
        self._streamed = streamed
        self._around = around
        self._done = False
        self.answer: LocalAnswer | None = None
        self.hides_usage = False
        self.drafts: list[ExchangeBuilder] = []

    def begin(self) -> None:
        """Begin to record, after whoever may refuse the request was asked.

        Raises:
            TokenBudgetError: If it is refused.
        """
        recorders = [recorder for recorder in ACTIVE.recorders if recorder.recording]
        for recorder in recorders:
            if recorder.before_send is not None:
                recorder.before_send(self.outgoing())
        self.drafts = [recorder.begin(self._library, self.request, streamed=self._streamed) for recorder in recorders]
        _sending.set(self)

    def end(self) -> None:
        """``send`` returns or raises."""
        self._done = True
        _sending.set(self._around)

    @property
    def plain(self) -> bool:
        """Whether nobody wants to do more than look on."""
        return all(builder.recorder.plain for builder in self.drafts)

    @property
    def requests_usage(self) -> bool:
        """Whether a recorder wants streams to be asked for their usage."""
        return any(builder.recorder.request_usage for builder in self.drafts)

    def replace(self, request: Any) -> None:
        """Another request is sent in the place of the caller's."""
        self.request = request
        for builder in self.drafts:
            builder.request = request

    def outgoing(self) -> Outgoing:
        """The request, as those who may refuse or answer it see it."""
        method, url, headers, body = self._library.request_parts(self.request)
        return Outgoing(self._library.client, method, url, headers, body, current_path(), self._streamed)

    def ask(self) -> LocalAnswer | None:
        """Ask for an answer that is given locally; the innermost watch is asked first."""
        for builder in reversed(self.drafts):
            answerer = builder.recorder.answerer
            if answerer is not None and (answer := answerer.answer(self.outgoing())) is not None:
                return self._answered(answer)
        return None

    async def ask_async(self) -> LocalAnswer | None:
        """The same for an asynchronous client."""
        for builder in reversed(self.drafts):
            answerer = builder.recorder.answerer
            if answerer is not None and (answer := await answerer.answer_async(self.outgoing())) is not None:
                return self._answered(answer)
        return None

    def _answered(self, answer: LocalAnswer) -> LocalAnswer:
        self.answer = answer
        for builder in self.drafts:
            builder.answer = answer
        return answer

    def came_from_a_mock(self) -> None:
        """A tool for tests gave the response in the place of the network."""
        for builder in self.drafts:
            builder.mocked = True

    def arrived(self, status: int, headers: Any) -> None:
        """The response's head arrived."""
        for builder in self.drafts:
            builder.arrived(status, headers)

    def whole(self, body: bytes) -> None:
        """The response's body was read, and decoded, by the client."""
        for builder in self.drafts:
            builder.whole(body)

    def failed(self, error: BaseException) -> None:
        """``send`` raised."""
        for builder in self.drafts:
            # Our own errors mean that the request was refused before it left.
            if isinstance(error, TokenBudgetError) and self.answer is None:
                builder.recorder.forget(builder)
            elif builder.status is None:
                builder.fail(error)
            else:
                builder.cut(error)

    def is_same(self, sender: Any, library: Library, request: Any) -> bool:
        """Whether a request that is sent underneath is this one, handed on by the client or by its transport.

        It is, if the same client sends it (a redirect), if it goes to the same address, or if it carries the same body.
        Any other is one of its own: an agent behind an in-process transport calls its model from there.
        """
        if self._done:
            return self._around is not None and self._around.is_same(sender, library, request)
        if sender is self.sender:
            return True
        method, url, _, body = library.request_parts(request)
        my_method, my_url, _, my_body = self._library.request_parts(self.request)
        if method == my_method and (_address(url) == _address(my_url) or (body and body == my_body)):
            return True
        return self._around is not None and self._around.is_same(sender, library, request)


_sending: ContextVar[InFlightRequest | None] = ContextVar("tokenbudget_sending", default=None)


def current_sending() -> InFlightRequest | None:
    """The request that is on its way in this context, if one is."""
    return _sending.get()


def sending(library: Library, sender: Any, request: Any, *, streamed: bool) -> InFlightRequest | None:
    """A request is about to be sent.

    Args:
        library: The client's library.
        sender: The client object.
        request: The library's request.
        streamed: Whether the caller asked for a streamed response.

    Returns:
        What accompanies it; ``None`` if nobody watches, or if it is part of a request that is accompanied already.
        Between its ``begin`` and its ``end`` the request is sent.
    """
    if not any(recorder.recording for recorder in ACTIVE.recorders):
        return None
    around = _sending.get()
    if around is not None and around.is_same(sender, library, request):
        return None
    return InFlightRequest(library, sender, request, streamed=streamed, around=around)


def _address(url: str) -> str:
    return url.partition("?")[0].partition("#")[0].rstrip("/")
