"""What the provider counted against what was counted here, per model, over one sample.

Over one sample and no longer: what a test is found to read must not depend on the tests that ran before it.
"""

from __future__ import annotations

from fractions import Fraction

_WIDEST = Fraction(4)
"""A ratio beyond this is no property of a tokenizer but a prompt that the count knows nothing of."""


class Calibration:
    """A running ratio of provider's tokens to local tokens for each provider and model."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[int, int]] = {}

    def observe(self, provider: str, model: str, *, reported: int, counted: int) -> None:
        """Note one call whose input tokens the provider reported."""
        if reported <= 0 or counted <= 0:
            return
        before = self._sums.get((provider, model), (0, 0))
        self._sums[provider, model] = (before[0] + reported, before[1] + counted)

    def ratio(self, provider: str, model: str) -> Fraction | None:
        """Provider's tokens a local token so far; ``None`` where nothing, or nothing credible, was seen."""
        sums = self._sums.get((provider, model))
        if sums is None:
            return None
        ratio = Fraction(*sums)
        return ratio if 1 / _WIDEST <= ratio <= _WIDEST else None
