"""Watches the client libraries for the time of a sample, whether they are imported already or meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from pytest_tokenbudget.capture.active import ACTIVE, ActiveRecorder, Epoch
from pytest_tokenbudget.capture.patching import ImportHook, Patch, is_current

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
    from pytest_tokenbudget.capture.function_stages import FunctionStages
    from pytest_tokenbudget.capture.stage_rules import StageRule


class Family(NamedTuple):
    """A client library.

    Attributes:
        module: The module whose import matters.
        package: The package that has the version; ``""`` for what stands below all clients.
        home: Our module that knows it: its ``watched(module, client)`` gives the methods to watch.
    """

    module: str
    package: str
    home: str


# One more library is one more line, and a module beside this one that knows it.
FAMILIES: tuple[Family, ...] = (
    Family("httpx", "httpx", "httpx_client"),
    Family("httpx2", "httpx2", "httpx_client"),
    Family("requests", "requests", "urllib3_clients"),
    Family("aiohttp", "aiohttp", "aiohttp_client"),
    Family("botocore.httpsession", "botocore", "urllib3_clients"),
    Family("lm15.transports", "lm15", "lm15_client"),
    Family("dspy._vendor.lm15.transports", "dspy", "lm15_client"),
    # What others send by means of, where nobody does.
    Family("http.client", "http.client", "stdlib_client"),
    Family("urllib3.connectionpool", "urllib3", "urllib3_clients"),
    # gRPC and WebSockets.
    Family("grpc", "grpc", "grpc_client"),
    Family("grpc.aio", "grpc", "grpc_client"),
    Family("aiohttp.client_ws", "aiohttp", "websocket_client"),
    Family("websockets.asyncio.client", "websockets", "websocket_client"),
    Family("websockets.sync.client", "websockets", "websocket_client"),
    Family("websocket._core", "websocket", "websocket_client"),
    # Tools for tests that go round the clients.
    Family("requests_mock.mocker", "requests", "urllib3_clients"),
    Family("moto.core.botocore_stubber", "botocore", "urllib3_clients"),
    Family("botocore.stub", "botocore", "urllib3_clients"),
    # Who hands work to threads that ran before.
    Family("concurrent.futures.thread", "", "ownership"),
    # What stands below all clients, and what goes round it.
    Family("curl_cffi.requests.session", "", "curl_client"),
    Family("socket", "", "network"),
    Family("ssl", "", "network"),
)
MODULES = frozenset({family.module for family in FAMILIES})
"""The modules whose arrival matters."""

CLIENTS = frozenset({family.module for family in FAMILIES if family.package or family.home == "curl_client"})
"""The libraries that may call a model."""


_UNWATCHED = (
    *("curl_cffi", "niquests", "pycurl", "primp", "tls_client", "pyreqwest", "rnet", "treq", "aiosonic"),
    *("tornado.simple_httpclient", "tornado.curl_httpclient"),
)
"""Modules of client libraries that are not watched."""

WATCHED_PACKAGES = tuple(dict.fromkeys([family.package for family in FAMILIES if family.package]))
"""The client libraries that are watched."""

UNWATCHED_PACKAGES = tuple(dict.fromkeys([module.partition(".")[0] for module in _UNWATCHED]))
"""Client libraries that are known and not watched."""


def unwatched_clients() -> tuple[str, ...]:
    """The client libraries that are imported and not watched."""
    return tuple(dict.fromkeys([module.partition(".")[0] for module in _UNWATCHED if module in sys.modules]))


def _imported() -> list[ModuleType | None]:
    """Give the module that is imported under each family's name; ``None`` where none is."""
    return [sys.modules.get(family.module) for family in FAMILIES]


def _is_itself(module: ModuleType | None, family: Family) -> bool:
    """Tell whether a family's module is imported; another one that goes by its name (``alias_httpx``) counts as itself."""
    return getattr(module, "__name__", "") == family.module


