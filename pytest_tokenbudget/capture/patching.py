"""A method of a class, or a function of a module, replaced for a time and put back exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
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
    """A method that is replaced. Calling it puts back what was there, and says whether it could.

    Where somebody has wrapped the replacement meanwhile, and has not taken that away, it stays underneath: it is idle as
    long as nobody watches, and found again by the mark that ``functools.wraps`` hands up.
    """

    __slots__ = ("_before", "_method", "_replacement")

    def __init__(self, method: Watched, before: Any, replacement: Callable[..., Any]) -> None:
        self._method = method
        self._before = before
        self._replacement = replacement

    def __call__(self) -> bool:
        """Put back what was there."""
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
        standing = current
        while standing is not None:
            if standing is self._replacement:
                return ""
            standing = getattr(standing, "__wrapped__", None)
        module = getattr(current, "__module__", None) or type(current).__module__
        return f"{self._method.owner.__name__}.{self._method.name} was replaced by {module}"


def put_in_place(method: Watched) -> Patch | None:
    """Replace a method.

    Args:
        method: The method; one that the class inherits is replaced on the class itself.

    Returns:
        What puts it back; ``None`` where the method is watched already (its module goes by two names).
    """
    before = vars(method.owner).get(method.name)
    current = getattr(method.owner, method.name)
    if getattr(current, _MARK, None) is method.owner:
        return None
    replacement = wraps(current)(method.around(current))
    setattr(replacement, _MARK, method.owner)
    setattr(method.owner, method.name, replacement)
    return Patch(method, before, replacement)
