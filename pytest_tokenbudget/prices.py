"""Prices calls: by a hook's answer, then by own prices, then by the bundled table of ``genai-prices``. Never the network."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import PriceError
from pytest_tokenbudget.files import DiskCache
from pytest_tokenbudget.rates import MILLION, OwnPrice, Price, Priced, Rate, parse_prices, rate_from_json, rate_to_json
from pytest_tokenbudget.records.call import NOTHING_BILLED, BilledUsage, Usage

PriceHook = Callable[..., float | None]
"""Called with ``provider``, ``model`` and ``usage`` by name; USD, or ``None`` to leave it to the tables."""


def price_cache(folder: Path | None) -> DiskCache | None:
    """Keep prices between sessions in a folder; ``None`` keeps none."""
    return (
        None if folder is None else DiskCache(folder / "prices.json", libraries=("genai-prices",), form=1, most=1_000)
    )


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


@dataclass(slots=True)
class PriceBook:
    """Prices calls.

    Attributes:
        own: Lines of ``tokenbudget_prices``; the first that matches wins. A line is ``pattern = input 0.27, output 1.10``
            (USD per million tokens) or the path of a TOML or JSON file of such entries.
        hooks: Asked before anything else.
        root: Folder that paths in ``own`` are relative to; ``None``: the current one.
        cache: Prices of earlier sessions; with them no table is loaded.

    Raises:
        PriceError: If a line or file cannot be understood, or a hook gives what is no price.
    """

    own: Sequence[str] = ()
    hooks: Sequence[PriceHook] = ()
    root: Path | None = None
    cache: DiskCache | None = None
    _own: tuple[OwnPrice, ...] = field(init=False)
    _rates: dict[tuple[str, str, str], Rate | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._own = parse_prices(self.own, root=self.root)

    def price(
        self,
        provider: str,
        model: str,
        usage: Usage,
        *,
        api: str = "",
        billed: BilledUsage = NOTHING_BILLED,
        timestamp: datetime | None = None,
    ) -> Priced:
        """Price a call: by a hook, by what the provider itself says it takes, by an own price, by the bundled table.

        Args:
            provider: Its provider.
            model: Its model.
            usage: Its tokens in the normal form.
            api: Its wire format; an embedding is known by it, whose output is nothing and is not reported.
            billed: What the answer says of its price beside them.
            timestamp: When it was made. By default today at noon, UTC: some prices depend on the hour, and the same run
                must not cost twice as much in the morning.
        """
        if usage.output_tokens is None and "embed" in api:
            usage = Usage(usage.input_tokens, 0, usage.cached_input_tokens, usage.cache_write_tokens)
        for hook in self.hooks:
            given = hook(provider=provider, model=model, usage=usage)
            if given is not None:
                return Priced(_checked(given, model))
        if billed.cost is not None:
            return Priced(float(billed.cost))
        rate = self.rate(provider, model, billed=billed, timestamp=timestamp)
        if rate is None:
            served = _modifiers(billed)
            how = f" served as {served.replace('+', ', ')}" if served and self.rate(provider, model) is not None else ""
            return Priced(None, f"no price is known for {model}{how}")
        return rate.price(usage, billed)

    def rate(
        self, provider: str, model: str, *, billed: BilledUsage = NOTHING_BILLED, timestamp: datetime | None = None
    ) -> Rate | None:
        """Give the prices of a model, hooks left out; ``None`` where they are unknown.

        Args:
            provider: Its provider.
            model: Its name.
            billed: How it was served: another tier, region or speed has other prices.
            timestamp: When it is asked for; by default today at noon, UTC.
        """
        modifiers = _modifiers(billed)
        key = (provider, model, modifiers)
        if timestamp is None and key in self._rates:
            return self._rates[key]
        rate = next((own.rate for own in self._own if own.matches(provider, model, modifiers)), None)
        if rate is None and model:
            rate = _listed(provider, model, timestamp, billed) if timestamp else self._of_today(provider, model, billed)
        if timestamp is None:
            self._rates[key] = rate
        return rate

    def _of_today(self, provider: str, model: str, billed: BilledUsage) -> Rate | None:
        """Give the prices of the bundled table, from the cache where the table is not loaded yet."""
        noon = _noon()
        if self.cache is None:
            return _listed(provider, model, noon, billed)
        asked = json.dumps([provider, model, _modifiers(billed), noon.isoformat()])
        key = blake2b(asked.encode(), digest_size=16).hexdigest()
        if "genai_prices" not in sys.modules:
            with suppress(ValueError):
                return rate_from_json(self.cache.get(key))
        rate = _listed(provider, model, noon, billed)
        if _table_is_bundled():
            self.cache.set(key, rate_to_json(rate))
        return rate


def _modifiers(billed: BilledUsage) -> str:
    """Name how a call was served, where that has another price: ``"priority"``, ``"batch+us"``; ``""`` for plainly."""
    return "+".join([word for word in (billed.service_tier, billed.region, billed.speed) if word])


def _listed(provider: str, model: str, timestamp: datetime, billed: BilledUsage) -> Rate | None:
    """Give the prices of the bundled table of ``genai-prices``.

    A provider that the table does not know has no price there, whatever its model is called: a model that runs on one's
    own machine does not cost what its maker takes. Where no provider is known, the model's name tells the maker. A tier,
    region or speed that the table has no prices for is no plain one: there is no price then.
    """
    import warnings

    import genai_prices

    context = _context(billed)
    try:
        with warnings.catch_warnings():
            # The library warns of kinds of prices that it does not know.
            warnings.simplefilter("ignore")
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=1, output_tokens=1),
                model,
                provider_id=_PROVIDER_IDS.get(provider, provider) or None,
                genai_request_timestamp=timestamp,
                **({"price_context": context} if context else {}),
            )
    except (LookupError, TypeError, ValueError):
        return None
    variants = [variant.when for variant in getattr(found.model, "price_variants", None) or ()]
    if billed.region or any({key: value} not in variants for key, value in context.items()):
        return None
    return _rate_of(found.model_price)


def _table_is_bundled() -> bool:
    """Tell whether the table is the installed version's own, and not one that the project loaded or downloaded."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot().providers is providers


