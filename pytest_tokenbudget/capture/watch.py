"""Clients are watched, for the time of a sample, wherever they come from: imported already, or imported meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.arrivals import Arrivals
from pytest_tokenbudget.capture.function_stages import FunctionStages
from pytest_tokenbudget.capture.patching import Watched, put_in_place
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage_rules import StageRule


@dataclass(frozen=True, slots=True)
class Family:
    """A client library.

    Attributes:
        module: The module whose arrival matters.
        package: The package that has the version.
        home: Our module that knows it: its ``watched(module, client)`` gives the methods to watch.
    """

    module: str
    package: str
    home: str


# One more library is one more line, and one more file beside this one.
FAMILIES: tuple[Family, ...] = (
    Family("httpx", "httpx", "httpx_family"),
    Family("httpx2", "httpx2", "httpx_family"),
    Family("requests", "requests", "requests_session"),
    Family("aiohttp", "aiohttp", "aiohttp_client"),
    Family("botocore.httpsession", "botocore", "botocore_session"),
)
_MODULES = frozenset(family.module for family in FAMILIES)


def watched_clients() -> tuple[str, ...]:
    """Name and version of each client library that is imported, and so is watched while a watch is on."""
    return tuple(_label(family) for family in FAMILIES if _arrived(family) is not None)


def _arrived(family: Family) -> ModuleType | None:
    """The family's module, if it is imported; another one that goes by its name (``alias_httpx``) counts as itself."""
    module = sys.modules.get(family.module)
    return module if module is not None and getattr(module, "__name__", "") == family.module else None


def _label(family: Family) -> str:
    version = getattr(sys.modules.get(family.package), "__version__", "")
    return f"{family.package} {version}".strip()


class _Patches:
    """The methods that are replaced as long as any watch is on; one set, however many watches there are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._undo: list[Callable[[], bool]] = []
        self._arrivals = Arrivals(_MODULES.__contains__, lambda name: self._place())

    def begin(self, recorder: Recorder) -> None:
        """A watch begins; the first one puts the patches in place."""
        with self._lock:
            first = not ACTIVE.recorders
            ACTIVE.add(recorder)
            if first:
                self._arrivals.start()
                self._place()

    def end(self, recorder: Recorder) -> None:
        """A watch ends; the last one takes the patches away."""
        with self._lock:
            ACTIVE.remove(recorder)
            if not ACTIVE.recorders:
                self._arrivals.stop()
                # What is buried under somebody else's patch is tried again when the next watch ends.
                self._undo = [put_back for put_back in self._undo if not put_back()]

    def _place(self) -> None:
        with self._lock:
            for family in FAMILIES if ACTIVE.recorders else ():
                module = _arrived(family)
                for method in _methods(family, module) if module is not None else ():
                    put_back = put_in_place(method)
                    if put_back is not None:
                        self._undo.append(put_back)


def _methods(family: Family, module: ModuleType) -> tuple[Watched, ...]:
    home = import_module(f"{__package__}.{family.home}")
    try:
        methods: tuple[Watched, ...] = home.watched(module, _label(family))
    except AttributeError:  # it is being imported by another thread, and not complete yet: its arrival will be told
        return ()
    return methods


_PATCHES = _Patches()


@contextmanager
def watching(recorder: Recorder, *, rules: Sequence[StageRule] = ()) -> Iterator[FunctionStages]:
    """Record what every client sends, until the end of the block.

    Watches may be nested and may overlap; each sees the traffic. A client library is never imported for it. Whatever
    was put in place is taken away exactly when the last one ends.

    Args:
        recorder: Who records.
        rules: Stages by configuration; functions that they name open their stage meanwhile.

    Yields:
        The functions that rules name.
    """
    functions = FunctionStages(rules)
    named = Arrivals(functions.wants, lambda name: functions.wrap())
    _PATCHES.begin(recorder)
    try:
        named.start()
        functions.wrap()
        yield functions
    finally:
        named.stop()
        functions.put_back()
        _PATCHES.end(recorder)
