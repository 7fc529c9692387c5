"""Prices of a model, by kind of token and of what else is billed; and a project's own, as lines or a file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import PriceError
from pytest_tokenbudget.records.call import NOTHING_BILLED, BilledUsage, Usage

MILLION = 10**6
_KINDS = ("input", "cached", "cache_write", "output", "reasoning", "request")

_EXTRA_KINDS: Mapping[str, tuple[str, int]] = {
    "cache_write_1h": ("cache_write_1h_tokens", MILLION),
    "cached_audio": ("cache_audio_read_tokens", MILLION),
    "input_audio": ("input_audio_tokens", MILLION),
    "input_image": ("input_image_tokens", MILLION),
    "input_video": ("input_video_tokens", MILLION),
    "output_audio": ("output_audio_tokens", MILLION),
    "output_image": ("output_image_tokens", MILLION),
    "citation": ("output_citation_tokens", MILLION),
    "web_search": ("web_searches", 1_000),
    "social_search": ("social_searches", 1_000),
    "storage_search": ("storage_searches", 1_000),
    "code_execution": ("code_executions", 1_000),
    "rerank_search": ("rerank_searches", 1_000),
    "page": ("input_document_pages", 1_000),
    "audio_hour": ("input_audio_seconds", 3_600),
}
"""Further kinds that an own price may give: what an answer calls it, and how many of it the price is for."""

_COSTS_AS_ITS_WHOLE = frozenset(
    {
        "cache_image_read_tokens",
        "cache_text_read_tokens",
        "cache_video_read_tokens",
        "cache_write_5m_tokens",
        "input_image_tokens",
        "input_text_tokens",
        "input_tool_tokens",
        "input_video_tokens",
        "output_text_tokens",
    }
)
"""Parts of the tokens that cost as much as the tokens that they are a part of, where no price of their own is listed.

Of all others it is known that they cost something else (sound, pictures that were drawn, writes to a cache for an hour,
searches): their price is then unknown, and so is the call's.
"""
_WHOLES: Mapping[str, str] = {
    "cache_write_1h_tokens": "cache_write",
    "cache_write_5m_tokens": "cache_write",
    "cache_audio_read_tokens": "cached",
    "output_audio_tokens": "output",
    "output_image_tokens": "output",
    "output_video_tokens": "output",
    "output_citation_tokens": "output",
    "input_audio_tokens": "input",
    "input_image_tokens": "input",
    "input_video_tokens": "input",
}
"""The kind that a part of the tokens is counted in."""
_INSTEAD = ("billed_input_tokens", "billed_output_tokens")
"""The quantities that a provider bills in place of the tokens that it counts."""
_REMEDY = "tokenbudget_prices = my-model* = input 0.27, cached 0.07, cache_write 0.30, output 1.10"
_ENTRY = re.compile(r"(\w+)\s+\$?\s*(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


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
class Priced:
    """Give the price of a call.

    Attributes:
        usd: USD; ``None`` where it is not known.
        reason: Why it is not known, in words; ``""`` where it is.
    """

    usd: float | None
    reason: str = ""


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
        extra: USD per million of what else has a price, by the names of :class:`~.records.call.BilledUsage`.
    """

    input: Price
    output: Price
    cached: Price | None = None
    cache_write: Price | None = None
    reasoning: Price | None = None
    request: Fraction = Fraction(0)
    extra: Mapping[str, Price] = field(default_factory=dict)

    def price(self, usage: Usage, billed: BilledUsage = NOTHING_BILLED) -> Priced:
        """Price a call.

        Args:
            usage: Tokens in the normal form. Where a part is larger than the whole (some providers send that), it is
                taken for the whole.
            billed: What the answer says of its price; its modifiers are the caller's matter.

        Returns:
            USD, rounded once at the end.
        """
        told_read = billed.quantity("billed_input_tokens") or usage.input_tokens
        told_written = billed.quantity("billed_output_tokens") or usage.output_tokens
        if told_read is None or told_written is None:
            sides = [side for side, tokens in (("input", told_read), ("output", told_written)) if tokens is None]
            return Priced(None, f"the {' and '.join(sides)} tokens are not known")
        read, written = _exact(told_read), _exact(told_written)
        cached = _within(usage.cached_input_tokens, int(read))
        cache_write = _within(usage.cache_write_tokens, int(read) - cached)
        reasoning = _within(usage.reasoning_tokens, int(written))
        parts = (
            (self.input, read - cached - cache_write),
            (self.cached or self.input, cached),
            (self.cache_write or self.input, cache_write),
            (self.output, written - reasoning),
            (self.reasoning or self.output, reasoning),
        )
        total = self.request
        for price, tokens in parts:
            if tokens:
                total += price.at(int(read)) * tokens
        counts = {"input": read, "cached": cached, "cache_write": cache_write, "output": written}
        for name, quantity in billed.quantities:
            if name in _INSTEAD or (name not in self.extra and name in _COSTS_AS_ITS_WHOLE):
                continue
            if name not in self.extra:
                return Priced(None, f"no price is known for {name.replace('_', ' ')}")
            total += self._more(name, quantity, counts, billed, int(read))
        total = max(total, Fraction(0))
        # Whole numbers are divided as exactly as fractions, and need no common divisor for it.
        return Priced(total.numerator / (total.denominator * MILLION))

    def _more(
        self, name: str, quantity: float, counts: Mapping[str, int | Fraction], billed: BilledUsage, read: int
    ) -> Fraction:
        """Give what a quantity costs beside the tokens that it is a part of, in millionths of a USD."""
        own = self.extra[name].at(read)
        whole = _WHOLES.get(name)
        if whole is None:
            return own * Fraction(quantity)
        if name == "input_audio_tokens":
            # Sound from a cache has its own price, or that of what a cache gives.
            quantity -= min(quantity, billed.quantity("cache_audio_read_tokens"))
        among: Price = getattr(self, whole) or self.input
        return (own - among.at(read)) * Fraction(min(quantity, counts[whole]))


