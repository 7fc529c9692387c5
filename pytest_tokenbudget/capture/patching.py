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


def put_in_place(method: Watched) -> Callable[[], bool] | None:
    """Replace a method.

    Args:
        method: The method; one that the class inherits is replaced on the class itself.

    Returns:
        A function that puts back what was there, and says whether it could; ``None`` where the method is watched
        already (its module goes by two names). Where somebody has wrapped it meanwhile, and has not taken that away, the
        watch stays underneath: it is idle as long as nobody watches, and found again by the mark that
        ``functools.wraps`` hands up.
    """
    before = vars(method.owner).get(method.name)
    current = getattr(method.owner, method.name)
    if getattr(current, _MARK, None) is method.owner:
        return None
    replacement = wraps(current)(method.around(current))
    setattr(replacement, _MARK, method.owner)
    setattr(method.owner, method.name, replacement)

    def put_back() -> bool:
        if vars(method.owner).get(method.name) is not replacement:
            return False
        if before is None:
            delattr(method.owner, method.name)
        else:
            setattr(method.owner, method.name, before)
        return True

    return put_back