class _Patches:
    """The methods that are replaced as long as any watch is on; one set, however many watches there are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept = False
        self._placed = False
        self._made: dict[str, list[Patch]] = {}
        self._standing: list[Patch] = []
        self._owners: set[type | ModuleType] = set()
        self._imported: list[ModuleType | None] = []
        self._clients: tuple[list[ModuleType | None], tuple[str, ...]] = ([], ())
        self._running: dict[ExchangeBuilder, int] = {}
        self._imports = ImportHook(MODULES.__contains__, self._place)

    def begin(self, recorder: ActiveRecorder) -> None:
        """Begin a watch; the first one puts the patches in place."""
        with self._lock:
            # A stream that moved no further meanwhile was left open by its reader: nothing runs there any more.
            self._running = {
                builder: len(builder.chunks)
                for builder, chunks in self._running.items()
                if builder.end is None and (builder.status is None or len(builder.chunks) > chunks)
            }
            recorder.watch_begins(self._running)
            if not ACTIVE.recorders and not self._stand():
                self._take_away()
                self._imports.start()
                self._place()
            ACTIVE.recorders = (*ACTIVE.recorders, recorder)

    def end(self, recorder: ActiveRecorder) -> None:
        """End a watch, in any order; the last one takes the patches away."""
        with self._lock:
            left = list(ACTIVE.recorders)
            if recorder in left:  # else this is a fork, in which another one has taken over
                del left[len(left) - 1 - left[::-1].index(recorder)]  # the one that began last: it may watch twice
            ACTIVE.recorders = tuple(left)
            self._running |= dict.fromkeys(recorder.running(), -1)
            if not left:
                ACTIVE.epoch = Epoch()
                self.keep(self._kept)

    def take_over(self, recorder: ActiveRecorder) -> None:
        """Have one recorder watch alone, in a process that was forked from one in which others watch."""
        self._lock = threading.RLock()  # a thread that does not exist here may have held it
        ACTIVE.recorders = (recorder,)

    def keep(self, kept: bool) -> None:
        """Say whether what is put in place stays there when the last watch ends, since another one begins at once.

        Between the two it does nothing; putting it in place takes longer than all else that a watch does.
        """
        with self._lock:
            self._kept = kept
            if not kept and not ACTIVE.recorders:
                self._take_away()

    def _stand(self) -> bool:
        """Tell whether all is in place that is to be, and nobody stands in front of it."""
        if not self._placed or self._imported != _imported() or self._moved():
            return False
        return all(map(is_current, self._owners))

    def _moved(self) -> list[Patch]:
        """The patches that somebody has put something in the place of."""
        return [one for one in self._standing if vars(one.owner).get(one.name) is not one.replacement]

    def _take_away(self) -> None:
        if self._placed:
            self._placed = False
            self._imports.stop()
            # What is buried under somebody else's patch is tried again when the next watch ends.
            self._standing = [patch for patch in self._standing if not patch.put_back()]
            if self._standing:
                self._made.clear()

    def _place(self, loaded: str = "") -> None:
        """Replace the methods of the clients that are imported; ``loaded`` is the module that was imported last."""
        with self._lock:
            self._placed = True
            self._imported = _imported()
            for family, module in zip(FAMILIES, self._imported, strict=True):
                if module is None or loaded not in ("", family.module) or not _is_itself(module, family):
                    continue
                self._standing += [patch for patch in self._patches_of(family, module) if patch.put_in_place()]
            self._owners = {patch.owner for patch in self._standing}

    def _patches_of(self, family: Family, module: ModuleType) -> list[Patch]:
        """The patches of a family's methods: those of earlier watches, where they still fit."""
        known = self._made.get(family.module)
        if known is None or not all(map(is_current, [patch.owner for patch in known])):
            home = import_module(f"{__package__}.{family.home}")
            try:
                known = list(map(Patch, home.watched(module, _label(family))))
            except AttributeError:
                return []  # it is being imported by another thread, and not complete yet: its arrival will be told
            self._made[family.module] = known
        return known

    def clients(self) -> tuple[str, ...]:
        """Name and version of each client library that is imported, and so is watched while a watch is on."""
        imported = _imported()
        if imported != self._clients[0]:
            families = zip(FAMILIES, imported, strict=True)
            labels = [_label(family) for family, module in families if family.package and _is_itself(module, family)]
            self._clients = imported, tuple(dict.fromkeys(labels))
        return self._clients[1]

    def bypasses(self) -> tuple[str, ...]:
        """Say what somebody has put in the place of watched methods, so that requests do not pass them."""
        with self._lock:
            return tuple(dict.fromkeys(filter(None, [patch.bypass() for patch in self._moved()])))


def _label(family: Family) -> str:
    version = getattr(sys.modules.get(family.package), "__version__", "")
    return f"{family.package} {version}".strip()


_PATCHES = _Patches()
keep_in_place = _PATCHES.keep
watched_clients = _PATCHES.clients
bypasses = _PATCHES.bypasses
_UNTIL_EXIT = ExitStack()


@contextmanager
def watching(recorder: ActiveRecorder, *, rules: Sequence[StageRule] = ()) -> Iterator[FunctionStages | None]:
    """Record what every client sends, until the end of the block.

    Watches may be nested and may overlap; each sees the traffic. A client library is never imported for it. Whatever
    was put in place is taken away exactly when the last one ends, or later: see :func:`keep_in_place`.

    Args:
        recorder: Who records.
        rules: Stages by configuration; functions that they name open their stage meanwhile.

    Yields:
        The functions that rules name; ``None`` where no rule names one.
    """
    _PATCHES.begin(recorder)
    try:
        if "function" not in [rule.kind for rule in rules]:
            yield None
            return
        from pytest_tokenbudget.capture.function_stages import FunctionStages

        with FunctionStages(rules) as functions:
            yield functions
    finally:
        _PATCHES.end(recorder)


def take_over(recorder: ActiveRecorder, *, rules: Sequence[StageRule] = ()) -> None:
    """Have this process, a child, watched by one recorder until it ends.

    Args:
        recorder: Who records; whoever recorded in the process that this one was forked from records no more.
        rules: Stages by configuration; functions that they name open their stage. Where the process was forked from
            one that is watched, they do so already.
    """
    if ACTIVE.recorders:
        _PATCHES.take_over(recorder)
    else:
        _UNTIL_EXIT.enter_context(watching(recorder, rules=rules))
