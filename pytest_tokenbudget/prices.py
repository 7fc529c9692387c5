"""What calls cost: a hook's answer, then own prices, then the bundled table of ``genai-prices``. Never the network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import PriceError
from pytest_tokenbudget.providers.names import current_provider
from pytest_tokenbudget.records.call import Usage

PriceHook = Callable[..., float | None]
"""Called with ``provider``, ``model`` and ``usage`` by name; USD, or ``None`` to leave it to the tables."""

MILLION = 10**6
_KINDS = ("input", "cached", "cache_write", "output", "reasoning", "request")
_REMEDY = "tokenbudget_prices = my-model* = input 0.27, cached 0.07, cache_write 0.30, output 1.10"
_ENTRY = re.compile(r"(\w+)\s+\$?\s*(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
# Names of the price table where they are others than ours or OpenTelemetry's (gen_ai.provider.name, 2026-11).
_PROVIDER_IDS = {
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "voyage": "voyageai",
    "x_ai": "x-ai",
}


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one kind of token.

    Attributes:
        base: USD per million tokens.
        tiers: Input tokens of a call above which another price holds, for all of its tokens, with that price; ascending.
    """

    base: Fraction
    tiers: tuple[tuple[int, Fraction], ...] = ()

    def at(self, input_tokens: int) -> Fraction:
        """USD per million tokens in a call that reads so much."""
        price = self.base
        for start, above in self.tiers:
            if input_tokens > start:
                price = above
        return price


