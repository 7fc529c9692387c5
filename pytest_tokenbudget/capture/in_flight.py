"""One request on its way through a client's ``send``, whatever the library, for all recorders that watch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.active import ACTIVE, ActiveRecorder
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.ownership import in_flight
from pytest_tokenbudget.capture.stage import current_path
from pytest_tokenbudget.errors import TokenBudgetError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import Library
    from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing


class InFlightRequest:
    """A request on its way, from the call of ``send`` to its return.

    Attributes:
        sender: The client object.
        request: The library's request.
        builders: The exchange as each recorder sees it.
        answer: The answer that is given locally, if one is.
        carried: Whether bytes of it were written to a network; whoever writes them says so.
    """

    def __init__(
        self, library: Library, sender: Any, request: Any, *, streamed: bool, outer: InFlightRequest | None
    ) -> None:
        self._library = library
        self.sender = sender
        self.request = request
        self._streamed = streamed
        self._outer = outer
        self._done = False
        self._contains = False
        self._recorders: list[ActiveRecorder] = []
        self.answer: LocalAnswer | None = None
        self.carried = False
        self.builders: list[ExchangeBuilder] = []

    def __enter__(self) -> None:
        """Begin to record, after whoever may refuse the request was asked; raises our own error where one does."""
        charged = [(one, one.outside_of(self._library, self.request)) for one in ACTIVE.recorders]
        self._recorders = [recorder for recorder, outside in charged if recorder.recording and not outside]
        for recorder in self._recorders:
            if recorder.before_send is not None:
                recorder.before_send(self.outgoing())
        stage, span, outer = current_path(), current_span(), self._outer
        if outer is not None:
            outer._contains = True
        self.builders = [
            recorder.begin(
                ExchangeBuilder(
                    recorder,
                    self._library,
                    self.request,
                    streamed=self._streamed,
                    stage=stage,
                    span=span,
                    within=None if outer is None else outer.builder_of(recorder),
                    outside=outside,
                )
            )
            for recorder, outside in charged
            if recorder.recording or outside
        ]
        in_flight.set(self)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End it where ``send`` returns or raises."""
        if error is not None:
            self.failed(error)
        self._done = True
        in_flight.set(self._outer)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Go on with it where its client sends and receives in two calls."""
        token = in_flight.set(self)
        try:
            yield
        finally:
            in_flight.reset(token)

    @property
    def may_be_answered(self) -> bool:
        """Tell whether somebody may answer instead of the network."""
        return any(recorder.answerer is not None for recorder in self._recorders)

    @property
    def requests_usage(self) -> bool:
        """Tell whether a recorder wants streams to be asked for their usage."""
        return True in [recorder.request_usage for recorder in self._recorders]

    def replace(self, request: Any) -> None:
        """Send another request in the place of the caller's."""
        self.request = request
        for builder in self.builders:
            builder.request = request

    def outgoing(self) -> Outgoing:
        """Give the request as those see it who may refuse or answer it."""
        from pytest_tokenbudget.capture.local_answer import Outgoing

        method, url, headers, body = self._library.request_parts(self.request)
        url, stage = ACTIVE.meant_address(url, current_path())
        return Outgoing(
            client=self._library.client,
            method=method,
            url=url,
            headers=headers,
            body=body,
            stage=stage,
            streamed=self._streamed,
            in_process=self._library.in_process(self.sender, self.request),
        )

    def ask(self) -> LocalAnswer | None:
        """Ask for an answer that is given locally; the innermost watch is asked first."""
        for recorder in reversed(self._recorders):
            answerer = recorder.answerer
            if answerer is not None and (answer := answerer.answer(self.outgoing())) is not None:
                return self._answered(answer)
        return None

    async def ask_async(self) -> LocalAnswer | None:
        """Ask for an answer on behalf of an asynchronous client."""
        for recorder in reversed(self._recorders):
            answerer = recorder.answerer
            if answerer is not None and (answer := await answerer.answer_async(self.outgoing())) is not None:
                return self._answered(answer)
        return None

    def _answered(self, answer: LocalAnswer) -> LocalAnswer:
        self.answer = answer
        for builder in self.builders:
            builder.answer = answer
        return answer

    def arrived(self, status: int, headers: Any, *, network: bool = False) -> None:
        """Note the head of the response; ``network`` says whether itself shows that it came from one."""
        # What an app in the same process sends to its database is no sign of a network under the client.
        mocked = not network and not (self.carried and not self._library.in_process(self.sender, self.request))
        for builder in self.builders:
            builder.mocked = mocked
            builder.arrived(status, headers)

    def whole(self, body: bytes) -> None:
        """Note the body of the response, read and decoded by the client."""
        for builder in self.builders:
            builder.whole(body)

    def failed(self, error: BaseException) -> None:
        """Note that ``send`` raised."""
        for builder in self.builders:
            builder.mocked = self._contains and not self.carried
            # Our own errors mean that the request was refused before it left.
            if isinstance(error, TokenBudgetError) and self.answer is None:
                builder.owner.forget(builder)
            elif builder.status is None:
                builder.fail(error)
            else:
                builder.cut(error)

    def forget(self) -> None:
        """Drop what was begun: the request is sent elsewhere, where it is watched too."""
        for builder in self.builders:
            builder.owner.forget(builder)

    def hands_on(self, sender: Any, library: Library, request: Any) -> bool:
        """Tell whether a request that is sent underneath is this one, handed on by the client or by its transport.

        It is, if the same client sends it (a redirect), or if it goes to the same address. Any other is one of its own:
        an app behind a transport without a network calls its model from there, perhaps with the same body, perhaps
        through the same client.
        """
        if not self._done:
            if sender is self.sender and not self._library.in_process(sender, self.request):
                return True
            method, url, _, _ = library.request_parts(request)
            my_method, my_url, _, _ = self._library.request_parts(self.request)
            if method == my_method and _address(url) == _address(my_url):
                return True
        return self._outer is not None and self._outer.hands_on(sender, library, request)

    def is_being_sent(self) -> bool:
        """Tell whether it is on its way over a network here, so that its client's own transport sends what is sent underneath."""
        if self._done:
            return self._outer is not None and self._outer.is_being_sent()
        return not self._library.in_process(self.sender, self.request)

    def builder_of(self, recorder: ActiveRecorder) -> ExchangeBuilder | None:
        """The exchange as a recorder sees it, as long as its response is not complete."""
        found = next((builder for builder in self.builders if builder.owner is recorder), None)
        return None if found is None or found.end is not None else found


def is_being_sent() -> bool:
    """Tell whether a request is on its way in this context: what its client's transport sends underneath is part of it."""
    outer = in_flight.get()
    return outer is not None and outer.is_being_sent()


def in_flight_request(
    library: Library, sender: Any, request: Any, *, streamed: bool, below: bool = False
) -> InFlightRequest | None:
    """Accompany a request that is about to be sent.

    Args:
        library: Reads the client's objects.
        sender: The client object.
        request: The library's request.
        streamed: Whether the caller asked for a streamed response.
        below: Whether other clients may send by means of this one: then it is a part of whatever they send.

    Returns:
        What accompanies it, and within which it is sent; ``None`` where nobody records, or where it is part of a
        request that is accompanied already.
    """
    if not ACTIVE.recorders:
        return None
    outer = in_flight.get()
    if outer is not None and (outer.is_being_sent() if below else outer.hands_on(sender, library, request)):
        return None
    return InFlightRequest(library, sender, request, streamed=streamed, outer=outer)


def _address(url: str) -> str:
    return url.partition("?")[0].partition("#")[0].rstrip("/")


def current_span() -> Any:
    """The current OpenTelemetry span, where the application uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    current: Any = getattr(trace, "get_current_span", None)
    return None if current is None else current()
