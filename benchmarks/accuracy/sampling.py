"""Sampling until a verdict stands, as the plugin does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Decidable(Protocol):
    """A result that may want further values."""

    @property
    def verdict(self) -> str:
        """The verdict."""

    @property
    def more(self) -> int:
        """Further new values that are wanted; 0 where it is decided, or cannot be."""


Judged = TypeVar("Judged", bound=Decidable)


@dataclass(frozen=True, slots=True)
class Sampled(Generic[Judged]):
    """All that was drawn, and the last result.

    Attributes:
        result: The last result.
        base: Baseline values that were drawn (interleaved arms), in the order in which they came.
        new: New values in the order in which they came.
        looks: Number of looks.
    """

    result: Judged
    base: tuple[float, ...]
    new: tuple[float, ...]
    looks: int


def sample_until_decided(
    draw: Callable[[], tuple[float | None, float]],
    judge: Callable[[Sequence[float], Sequence[float]], Judged],
    first: int,
) -> Sampled[Judged]:
    """Draw values and judge them at each look until the verdict stands.

    Args:
        draw: Gives one more pair: a fresh value of the base (``None`` where the baseline is stored) and a new value.
        judge: Judges all values drawn so far: those of the base, the new ones.
        first: Pairs to draw before the first look.

    Returns:
        The last result and all values that were drawn.
    """
    base: list[float] = []
    new: list[float] = []
    looks, wanted = 0, max(1, first)
    while True:
        for _ in range(wanted):
            old, value = draw()
            new.append(value)
            if old is not None:
                base.append(old)
        result = judge(base, new)
        looks += 1
        wanted = result.more
        if not wanted:
            return Sampled(result, tuple(base), tuple(new), looks)
