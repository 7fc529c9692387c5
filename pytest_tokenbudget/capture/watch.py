"""Watches the client libraries for the time of a sample, whether they are imported already or meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from pytest_tokenbudget.capture.active import ACTIVE, ActiveRecorder
from pytest_tokenbudget.capture.patching import ImportHook, Patch, Watched, is_current

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


# One more library is one more line, and one more file beside this one.
FAMILIES: tuple[Family, ...] = (
    Family("httpx", "httpx", "httpx_client"),
    Family("httpx2", "httpx2", "httpx_client"),
    Family("requests", "requests", "requests_client"),
    Family("aiohttp", "aiohttp", "aiohttp_client"),
    Family("botocore.httpsession", "botocore", "botocore_client"),
    Family("lm15.transports", "lm15", "lm15_client"),
    Family("dspy._vendor.lm15.transports", "dspy", "lm15_client"),
    # What others send by means of, where nobody does.
    Family("http.client", "http.client", "stdlib_client"),
    Family("urllib3.connectionpool", "urllib3", "urllib3_client"),
    # gRPC and WebSockets.
    Family("grpc", "grpc", "grpc_client"),
    Family("grpc.aio", "grpc", "grpc_client"),
    Family("aiohttp.client_ws", "aiohttp", "websocket_client"),
    Family("websockets.asyncio.client", "websockets", "websocket_client"),
    Family("websockets.sync.client", "websockets", "websocket_client"),
    Family("websocket._core", "websocket", "websocket_client"),
    # Tools for tests that go round the clients.
    Family("requests_mock.mocker", "requests", "requests_client"),
    Family("moto.core.botocore_stubber", "botocore", "botocore_client"),
    Family("botocore.stub", "botocore", "botocore_client"),
    # Who hands work to threads that ran before.
    Family("concurrent.futures.thread", "", "ownership"),
    # What stands below all clients, and what goes round it.
    Family("curl_cffi.requests.session", "", "curl_client"),
    Family("socket", "", "network"),
    Family("ssl", "", "network"),
)
MODULES = frozenset(family.module for family in FAMILIES)
"""The modules whose arrival matters."""

CLIENTS = frozenset(family.module for family in FAMILIES if family.package or family.home == "curl_client")
"""The libraries that may call a model."""


def watched_clients() -> tuple[str, ...]:
    """Name and version of each client library that is imported, and so is watched while a watch is on."""
    return tuple(
        dict.fromkeys(_label(family) for family in FAMILIES if family.package and _imported(family) is not None)
    )


_UNWATCHED = (
    ("curl_cffi", "curl_cffi"),
    ("niquests", "niquests"),
    ("pycurl", "pycurl"),
    ("primp", "primp"),
    ("tls_client", "tls_client"),
    ("pyreqwest", "pyreqwest"),
    ("rnet", "rnet"),
    ("treq", "treq"),
    ("aiosonic", "aiosonic"),
    ("tornado.simple_httpclient", "tornado"),
    ("tornado.curl_httpclient", "tornado"),
)
"""Modules of client libraries that are not watched, and their packages."""

WATCHED_PACKAGES = tuple(dict.fromkeys(family.package for family in FAMILIES if family.package))
"""The client libraries that are watched."""

UNWATCHED_PACKAGES = tuple(dict.fromkeys(package for _, package in _UNWATCHED))
"""Client libraries that are known and not watched."""


def unwatched_clients() -> tuple[str, ...]:
    """The client libraries that are imported and not watched."""
    return tuple(dict.fromkeys(package for module, package in _UNWATCHED if module in sys.modules))


def bypasses() -> tuple[str, ...]:
    """Say what somebody has put in the place of watched methods, so that requests do not pass them."""
    return _PATCHES.bypasses()


def _imported(family: Family) -> ModuleType | None:
    """The family's module, if it is imported; another one that goes by its name (``alias_httpx``) counts as itself."""
    module = sys.modules.get(family.module)
    return module if module is not None and getattr(module, "__name__", "") == family.module else None


def _label(family: Family) -> str:
    version = getattr(sys.modules.get(family.package), "__version__", "")
    return f"{family.package} {version}".strip()