def _context(billed: BilledUsage) -> dict[str, str]:
    """Name how a call was served as the table does."""
    context = {"processing": "batch"} if billed.service_tier == "batch" else {"service_tier": billed.service_tier}
    return {key: value for key, value in {**context, "speed": billed.speed}.items() if value}


def _rate_of(listed: Any) -> Rate | None:
    """Give our prices from a ``ModelPrice``."""
    read = _price(listed, "input_mtok")
    request = getattr(listed, "requests_kcount", None)
    extra = {}
    for name, (key, per) in _extra_units().items():
        if (price := _price(listed, key, per)) is not None:
            extra[name] = price
    # A price for sound, whichever way it goes, is one for the seconds that were listened to.
    if "audio_seconds" in extra:
        extra.setdefault("input_audio_seconds", extra["audio_seconds"])
    if read is None and request is None and not extra:
        return None
    nothing = Price(Fraction(0))
    return Rate(
        input=read or nothing,
        output=_price(listed, "output_mtok") or nothing,
        cached=_price(listed, "cache_read_mtok"),
        cache_write=_price(listed, "cache_write_mtok"),
        reasoning=_price(listed, "output_reasoning_mtok"),
        request=Fraction(request) * 1000 if request is not None else Fraction(0),
        extra=extra,
    )


def _extra_units() -> dict[str, tuple[str, int]]:
    """Name what the library prices beside plain tokens: by quantity, the key of its price and the number of units it is for."""
    try:
        from genai_prices import units
    except ImportError:  # before 0.0.60 it knew sound and no table of units
        return {
            "input_audio_tokens": ("input_audio_mtok", MILLION),
            "output_audio_tokens": ("output_audio_mtok", MILLION),
        }
    known = units._get_registry().units  # the table has no public name
    return {name: (unit.price_key, unit.per) for name, unit in known.items() if name not in _PLAIN_UNITS}


_PLAIN_UNITS = frozenset(
    {"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "output_reasoning_tokens", "requests"}
)


def _price(listed: Any, key: str, per: int = MILLION) -> Price | None:
    """Give a listed price as USD per million, whatever number of units the table has it for."""
    value = getattr(listed, key, None)
    if value is None:
        return None
    factor = Fraction(MILLION, per)
    if hasattr(value, "tiers"):
        tiers = sorted((int(tier.start), Fraction(tier.price) * factor) for tier in value.tiers)
        return Price(Fraction(value.base) * factor, tuple(tiers))
    return Price(Fraction(value) * factor)


def _noon() -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def _checked(given: Any, model: str) -> float:
    """Check that a hook gave a price, and give it back."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not (0 <= given < math.inf):
        raise PriceError(
            f"the hook pytest_tokenbudget_price gave {given!r} for the model {model!r}",
            remedy="return USD as a number from 0, or None to leave it to the price table",
        )
    return float(given)
