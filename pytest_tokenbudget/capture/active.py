"""The recorders that watch now.

The code under test cannot be handed a recorder, and threads that it starts do not carry its context. So the recorders
stand in one place of the process, where stages and watched clients find them. It holds nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import BodyLimit, ExchangeBuilder, Library
    from pytest_tokenbudget.capture.local_answer import Answerer, Outgoing
    from pytest_tokenbudget.capture.network import ConnectionLog
    from pytest_tokenbudget.capture.recorder import OpenSpan


class ActiveRecorder(Protocol):
    """A recorder as stages and watched clients know it; a sample has one, and so has a child process."""

    @property
    def recording(self) -> bool:
        """Tell whether it records now."""

    def watch_begins(self, running: Mapping[ExchangeBuilder, int]) -> None:
        """Begin to record in this thread; requests sent before still run, with the chunks that came until now."""

    def outside_of(self, library: Library, request: Any) -> str:
        """Name what a request that is sent now belongs to, if it is not to be recorded as a sample's; ``""`` if it is."""

    @property
    def request_usage(self) -> bool:
        """Tell whether OpenAI-style streams are asked for their usage."""

    @property
    def answerer(self) -> Answerer | None:
        """The player that answers instead of the network, if there is one."""

    @property
    def replays(self) -> bool:
        """Tell whether answers come from a script or a recording."""

    @property
    def before_send(self) -> Callable[[Outgoing], None] | None:
        """A function that may refuse a request before it leaves."""

    @property
    def connections(self) -> ConnectionLog:
        """The connections that belong to no watched client."""

    @property
    def clock(self) -> Callable[[], float]:
        """The sample's clock, s."""

    @property
    def body_limit(self) -> BodyLimit | None:
        """Tells how much of a body is kept; ``None`` where all is."""

    def begin(self, builder: ExchangeBuilder) -> ExchangeBuilder:
        """Begin an exchange, and give its builder back: its request is about to be sent."""

    def ended(self, builder: ExchangeBuilder) -> None:
        """Take note that an exchange ended."""

    def abandoned(self, builder: ExchangeBuilder) -> None:
        """Take note that the garbage collector ended an exchange; it may hold any lock."""

    def running(self) -> Iterable[ExchangeBuilder]:
        """The exchanges that have not ended."""

    def forget(self, builder: ExchangeBuilder) -> None:
        """Drop an exchange whose request never left."""

    def open_span(self, path: str) -> OpenSpan | None:
        """Open a stage's span."""

    def note(self, text: str) -> None:
        """Keep a note for the reader: something of the sample could not be seen."""


class Forwarder(Protocol):
    """A server of the plugin that forwards what is sent to it."""

    @property
    def address(self) -> str:
        """Its address on this machine, with the port."""

    def meant_address(self, url: str) -> tuple[str, str] | None:
        """The URL and the stage that a URL of this server stands for; ``None`` for the URL of another server."""


class Epoch:
    """The time from the outermost watch's begin to its end.

    It shows what an earlier epoch left behind (a stage in a generator that nobody finished).

    Attributes:
        host_names: Names of hosts that were looked up in it, by address.
    """

    __slots__ = ("host_names",)

    def __init__(self) -> None:
        self.host_names: dict[str, str] = {}


class Active:
    """The recorders of the watches that are on, outermost first.

    Attributes:
        recorders: The recorders; replaced as a whole, so that a reader needs no lock.
        epoch: The epoch of now; ``None`` where nobody watches.
        forwarders: The servers of the plugin that forward what is sent to them.
    """

    __slots__ = ("epoch", "forwarders", "recorders")

    def __init__(self) -> None:
        self.recorders: tuple[ActiveRecorder, ...] = ()
        self.epoch: Epoch | None = None
        self.forwarders: tuple[Forwarder, ...] = ()

    def meant_address(self, url: str, stage: str) -> tuple[str, str]:
        """The URL that is meant by one of a server that forwards, and the stage that it names where none is open."""
        for forwarder in self.forwarders:
            meant = forwarder.meant_address(url)
            if meant is not None:
                return meant[0], stage or meant[1]
        return url, stage

    def names_forwarder(self, text: str) -> bool:
        """Tell whether a text (a variable, an argument) names a server that forwards."""
        return any(forwarder.address in text for forwarder in self.forwarders)


ACTIVE = Active()