class _Made(NamedTuple):
    """The patches of a family's methods, which are put in place again and again, and the owners of these."""

    patches: tuple[Patch, ...]
    owners: tuple[type | ModuleType, ...]


class _Patches:
    """The methods that are replaced as long as any watch is on; one set, however many watches there are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[str, _Made] = {}
        self._standing: list[Patch] = []
        self._running: dict[ExchangeBuilder, int] = {}
        self._imports = ImportHook(MODULES.__contains__, self._place)

    def begin(self, recorder: ActiveRecorder) -> None:
        """Begin a watch; the first one puts the patches in place."""
        with self._lock:
            first = not ACTIVE.recorders
            # A stream that moved no further meanwhile was left open by its reader: nothing runs there any more.
            self._running = {
                builder: len(builder.chunks)
                for builder, chunks in self._running.items()
                if builder.end is None and (builder.status is None or len(builder.chunks) > chunks)
            }
            recorder.began_before(self._running)
            recorder.watch_begins()
            ACTIVE.add(recorder)
            if first:
                self._imports.start()
                self._place()

    def end(self, recorder: ActiveRecorder) -> None:
        """End a watch; the last one takes the patches away."""
        with self._lock:
            ACTIVE.remove(recorder)
            self._running |= dict.fromkeys(recorder.running(), -1)
            if not ACTIVE.recorders:
                self._imports.stop()
                # What is buried under somebody else's patch is tried again when the next watch ends.
                self._standing = [patch for patch in self._standing if not patch.put_back()]
                if self._standing:
                    self._made.clear()

    def take_over(self, recorder: ActiveRecorder) -> None:
        """Have one recorder watch alone, in a process that was forked from one in which others watch."""
        self._lock = threading.RLock()  # a thread that does not exist here may have held it
        ACTIVE.take_over(recorder)

    def _place(self, loaded: str = "") -> None:
        """Replace the methods of the clients that are imported; ``loaded`` is the module that was imported last."""
        with self._lock:
            for family in FAMILIES if ACTIVE.recorders else ():
                module = _imported(family)
                if module is None or loaded not in ("", family.module):
                    continue
                self._standing += [patch for patch in self._patches_of(family, module) if patch.put_in_place()]

    def _patches_of(self, family: Family, module: ModuleType) -> tuple[Patch, ...]:
        """Give the patches of a family's methods: those of earlier watches, where they still fit."""
        known = self._made.get(family.module)
        if known is None or not all(map(is_current, known.owners)):
            patches = tuple(map(Patch, _methods(family, module)))
            known = self._made[family.module] = _Made(patches, tuple({patch.owner for patch in patches}))
            if not patches:
                del self._made[family.module]
        return known.patches

    def bypasses(self) -> tuple[str, ...]:
        """Say which watched methods somebody else has put something in the place of."""
        with self._lock:
            return tuple(dict.fromkeys(filter(None, (patch.bypass() for patch in self._standing))))


def _methods(family: Family, module: ModuleType) -> tuple[Watched, ...]:
    home = import_module(f"{__package__}.{family.home}")
    try:
        methods: tuple[Watched, ...] = home.watched(module, _label(family))
    except AttributeError:  # it is being imported by another thread, and not complete yet: its arrival will be told
        return ()
    return methods


_PATCHES = _Patches()
_UNTIL_EXIT = ExitStack()


@contextmanager
def watching(recorder: ActiveRecorder, *, rules: Sequence[StageRule] = ()) -> Iterator[FunctionStages | None]:
    """Record what every client sends, until the end of the block.

    Watches may be nested and may overlap; each sees the traffic. A client library is never imported for it. Whatever
    was put in place is taken away exactly when the last one ends.

    Args:
        recorder: Who records.
        rules: Stages by configuration; functions that they name open their stage meanwhile.

    Yields:
        The functions that rules name; ``None`` where no rule names one.
    """
    with ExitStack() as stack:
        _PATCHES.begin(recorder)
        stack.callback(_PATCHES.end, recorder)
        functions = None
        if any(rule.kind == "function" for rule in rules):
            from pytest_tokenbudget.capture.function_stages import FunctionStages

            functions = stack.enter_context(FunctionStages(rules))
        yield functions


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
