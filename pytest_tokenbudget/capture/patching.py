"""Methods that are replaced for a time and put back exactly, and modules whose import somebody is told of."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib.machinery import ModuleSpec
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any, NamedTuple

from pytest_tokenbudget.capture.active import ACTIVE

_MARK = "__tokenbudget_watch__"


class Watched(NamedTuple):
    """A method to watch.

    Attributes:
        owner: The class, or the module of a function.
        name: The method's name.
        door: Called in its place: with the method that stood there, and with the arguments of the call.
        always: Whether it is called while nobody records too; else the method itself is.
    """

    owner: type | ModuleType
    name: str
    door: Callable[..., Any]
    always: bool = False


class Patch:
    """A method that is replaced for a time, and may be replaced again; one that the class inherits, on the class itself.

    Where somebody has wrapped the replacement meanwhile, and has not taken that away, it stays underneath: it is idle as
    long as nobody watches, and found again by the mark that ``functools.wraps`` hands up.

    Attributes:
        owner: The class, or the module of a function.
        name: The method's name.
        replacement: What is called in its place.
    """

    __slots__ = ("_before", "_method", "_original", "name", "owner", "replacement")

    def __init__(self, method: Watched) -> None:
        self.owner, self.name, self._method = method.owner, method.name, method
        self._before: Any = None
        self._original: Any = None
        self.replacement: Any = None

    def put_in_place(self) -> bool:
        """Replace the method; says whether it did: not where it is watched already (its module goes by two names)."""
        current = getattr(self.owner, self.name)
        if getattr(current, _MARK, None) is self.owner:
            return False
        if current is not self._original:
            self._original = current
            self.replacement = wraps(current)(_replacement(self._method, current))
            setattr(self.replacement, _MARK, self.owner)
        self._before = vars(self.owner).get(self.name)
        setattr(self.owner, self.name, self.replacement)
        return True

    def put_back(self) -> bool:
        """Put back what was there, where nobody else has; says whether ours is gone."""
        if vars(self.owner).get(self.name) is not self.replacement:
            return getattr(self.owner, self.name) is self._original
        if self._before is None:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self._before)
        return True

    def bypass(self) -> str:
        """Name what stands in the method's place and does not call it; ``""`` where the method is called."""
        current = getattr(self.owner, self.name, None)
        if getattr(current, _MARK, None) is self.owner:
            return ""
        module = getattr(current, "__module__", None) or type(current).__module__
        return f"{self.owner.__name__}.{self.name} was replaced by {module}"


def _replacement(method: Watched, original: Callable[..., Any]) -> Callable[..., Any]:
    door, always = method.door, method.always
    if iscoroutinefunction(original):

        async def awaited(*args: Any, **options: Any) -> Any:
            if always or ACTIVE.recorders:
                return await door(original, *args, **options)
            return await original(*args, **options)

        return awaited

    def called(*args: Any, **options: Any) -> Any:
        if always or ACTIVE.recorders:
            return door(original, *args, **options)
        return original(*args, **options)

    return called


def is_current(owner: type | ModuleType) -> bool:
    """Tell whether a class, or a module, is still the one that goes by its name: it may have been loaded anew."""
    if isinstance(owner, ModuleType):
        return sys.modules.get(owner.__name__) is owner
    return getattr(sys.modules.get(owner.__module__), owner.__qualname__, None) is owner


class ImportHook:
    """A finder for ``sys.meta_path`` that finds nothing itself: it asks the others, and tells when a module is loaded.

    ``wanted`` says by a module's full name whether it matters. It is asked for every import, so it is quick.
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
            for finder in [one for one in sys.meta_path if one is not self and hasattr(one, "find_spec")]:
                spec: Any = finder.find_spec(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _TellingLoader(spec.loader, partial(self._loaded, name))
                    return spec  # type: ignore[no-any-return]  # what another finder gave
            return None
        finally:
            self._asking.name = None


class _TellingLoader:
    """A module's loader for the time of its loading; the module itself never sees it."""

    def __init__(self, loader: Any, loaded: Callable[[], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_loaded"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's body, then tell."""
        spec: Any = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._loaded()
