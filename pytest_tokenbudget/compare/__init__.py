"""Samples meet a baseline: gates become verdicts.

``judge``, ``judge_improvement`` and ``judge_origin`` are the public way to the statistics; they are imported when
they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_tokenbudget.compare.dispatch import judge, judge_improvement, judge_origin

__all__ = ["judge", "judge_improvement", "judge_origin"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from pytest_tokenbudget.compare import dispatch

    for public in __all__:
        globals()[public] = getattr(dispatch, public)
    return globals()[name]
