"""Waits in a child process for a library that is worth watching; until then nothing of the package is imported.

Every child pays for this module when it starts, so it needs ``os`` and ``sys`` alone. Modules that many programs import
and few use to ask a model are waited for too, but only their first use begins to watch.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


FIRST_USES: dict[str, tuple[tuple[str, str], ...]] = {
    "http.client": (("HTTPConnection", "putrequest"),),
    "socket": (("socket", "connect"), ("socket", "connect_ex"), ("", "getaddrinfo")),
}
"""Modules whose use matters, not their import: class and method, or a function, that is called first."""


class Waiting:
    """A finder for ``sys.meta_path`` that finds nothing: it begins to watch when a wanted module is asked for.

    Args:
        spool: The directory of the session.
        path: This process's file in it.
        root: Directory of the package in the session's own environment.
        wanted: Full names of the modules that it waits for.
    """

    def __init__(self, spool: str, path: str, root: str, wanted: frozenset[str]) -> None:
        self._spool = spool
        self._path = path
        self._root = root
        self._wanted = wanted - FIRST_USES.keys()
        self._put_back: list[Callable[[], None]] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Begin to watch where the name is wanted, and leave the finding to the others."""
        if self not in sys.meta_path:
            return None
        if name in FIRST_USES:
            return self._spec_of_first_use(name, path, target)
        if name not in self._wanted:
            return None
        self.begin()
        if (module := sys.modules.get(name)) is not None:
            return _Loaded(module).spec
        # The others have changed meanwhile: what was put among them is to be asked for this module too.
        for finder in list(sys.meta_path):
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    def start(self) -> None:
        """Wait from now on."""
        sys.meta_path.insert(0, self)
        if not self._wanted.isdisjoint(sys.modules):
            self.begin()
            return
        for name in FIRST_USES:
            if name in sys.modules:
                self.wait_for_use(sys.modules[name])

    def _spec_of_first_use(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            spec: ModuleSpec | None = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                loader: Any = spec.loader
                if hasattr(loader, "exec_module"):
                    telling: Any = _ThenWaiting(loader, self)
                    spec.loader = telling
                return spec
        return None

    def wait_for_use(self, module: ModuleType) -> None:
        """Begin to watch when a function of a module is called for the first time."""
        for owner_name, name in FIRST_USES[module.__name__] if self in sys.meta_path else ():
            owner: Any = getattr(module, owner_name) if owner_name else module
            before = vars(owner).get(name)
            setattr(owner, name, self._first_use(owner, name))
            self._put_back.append(lambda owner=owner, name=name, before=before: _restore(owner, name, before))  # type: ignore[misc]  # bound now

    def _first_use(self, owner: Any, name: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def use(*args: Any, **options: Any) -> Any:
            if self in sys.meta_path and not _is_local(name, args):
                self.begin()
            # Somebody may have kept this function: what stands there now watches.
            now = getattr(owner, name)
            return (original if now is use else now)(*args, **options)

        return use

    def begin(self) -> None:
        """Begin to watch; where the package cannot be imported, say so and leave the process alone."""
        sys.meta_path.remove(self)
        while self._put_back:
            self._put_back.pop()()
        try:
            _import_package(self._root)
            from pytest_tokenbudget.capture.children.child import watch

            watch(self._spool, self._path)
        except Exception as error:
            _say(self._path, f"{type(error).__name__}: {error}")


def _restore(owner: Any, name: str, before: Any) -> None:
    if before is None:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def _is_local(name: str, args: tuple[Any, ...]) -> bool:
    """Tell whether a socket is connected to something that has no host: one of this machine's own kinds."""
    return name.startswith("connect") and not (len(args) > 1 and isinstance(args[1], tuple) and len(args[1]) > 1)


class _ThenWaiting:
    """A module's loader for the time of its loading, which then waits for its first use."""

    def __init__(self, loader: Any, waiting: Waiting) -> None:
        self._loader = loader
        self._waiting = waiting

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's body, then wait."""
        spec: Any = module.__spec__
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._waiting.wait_for_use(module)


class _Loaded:
    """The loader of a module that was imported while somebody was looking for it: it is not to be run a second time."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    @property
    def spec(self) -> ModuleSpec:
        """A spec with this loader."""
        from importlib.machinery import ModuleSpec as Made

        loader: Any = self
        return Made(self._module.__name__, loader)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give the module itself."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Give it its own spec back, which the import system has replaced."""
        module.__spec__ = self._spec


def begin(spool: str, path: str, root: str, wanted: frozenset[str]) -> None:
    """Wait for the wanted modules; see :class:`Waiting`."""
    Waiting(spool, path, root, wanted).start()


def _import_package(root: str) -> None:
    """Import the package: this environment's own, or else the session's, which needs the standard library alone."""
    try:
        import pytest_tokenbudget  # noqa: F401
    except ImportError:
        from importlib.util import module_from_spec, spec_from_file_location

        name = "pytest_tokenbudget"
        spec = spec_from_file_location(name, os.path.join(root, "__init__.py"), submodule_search_locations=[root])
        if spec is None or spec.loader is None:
            raise
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)


def _say(path: str, problem: str) -> None:
    """Write into this process's file why it is not watched; the words are in hex, since JSON is not imported."""
    data = b'{"problem":"%s"}' % problem.encode("utf-8", "replace").hex().encode()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, b"%08x%08x" % (len(data), 0) + data)
    finally:
        os.close(file)
