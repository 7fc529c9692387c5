"""The recorders that watch now.

The code under test cannot be handed a recorder, and threads that it starts do not carry its context. So the recorders
stand in one place of the process, where stages and watched clients find them. It holds nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.children.child import ChildRecorder
    from pytest_tokenbudget.capture.proxy.llm_proxy import LlmProxy
    from pytest_tokenbudget.capture.recorder import Recorder

ActiveRecorder: TypeAlias = "Recorder | ChildRecorder"
"""A recorder as stages and watched clients know it; a sample has one, and so has a child process."""


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
        epoch: The epoch of now, also where nobody watches.
        forwarders: The servers of the plugin that forward what is sent to them.
    """

    __slots__ = ("epoch", "forwarders", "recorders")

    def __init__(self) -> None:
        self.recorders: tuple[ActiveRecorder, ...] = ()
        self.epoch = Epoch()
        self.forwarders: tuple[LlmProxy, ...] = ()

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
