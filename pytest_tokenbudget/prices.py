"""What calls cost: own prices first, then the bundled table of ``genai-prices``. Never the network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from fractions import Fraction

from pytest_tokenbudget.errors import PriceError
from pytest_tokenbudget.records.call import Usage

PriceHook = Callable[..., float | None]
_KINDS = ("input", "cached", "cache_write", "output")
_REMEDY = "tokenbudget_prices = my-model* = input 0.27, cached 0.07, cache_write 0.30, output 1.10"
_ENTRY = re.compile(r"(\w+)\s+\$?(\d+(?:\.\d+)?|\.\d+)")
# Names of the price table where they are others than ours.
_PROVIDER_IDS = {
    "bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "vertex": "google",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "xai": "x-ai",
    "azure.ai.openai": "azure",
}


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """Own price of some models, USD per million tokens; a kind that is not given costs as much as plain input.

    Attributes:
        pattern: ``fnmatch`` pattern of the models' names, or ``provider/pattern``.
        input: Input that is neither read from nor written to a cache.
        cached: Input read from a cache.
        cache_write: Input written to a cache.
        output: Output, reasoning included.
    """

    pattern: str
    input: Fraction
    cached: Fraction
    cache_write: Fraction
    output: Fraction

    def matches(self, provider: str, model: str) -> bool:
        """Whether it is the price of this model."""
        return fnmatchcase(model, self.pattern) or fnmatchcase(f"{provider}/{model}", self.pattern)

    def cost(self, usage: Usage) -> float | None:
        """USD; ``None`` where input or output is unknown."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
        plain = max(0, usage.input_tokens - cached - written)
        total = plain * self.input + cached * self.cached + written * self.cache_write
        return float((total + usage.output_tokens * self.output) / 10**6)


def parse_prices(lines: Sequence[str]) -> tuple[OwnPrice, ...]:
    """Parse the lines of the ini option ``tokenbudget_prices``.

    Raises:
        PriceError: If a line cannot be understood; it names the line.
    """
    return tuple(_parse(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _parse(line: str) -> OwnPrice:
    pattern, equals, listed = (part.strip() for part in line.partition("="))
    prices: dict[str, Fraction] = {}
    for entry in listed.split(","):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None or match[1] not in _KINDS or match[1] in prices:
            raise PriceError(f"tokenbudget_prices: {line!r}: {entry.strip()!r} is no price", remedy=_REMEDY)
        prices[match[1]] = Fraction(match[2])
    if not equals or not pattern or "input" not in prices or "output" not in prices:
        raise PriceError(f"tokenbudget_prices: {line!r} needs a pattern, input and output", remedy=_REMEDY)
    plain = prices["input"]
    return OwnPrice(
        pattern, plain, prices.get("cached", plain), prices.get("cache_write", plain), output=prices["output"]
    )


@dataclass(slots=True)
class PriceBook:
    """Prices calls.

    Attributes:
        own: Lines of ``tokenbudget_prices``; the first that matches wins.
        hooks: Asked before anything else, with ``provider``, ``model`` and ``usage`` by name.
    """

    own: Sequence[str] = ()
    hooks: Sequence[PriceHook] = ()
    _own: tuple[OwnPrice, ...] = field(init=False)
    _known: dict[tuple[str, str, Usage], float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._own = parse_prices(self.own)

    def cost(self, provider: str, model: str, usage: Usage, *, api: str = "") -> float | None:
        """What a call costs.

        Args:
            provider: Its provider.
            model: Its model.
            usage: Its tokens in the normal form.
            api: Its wire format.

        Returns:
            USD, ``None`` where the price or the tokens are unknown.
        """
        key = (provider, model, usage)
        if key not in self._known:
            self._known[key] = self._cost(provider, model, usage)
        return self._known[key]

    def _cost(self, provider: str, model: str, usage: Usage) -> float | None:
        for hook in self.hooks:
            given = hook(provider=provider, model=model, usage=usage)
            if given is not None:
                return float(given)
        for price in self._own:
            if price.matches(provider, model):
                return price.cost(usage)
        if usage.input_tokens is None or not model:
            return None
        return _listed(provider, model, usage)


def _listed(provider: str, model: str, usage: Usage) -> float | None:
    """The price of the bundled table: of the provider where it lists it, else of the model wherever it is listed."""
    import genai_prices

    counts = {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": min(usage.cached_input_tokens or 0, usage.input_tokens or 0),
        "cache_write_tokens": usage.cache_write_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
    }
    # A price that depends on the time of day would make equal runs differ: noon stands for the whole day.
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    for provider_id in dict.fromkeys((_PROVIDER_IDS.get(provider, provider), None)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                price = genai_prices.calc_price(
                    genai_prices.Usage(**counts), model, provider_id=provider_id, genai_request_timestamp=noon
                )
        except (LookupError, ValueError):
            continue
        return float(price.total_price)
    return None
