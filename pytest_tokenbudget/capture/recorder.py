"""Records one sample: its exchanges, and the times in which stages were open."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pytest_tokenbudget.capture.exchange_builder import HELD, BodyLimit, ExchangeBuilder, Library, request_size
from pytest_tokenbudget.capture.network import ConnectionLog, HostRules, is_loopback, split_port
from pytest_tokenbudget.capture.ownership import SampleWork

if TYPE_CHECKING:
    # Child processes load this module as soon as they import a client library, and the records only when they need them.
    from pytest_tokenbudget.capture.children.spool import Spool
    from pytest_tokenbudget.capture.local_answer import Answerer, Outgoing
    from pytest_tokenbudget.records.exchange import Exchange
    from pytest_tokenbudget.records.sample import Span

EARLIER_REQUEST = "a request"
"""The owner of a call that was sent before the sample began."""

_LAST = 64
"""The number of last exchanges among which one may wait for a server of this machine."""


def _nowhere() -> Spool | None:
    return None


class OpenSpan:
    """A time in which a stage is open, while it is."""

    __slots__ = ("_clock", "ended", "stage", "started")

    def __init__(self, stage: str, clock: Callable[[], float]) -> None:
        self.stage = stage
        self.ended: float | None = None
        self._clock = clock
        self.started = clock()

    def close(self) -> None:
        """Note that the stage was closed."""
        self.ended = self._clock()


class Recorder:
    """Collects the exchanges and stage spans of one sample; safe with several threads and event loops.

    Args:
        clock: The sample's clock, s.
        answerer: Who answers instead of the network, if anybody does.
        request_usage: Whether OpenAI-style streams are asked for their usage.
        body_limit: Tells how much of a body is kept; by default all is.
        host_rules: Hosts that may not be reached; by default all may.
        charges_earlier_work: Whether calls of work that began before the sample are charged to it.

    Attributes:
        elsewhere: Gives what other processes saw of the sample, where there are any.
        forwarded: Number of requests that came to a server of the plugin that forwards them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        answerer: Answerer | None = None,
        request_usage: bool = False,
        body_limit: BodyLimit | None = None,
        host_rules: HostRules | None = None,
        charges_earlier_work: bool = False,
    ) -> None:
        self.clock = clock
        self.answerer = answerer
        self.before_send: Callable[[Outgoing], None] | None = None
        self.on_end: Callable[[Exchange], None] | None = None
        self.request_usage = request_usage
        self.body_limit = body_limit
        self.connections = ConnectionLog(host_rules)
        self.replays = answerer is not None
        self.recording = True
        self.elsewhere: Callable[[], Spool | None] = _nowhere
        self._builders: list[ExchangeBuilder] = []
        self._maybe_running: dict[int, ExchangeBuilder] = {}
        self._spans: list[OpenSpan] = []
        self._abandoned: deque[ExchangeBuilder] = deque()
        self._numbers = itertools.count()
        self._outside: tuple[str, ...] = ()
        self._others: list[ExchangeBuilder] = []
        self._earlier: dict[ExchangeBuilder, int] = {}
        self._charges_earlier_work = charges_earlier_work
        self._work = SampleWork()
        self._held: list[ExchangeBuilder] = []
        self._held_bytes = 0
        self._notes: dict[str, None] = {}
        self.forwarded = 0
        self._lock = threading.Lock()

    def hold_calls(self, before_send: Callable[[Outgoing], None], on_end: Callable[[Exchange], None]) -> None:
        """Have somebody asked before each request, and told of each exchange.

        Args:
            before_send: Called with a request before it leaves; may raise to refuse it, and it is not recorded then.
            on_end: Called with each exchange as soon as it ended. It must not raise.
        """
        self.before_send, self.on_end = before_send, on_end

    def watch_begins(self, running: Mapping[ExchangeBuilder, int]) -> None:
        """Begin the sample: what runs already, in other threads and tasks or as a request, is none of its work."""
        self._earlier = dict(running)
        self._work.begin()

    @contextmanager
    def outside(self, where: str) -> Iterator[None]:
        """Charge the sample with nothing in the meantime; calls are kept as those of ``where``, stages are not opened."""
        with self._lock:
            self._outside = (*self._outside, where)
            self.recording = False
        try:
            with self._work.interrupted():
                yield
        finally:
            with self._lock:
                self._outside = self._outside[:-1]
                self.recording = not self._outside

    def outside_of(self, library: Library, request: Any) -> str:
        """Name what a request that is sent now belongs to, if it is not the sample; ``""`` if it is."""
        if not self.recording:
            return self._outside[-1]
        foreign = "" if self._charges_earlier_work else self._work.foreign_work()
        return "" if not foreign or self._waits_for_a_server(_host(library.request_parts(request)[1])) else foreign

    def _waits_for_a_server(self, asked: str) -> bool:
        """Tell whether the sample waits for a server of this machine: then whoever asks another host may serve the sample."""
        for builder in self._builders[-_LAST:]:
            if builder.end is None:
                host = _host(builder.library.request_parts(builder.request)[1])
                if host != asked and is_loopback(split_port(host)[0]):
                    return True
        return False

    def begin(self, builder: ExchangeBuilder) -> ExchangeBuilder:
        """Begin an exchange, and give its builder back: its request is about to be sent."""
        if self._abandoned:
            self.catch_up()
        builder.number = next(self._numbers)
        if builder.outside:
            self._others.append(builder)
        else:
            self._builders.append(builder)
            self._maybe_running[builder.number] = builder
        return builder

    def forget(self, builder: ExchangeBuilder) -> None:
        """Drop an exchange whose request was refused and never left."""
        with self._lock:
            (self._others if builder.outside else self._builders).remove(builder)
            self._maybe_running.pop(builder.number, None)

    def ended(self, builder: ExchangeBuilder) -> None:
        """Tell about an exchange that ended."""
        if builder.outside:
            return
        if self.body_limit is not None:
            with self._lock:
                self._held.append(builder)
                self._held_bytes += builder.size + request_size(builder.request)
                too_many = self._held_bytes > HELD
                if too_many:
                    held, self._held, self._held_bytes = self._held, [], 0
            for one in held if too_many else ():
                one.limit_bodies()
        if self.on_end is not None:
            self.on_end(builder.exchange(builder.ended))

    def abandoned(self, builder: ExchangeBuilder) -> None:
        """Keep an exchange that the garbage collector ended: it may hold any lock, so it is told later."""
        if self.on_end is not None:
            self._abandoned.append(builder)

    def catch_up(self) -> None:
        """Tell about the exchanges that ended unnoticed: by the garbage collector, or in another process."""
        while self._abandoned:
            self.ended(self._abandoned.popleft())
        elsewhere = self.elsewhere()
        if elsewhere is not None and self.on_end is not None:
            for exchange in elsewhere.newly_ended():
                self.on_end(self._surrounded(exchange))

    def _surrounded(self, exchange: Exchange) -> Exchange:
        """An exchange of another process, with the stage that was open here when it began."""
        return replace(exchange, surrounding_stage=self.open_stage(exchange.started))

    def open_span(self, path: str) -> OpenSpan | None:
        """Open a stage's span; whoever opened the stage closes it."""
        if not self.recording:
            return None
        span = OpenSpan(path, self.clock)
        self._spans.append(span)
        return span

    def note(self, text: str) -> None:
        """Keep a note for the reader: something of the sample could not be seen."""
        self._notes[text] = None

    def notes(self) -> tuple[str, ...]:
        """The notes, each once."""
        return tuple(self._notes)

    def open_stage(self, at: float | None = None) -> str:
        """Path of the stage that was opened last of those that are open now, or ``at`` a time; ``""`` for none."""
        if at is None:
            return next((span.stage for span in reversed(self._spans) if span.ended is None), "")
        spans = (
            span for span in reversed(self._spans) if span.started <= at and (span.ended is None or at < span.ended)
        )
        return next((span.stage for span in spans), "")

    def exchanges(self) -> tuple[Exchange, ...]:
        """All exchanges in the order of their starts; those still running end now, with the end ``open``."""
        if self._abandoned:
            self.catch_up()
        now = self.clock()
        # Two threads may take their numbers in one order and get here in the other.
        mine = tuple([builder.exchange(now) for builder in sorted(self._builders, key=attrgetter("number"))])
        elsewhere = self.elsewhere()
        others = () if elsewhere is None else elsewhere.exchanges()
        if not others:
            return mine
        return tuple(sorted((*mine, *map(self._surrounded, others)), key=lambda exchange: exchange.started))

    def spans_since(self, number: int) -> list[OpenSpan]:
        """The spans of this process from a number on, in the order in which they were opened."""
        return self._spans[number:]

    def is_sending(self, url: str, body: bytes) -> bool:
        """Tell whether a watched client is sending this to the URL that it knows, here or in another process."""
        for builder in self.running():
            _, asked, _, sent = builder.library.request_parts(builder.request)
            if same_request(url, body, asked, sent):
                return True
        elsewhere = self.elsewhere()
        return elsewhere is not None and elsewhere.is_sending(url, body)

    def running(self) -> tuple[ExchangeBuilder, ...]:
        """The exchanges that have not ended."""
        for builder in tuple(self._maybe_running.values()):
            if builder.end is not None:
                self._maybe_running.pop(builder.number, None)
        return tuple(self._maybe_running.values())

    def outside_exchanges(self) -> tuple[tuple[str, Exchange], ...]:
        """The exchanges that belong to something else than the sample, each with what it belongs to."""
        now = self.clock()
        earlier = [
            (EARLIER_REQUEST, builder.exchange(now))
            for builder, chunks in self._earlier.items()
            if builder.status is None or len(builder.chunks) > chunks
        ]
        return (*earlier, *[(builder.outside, builder.exchange(now)) for builder in tuple(self._others)])

    def spans(self) -> tuple[Span, ...]:
        """The times in which stages were open; those still open are closed now."""
        from pytest_tokenbudget.records.sample import Span

        now = self.clock()
        mine = tuple(
            [Span(span.stage, span.started, now if span.ended is None else span.ended) for span in tuple(self._spans)]
        )
        elsewhere = self.elsewhere()
        return mine if elsewhere is None else (*mine, *elsewhere.spans())


def hosts_of(exchanges: Iterable[Exchange]) -> dict[str, int]:
    """Hosts that were contacted (with the port where it is not the scheme's own), and the number of requests."""
    return dict(sorted(Counter([_host(exchange.url) for exchange in exchanges]).items()))


def same_request(url: str, body: bytes, asked: str, sent: bytes | None) -> bool:
    """Tell whether a request that arrived at a server is the one that a client sends; a body that is not known may be any."""
    return (sent is None or sent == body) and _place(url) == _place(asked)


def _place(url: str) -> tuple[str, str]:
    """Port and target of a URL of this machine, however they are written."""
    host, _, target = url.partition("://")[2].partition("/")
    return host.rpartition(":")[2], unquote(target.partition("#")[0])


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:  # a client of its own making may hand over anything
        return url