@dataclass(frozen=True, slots=True)
class Rate:
    """The prices of a model. What has no price of its own costs as much as the kind that it is a part of.

    Attributes:
        input: Input that is neither read from nor written to a cache.
        output: Output that is no reasoning.
        cached: Input read from a cache; ``None``: as ``input``.
        cache_write: Input written to a cache; ``None``: as ``input``.
        reasoning: Output that is reasoning; ``None``: as ``output``.
        request: USD per million calls, beside the tokens.
    """

    input: Price
    output: Price
    cached: Price | None = None
    cache_write: Price | None = None
    reasoning: Price | None = None
    request: Fraction = Fraction(0)

    def cost(self, usage: Usage) -> float | None:
        """USD of a call.

        Args:
            usage: Tokens in the normal form. Where a part is larger than the whole (some providers send that), it is
                taken for the whole.

        Returns:
            USD, rounded once at the end; ``None`` where input or output is unknown.
        """
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        read, written = max(0, usage.input_tokens), max(0, usage.output_tokens)
        cached = _within(usage.cached_input_tokens, read)
        cache_write = _within(usage.cache_write_tokens, read - cached)
        reasoning = _within(usage.reasoning_tokens, written)
        parts = (
            (self.input, read - cached - cache_write),
            (self.cached or self.input, cached),
            (self.cache_write or self.input, cache_write),
            (self.output, written - reasoning),
            (self.reasoning or self.output, reasoning),
        )
        return float((sum(price.at(read) * tokens for price, tokens in parts) + self.request) / MILLION)


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A user's own price.

    Attributes:
        pattern: Pattern of the models' names as in a shell, in lower case; or of ``provider/model``.
        rate: The prices.
    """

    pattern: str
    rate: Rate

    def matches(self, provider: str, model: str) -> bool:
        """Whether it is the price of this model."""
        name = model.lower()
        return fnmatchcase(name, self.pattern) or fnmatchcase(f"{provider.lower()}/{name}", self.pattern)


@dataclass(slots=True)
class PriceBook:
    """Prices calls.

    Attributes:
        own: Lines of ``tokenbudget_prices``; the first that matches wins. A line is ``pattern = input 0.27, output 1.10``
            (USD per million tokens) or the path of a TOML or JSON file of such entries.
        hooks: Asked before anything else.
        root: Folder that paths in ``own`` are relative to; ``None``: the current one.

    Raises:
        PriceError: If a line or file cannot be understood, or a hook gives what is no price.
    """

    own: Sequence[str] = ()
    hooks: Sequence[PriceHook] = ()
    root: Path | None = None
    _own: tuple[OwnPrice, ...] = field(init=False)
    _rates: dict[tuple[str, str], Rate | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._own = parse_prices(self.own, root=self.root)

    def cost(
        self, provider: str, model: str, usage: Usage, *, api: str = "", timestamp: datetime | None = None
    ) -> float | None:
        """What a call costs.

        Args:
            provider: Its provider.
            model: Its model.
            usage: Its tokens in the normal form.
            api: Its wire format; an embedding is known by it, whose output is nothing and is not reported.
            timestamp: When it was made. By default today at noon, UTC: some prices depend on the hour, and the same run
                must not cost twice as much in the morning.

        Returns:
            USD; ``None`` where the price or the tokens are unknown.
        """
        if usage.output_tokens is None and "embed" in api:
            usage = Usage(usage.input_tokens, 0, usage.cached_input_tokens, usage.cache_write_tokens)
        for hook in self.hooks:
            given = hook(provider=provider, model=model, usage=usage)
            if given is not None:
                return _checked(given, model)
        rate = self.rate(provider, model, timestamp=timestamp)
        return rate.cost(usage) if rate is not None else None

    def rate(self, provider: str, model: str, *, timestamp: datetime | None = None) -> Rate | None:
        """The prices of a model, hooks left aside; ``None`` where they are unknown.

        Args:
            provider: Its provider.
            model: Its name.
            timestamp: When it is asked for; by default today at noon, UTC.
        """
        key = (provider, model)
        if timestamp is None and key in self._rates:
            return self._rates[key]
        rate = next((own.rate for own in self._own if own.matches(provider, model)), None)
        if rate is None and model:
            rate = _listed(provider, model, timestamp or _noon())
        if timestamp is None:
            self._rates[key] = rate
        return rate


def parse_prices(lines: Iterable[str], *, root: Path | None = None) -> tuple[OwnPrice, ...]:
    """Parse the lines of the ini option ``tokenbudget_prices``.

    Args:
        lines: The lines; empty ones and those that begin with ``#`` are passed over.
        root: Folder that paths of files are relative to.

    Returns:
        The prices in their order.

    Raises:
        PriceError: If a line or file cannot be understood; it names the line and what to write.
    """
    prices: list[OwnPrice] = []
    for raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if "=" not in line and line.lower().endswith((".toml", ".json")):
            prices += _from_file((root or Path()) / line)
        else:
            prices.append(_from_line(line))
    return tuple(prices)


def _from_line(line: str) -> OwnPrice:
    where = f"tokenbudget_prices: {line!r}"
    # A pattern may hold an equals sign; what follows the last one are the prices.
    pattern, equals, listed = (part.strip() for part in line.rpartition("="))
    if not equals or not pattern:
        raise PriceError(f"{where} has no pattern in front of an equals sign", remedy=_REMEDY)
    prices: dict[str, Fraction] = {}
    for entry in listed.rstrip(",").split(","):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None or match[1] not in _KINDS:
            kinds = ", ".join(_KINDS)
            raise PriceError(f"{where}: {entry.strip()!r} is no kind ({kinds}) with a price", remedy=_REMEDY)
        if match[1] in prices:
            raise PriceError(f"{where} names {match[1]!r} twice", remedy=_REMEDY)
        prices[match[1]] = Fraction(match[2])
    return _own_price(where, pattern, prices)


def _from_file(path: Path) -> list[OwnPrice]:
    where = f"tokenbudget_prices: {str(path)!r}"
    remedy = 'write a table a pattern, ["my-model*"], with the keys input, cached, cache_write, output'
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            tables = json.loads(text)
        else:
            import tomllib

            tables = tomllib.loads(text)
    except OSError as error:
        raise PriceError(f"{where} cannot be read: {error.strerror or error}", remedy="fix the path") from None
    except (ValueError, RecursionError) as error:
        raise PriceError(f"{where} cannot be read: {error}", remedy=remedy) from None
    if not isinstance(tables, dict):
        raise PriceError(f"{where} is no table of patterns", remedy=remedy)
    return [_from_table(where, str(pattern), table, remedy) for pattern, table in tables.items()]


def _from_table(where: str, pattern: str, table: Any, remedy: str) -> OwnPrice:
    if not isinstance(table, dict):
        raise PriceError(f"{where}: {pattern!r} is no table of prices", remedy=remedy)
    for kind, price in table.items():
        if kind not in _KINDS:
            raise PriceError(f"{where}: {pattern!r}: {kind!r} is none of {', '.join(_KINDS)}", remedy=remedy)
        if isinstance(price, bool) or not isinstance(price, int | float) or not (0 <= price < math.inf):
            raise PriceError(
                f"{where}: {pattern!r}: the price {price!r} of {kind!r} is no number from 0", remedy=remedy
            )
    # The digits that stand in the file are meant, not the nearest binary fraction.
    return _own_price(where, pattern, {kind: Fraction(str(price)) for kind, price in table.items()})


def _own_price(where: str, pattern: str, prices: Mapping[str, Fraction]) -> OwnPrice:
    for kind in ("input", "output"):
        if kind not in prices:
            remedy = f"add {kind!r} for {pattern!r}, 0 where it costs nothing"
            raise PriceError(f"{where} gives no price for {kind!r} of {pattern!r}", remedy=remedy)
    found = {kind: Price(price) for kind, price in prices.items() if kind != "request"}
    rate = Rate(
        input=found["input"],
        output=found["output"],
        cached=found.get("cached"),
        cache_write=found.get("cache_write"),
        reasoning=found.get("reasoning"),
        request=prices.get("request", Fraction(0)) * MILLION,
    )
    return OwnPrice(pattern.lower(), rate)


def _listed(provider: str, model: str, timestamp: datetime) -> Rate | None:
    """The prices of the bundled table of ``genai-prices``.

    A provider that the table does not know has no price there, whatever its model is called: a model that runs on one's
    own machine does not cost what its maker takes. Where no provider is known, the model's name tells the maker.
    """
    import warnings

    import genai_prices

    try:
        with warnings.catch_warnings():
            # The library warns of kinds of prices that it does not know; none of them is of tokens as they are counted here.
            warnings.simplefilter("ignore")
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=1, output_tokens=1),
                model,
                provider_id=_PROVIDER_IDS.get(current_provider(provider), provider) or None,
                genai_request_timestamp=timestamp,
            )
    except (LookupError, ValueError):
        return None
    return _rate_of(found.model_price)


def _rate_of(listed: Any) -> Rate | None:
    """Our prices from a ``ModelPrice``; prices of sound, pictures and searches are left out, as usage has no count of them."""
    read = _price(listed, "input_mtok")
    request = getattr(listed, "requests_kcount", None)
    if read is None and request is None:
        return None
    nothing = Price(Fraction(0))
    return Rate(
        input=read or nothing,
        output=_price(listed, "output_mtok") or nothing,
        cached=_price(listed, "cache_read_mtok"),
        cache_write=_price(listed, "cache_write_mtok"),
        reasoning=_price(listed, "output_reasoning_mtok"),
        request=Fraction(request) * 1000 if request is not None else Fraction(0),
    )


def _price(listed: Any, key: str) -> Price | None:
    value = getattr(listed, key, None)
    if value is None:
        return None
    if hasattr(value, "tiers"):
        tiers = sorted((int(tier.start), Fraction(tier.price)) for tier in value.tiers)
        return Price(Fraction(value.base), tuple(tiers))
    return Price(Fraction(value))


def _within(part: int | None, whole: int) -> int:
    return min(max(0, part or 0), whole)


def _noon() -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def _checked(given: Any, model: str) -> float:
    """What a hook gave, if it is a price."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not (0 <= given < math.inf):
        raise PriceError(
            f"the hook pytest_tokenbudget_price gave {given!r} for the model {model!r}",
            remedy="return USD as a number from 0, or None to leave it to the price table",
        )
    return float(given)
