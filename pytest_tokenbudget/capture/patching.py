"""Methods that are replaced for a time and put back exactly, and modules whose import somebody is told of."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

_MARK = "__tokenbudget_watch__"


class Watched(NamedTuple):
    """A method to watch.

    Attributes:
        owner: The class, or the module of a function.
        name: The method's name.
        around: Makes the replacement from the method that stands there.
    """

    owner: type | ModuleType
    name: str
    around: Callable[[Callable[..., Any]], Callable[..., Any]]


class Patch:
    """A method that is replaced for a time, and may be replaced again.

    Where somebody has wrapped the replacement meanwhile, and has not taken that away, it stays underneath: it is idle as
    long as nobody watches, and found again by the mark that ``functools.wraps`` hands up.
    """

    __slots__ = ("_before", "_method", "_original", "_replacement")

    def __init__(self, method: Watched) -> None:
        self._method = method
        self._before: Any = None
        self._original: Any = None
        self._replacement: Callable[..., Any] | None = None

    @property
    def owner(self) -> type | ModuleType:
        """The class, or the module of a function."""
        return self._method.owner

    def put_in_place(self) -> bool:
        """Replace the method; one that the class inherits is replaced on the class itself.

        Returns:
            Whether it did; not where the method is watched already (its module goes by two names).
        """
        owner, name = self._method.owner, self._method.name
        current = getattr(owner, name)
        if getattr(current, _MARK, None) is owner:
            return False
        if self._replacement is None or current is not self._original:
            self._original = current
            self._replacement = wraps(current)(self._method.around(current))
            setattr(self._replacement, _MARK, owner)
        self._before = vars(owner).get(name)
        setattr(owner, name, self._replacement)
        return True

    def put_back(self) -> bool:
        """Put back what was there; says whether it could."""
        owner, name = self._method.owner, self._method.name
        if vars(owner).get(name) is not self._replacement:
            return False
        if self._before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, self._before)
        return True

    def bypass(self) -> str:
        """Name what stands in the method's place and does not call it; ``""`` where the method is called."""
        current = getattr(self._method.owner, self._method.name, None)
        if current is self._replacement:
            return ""
        standing = current
        while standing is not None:
            if standing is self._replacement:
                return ""
            standing = getattr(standing, "__wrapped__", None)
        module = getattr(current, "__module__", None) or type(current).__module__
        return f"{self._method.owner.__name__}.{self._method.name} was replaced by {module}"


def is_current(owner: type | ModuleType) -> bool:
    """Tell whether a class, or a module, is still the one that goes by its name: it may have been loaded anew."""
    if isinstance(owner, ModuleType):
        return sys.modules.get(owner.__name__) is owner
    return getattr(sys.modules.get(owner.__module__), owner.__qualname__, None) is owner


class ImportHook:
    """A finder for ``sys.meta_path`` that finds nothing itself: it asks the others, and tells when a module is loaded.

    Args:
        wanted: Says by a module's full name whether it matters. It is asked for every import, so it is quick.
        loaded: Called with the name of a module after its body has run.
    """

    def __init__(self, wanted: Callable[[str], bool], loaded: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._loaded = loaded
        self._asking = threading.local()

    def start(self) -> None:
        """Listen from now on."""
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Listen no more."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as all other finders do."""
        if not self._wanted(name) or getattr(self._asking, "name", None) == name:
            return None
        self._asking.name = name
        try:
            spec = _found_by_others(self, name, path, target)
        finally:
            self._asking.name = None
        if spec is not None and hasattr(spec.loader, "exec_module"):
            telling: Any = _TellingLoader(spec.loader, lambda: self._loaded(name))
            spec.loader = telling
        return spec


def _found_by_others(
    me: ImportHook, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if finder is me or find is None else find(name, path, target)
        if spec is not None:
            return spec
    return None


class _TellingLoader:
    """A module's loader for the time of its loading; the module itself never sees it."""

    def __init__(self, loader: Any, loaded: Callable[[], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_loaded"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        create = getattr(self._loader, "create_module", None)
        module: ModuleType | None = None if create is None else create(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's body, then tell."""
        spec: Any = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._loaded()
