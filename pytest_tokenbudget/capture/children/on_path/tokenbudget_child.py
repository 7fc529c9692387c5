"""Waits in a child process for a library that is worth watching; until then nothing of the package is imported.

Every child pays for this module when it starts, so it needs ``os`` and ``sys`` alone.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


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
        self._wanted = wanted

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Begin to watch where the name is wanted, and leave the finding to the others."""
        if name not in self._wanted or self not in sys.meta_path:
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

    def begin(self) -> None:
        """Begin to watch; where the package cannot be imported, say so and leave the process alone."""
        sys.meta_path.remove(self)
        try:
            _import_package(self._root)
            from pytest_tokenbudget.capture.children.child import watch

            watch(self._spool, self._path)
        except Exception as error:
            _say(self._path, f"{type(error).__name__}: {error}")


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
    waiting = Waiting(spool, path, root, wanted)
    sys.meta_path.insert(0, waiting)
    if not wanted.isdisjoint(sys.modules):
        waiting.begin()


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