_PRICES = ("input", "output", "cached", "cache_write", "reasoning")


def rate_to_json(rate: Rate | None) -> Any:
    """Give the JSON form of a model's prices; fractions are texts, so that nothing is rounded."""
    if rate is None:
        return {}
    prices = {kind: _price_to_json(getattr(rate, kind)) for kind in _PRICES}
    extra = {name: _price_to_json(price) for name, price in rate.extra.items()}
    return prices | {"request": str(rate.request), "extra": extra}


def rate_from_json(form: Any) -> Rate | None:
    """Read what :func:`rate_to_json` gave.

    Raises:
        ValueError: If it is no such form.
    """
    try:
        if form == {}:
            return None
        prices = {kind: _price_from_json(form[kind]) for kind in _PRICES}
        if prices["input"] is None or prices["output"] is None:
            raise ValueError("no price for input or output")
        extra = {name: _price_from_json(price) for name, price in form["extra"].items()}
        return Rate(**prices, request=Fraction(form["request"]), extra=extra)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError("no prices of a model") from error


def _price_to_json(price: Price | None) -> Any:
    return price and [str(price.base), [[start, str(above)] for start, above in price.tiers]]


def _price_from_json(form: Any) -> Any:
    if form is None:
        return None
    base, tiers = form
    return Price(Fraction(base), tuple((int(start), Fraction(above)) for start, above in tiers))


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A user's own price.

    Attributes:
        pattern: Pattern of the models' names as in a shell, in lower case; or of ``provider/model``. Behind an ``@`` a service
            tier, a region, ``batch`` or ``fast``, which have prices of their own.
        rate: The prices.
    """

    pattern: str
    rate: Rate

    def matches(self, provider: str, model: str, modifiers: str = "") -> bool:
        """Tell whether it is the price of this model, served so: ``priority`` stands behind an ``@`` in the pattern."""
        pattern, _, wanted = self.pattern.partition("@")
        name = model.lower()
        named = fnmatchcase(name, pattern) or fnmatchcase(f"{provider.lower()}/{name}", pattern)
        return named and fnmatchcase(modifiers, wanted)


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
        if match is None or match[1] not in (*_KINDS, *_EXTRA_KINDS):
            kinds = ", ".join((*_KINDS, *_EXTRA_KINDS))
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
        if kind not in (*_KINDS, *_EXTRA_KINDS):
            known = ", ".join((*_KINDS, *_EXTRA_KINDS))
            raise PriceError(f"{where}: {pattern!r}: {kind!r} is none of {known}", remedy=remedy)
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
    found = {kind: Price(price) for kind, price in prices.items() if kind in _KINDS and kind != "request"}
    rate = Rate(
        input=found["input"],
        output=found["output"],
        cached=found.get("cached"),
        cache_write=found.get("cache_write"),
        reasoning=found.get("reasoning"),
        request=prices.get("request", Fraction(0)) * MILLION,
        extra={
            name: Price(prices[kind] * MILLION / number)
            for kind, (name, number) in _EXTRA_KINDS.items()
            if kind in prices
        },
    )
    return OwnPrice(pattern.lower(), rate)


def _within(part: int | None, whole: int) -> int:
    return min(max(0, part or 0), whole)


def _exact(tokens: int | float) -> int | Fraction:
    """A number from 0 on; only what Cohere bills may be no whole one."""
    return max(Fraction(0), Fraction(tokens)) if isinstance(tokens, float) else max(0, tokens)
