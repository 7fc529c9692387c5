"""Clients are watched, for the time of a sample, wherever they come from: imported already, or imported meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture import aiohttp_client, botocore_session, httpx_family, requests_session
from pytest_tokenbudget.capture.function_stages import wrap_functions
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage_rules import StageRule
from pytest_tokenbudget.capture.stages import add_sink, remove_sink

Patch = Callable[[ModuleType, str, Recorder], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Family:
    """A client library.

    Attributes:
        module: The module whose arrival matters.
        package: The package that has the version.
        patch: Watches its clients; gives back a function that takes the watch away.
    """

    module: str
    package: str
    patch: Patch


FAMILIES: tuple[Family, ...] = (
    Family("httpx", "httpx", httpx_family.patch),
    Family("httpx2", "httpx2", httpx_family.patch),
    Family("requests", "requests", requests_session.patch),
    Family("aiohttp", "aiohttp", aiohttp_client.patch),
    Family("botocore.httpsession", "botocore", botocore_session.patch),
)


def watched_clients() -> tuple[str, ...]:
    """Name and version of each client library that is imported, and so is or would be watched."""
    return tuple(_label(family) for family in _arrived())


def _arrived() -> list[Family]:
    """The families that are imported; an alias of one under another's name counts once."""
    found: dict[int, Family] = {}
    for family in FAMILIES:
        module = sys.modules.get(family.module)
        if module is not None and module.__name__ == family.module:
            found.setdefault(id(module), family)
    return list(found.values())


def _label(family: Family) -> str:
    version = getattr(sys.modules.get(family.package), "__version__", "")
    return f"{family.package} {version}".strip()


@contextmanager
def watching(recorder: Recorder, *, rules: Sequence[StageRule] = ()) -> Iterator[None]:
    """Record what every client sends, until the end of the block; watches may be nested.

    Args:
        recorder: Who records.
        rules: Stages by configuration; functions that they name open their stage meanwhile.
    """
    undo: list[Callable[[], None]] = []

    def patch(family: Family) -> None:
        module = sys.modules[family.module]
        undo.append(family.patch(module, _label(family), recorder))

    arrivals = _Arrivals(patch)
    for family in _arrived():
        patch(family)
    sys.meta_path.insert(0, arrivals)
    add_sink(recorder)
    undo.append(wrap_functions(rules))
    try:
        yield
    finally:
        remove_sink(recorder)
        sys.meta_path.remove(arrivals)
        while undo:
            undo.pop()()


class _Arrivals:
    """Watches a client library that is imported while a sample runs."""

    def __init__(self, patch: Callable[[Family], None]) -> None:
        self._patch = patch
        self._waited_for = {family.module: family for family in FAMILIES}

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module as all others do, and take note when it is loaded."""
        family = self._waited_for.get(name)
        if family is None or name in sys.modules:
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _Arrivals):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                self._note(spec.loader, family)
                return spec
        return None

    def _note(self, loader: Any, family: Family) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # The outermost watch first, so that watches are taken away in the opposite order.
            for finder in reversed(sys.meta_path):
                if isinstance(finder, _Arrivals):
                    finder.arrived(family)

        loader.exec_module = exec_module

    def arrived(self, family: Family) -> None:
        """A client library was imported."""
        self._patch(family)
