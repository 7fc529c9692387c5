"""The price of an answer, as the answer itself tells it beside plain input and output tokens.

Quantities have the names of genai-prices (read 2026-11), so that a price table knows them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts
from pytest_tokenbudget.records.call import NOTHING_BILLED, BilledUsage

_STANDARD_TIERS = frozenset({"auto", "default", "standard", "standard_only", "on_demand", "on-demand", "unspecified"})
_ANYWHERE = frozenset({"global", "not_available"})
_MODALITIES = {"audio": "audio", "image": "image", "video": "video"}
_PLAIN = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens", "text_tokens",
    "reasoning_tokens", "prompt_tokens_details", "completion_tokens_details", "input_tokens_details",
    "output_tokens_details",
})  # fmt: skip
"""Fields of usage that have no price of their own, as most usages have no others."""

_TICKS_A_DOLLAR = 10**10
"""xAI counts money in ticks (docs.x.ai, "Cost tracking", read 2026-11)."""


def billed(
    quantities: Mapping[str, object],
    *,
    tier: object = None,
    region: object = None,
    speed: object = None,
    cost: float | None = None,
) -> BilledUsage:
    """Put together what an answer says of its price, in its own words; quantities that are no numbers above 0 are left out."""
    found = [(name, number) for name, value in quantities.items() if value and (number := _number(value))]
    if not (found or tier or region or speed) and cost is None:
        return NOTHING_BILLED
    where, pace = as_str(region).lower(), as_str(speed).lower()
    told = BilledUsage(
        quantities=tuple(sorted(found)),
        service_tier=_tier(tier),
        region="" if where in _ANYWHERE else where,
        speed="" if pace == "standard" else pace,
        cost=cost,
    )
    return NOTHING_BILLED if told == NOTHING_BILLED else told


def openai_billed(usage: dict[str, Any], *, tier: object = None, tools: Mapping[str, int] | None = None) -> BilledUsage:
    """Read the price from usage in OpenAI's shapes: sound and pictures, searches, and the cost that some gateways add.

    Args:
        usage: ``usage`` of chat completions, responses or embeddings.
        tier: ``service_tier`` of the answer.
        tools: Uses of tools that the provider ran and that the answer lists, by the name of their price.
    """
    read = as_dict(usage.get("prompt_tokens_details")) or as_dict(usage.get("input_tokens_details"))
    read = read or as_dict(usage.get("input_token_details"))
    wrote = as_dict(usage.get("completion_tokens_details")) or as_dict(usage.get("output_tokens_details"))
    parts = (usage, read, wrote, tools or {})
    if "cost" not in usage and all(map(_is_plain, parts)):
        return billed({}, tier=tier)
    xai = as_dict(usage.get("server_side_tool_usage_details"))
    router = as_dict(usage.get("server_tool_use_details")) or as_dict(usage.get("server_tool_use"))
    quantities: dict[str, object] = {
        "input_audio_tokens": read.get("audio_tokens"),
        "input_image_tokens": read.get("image_tokens"),
        "input_video_tokens": read.get("video_tokens"),
        "cache_audio_read_tokens": as_dict(read.get("cached_tokens_details")).get("audio_tokens"),
        "output_audio_tokens": wrote.get("audio_tokens"),
        "output_image_tokens": wrote.get("image_tokens"),
        "output_citation_tokens": usage.get("citation_tokens"),
        "input_audio_seconds": usage.get("prompt_audio_seconds"),
        "web_searches": usage.get("num_search_queries") or router.get("web_search_requests"),
        **(tools or {}),
    }
    if xai:
        quantities |= {
            "web_searches": xai.get("web_search_calls"),
            "social_searches": xai.get("x_search_calls"),
            "storage_searches": (_number(xai.get("file_search_calls")) or 0)
            + (_number(xai.get("document_search_calls")) or 0),
            "code_executions": xai.get("code_interpreter_calls"),
        }
    return billed(quantities, tier=tier or usage.get("service_tier"), cost=_told_cost(usage))


def _is_plain(part: Mapping[str, object]) -> bool:
    """Tell whether a part of usage holds nothing that has a price of its own."""
    return _PLAIN.issuperset(part) or not any(part[key] for key in part.keys() - _PLAIN)


def searches_in(items: list[dict[str, Any]]) -> dict[str, int]:
    """Searches among the output items of a response, which are billed by the use; to open what was found costs nothing."""
    found = {"web_searches": 0, "storage_searches": 0}
    for item in items:
        kind = item.get("type")
        if kind == "web_search_call" and as_dict(item.get("action")).get("type", "search") == "search":
            found["web_searches"] += 1
        elif kind == "file_search_call":
            found["storage_searches"] += 1
    return found


def _told_cost(usage: dict[str, Any]) -> float | None:
    """USD as OpenRouter (whose own part stands beside the upstream's for a customer's key), Perplexity, xAI and DeepInfra say."""
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return _number(cost.get("total_cost"))
    found = _number(cost)
    if usage.get("is_byok") is True:
        upstream = _number(as_dict(usage.get("cost_details")).get("upstream_inference_cost"))
        return None if upstream is None else (found or 0) + upstream
    if found is not None:
        return found
    ticks = _number(usage.get("cost_in_usd_ticks"))
    return ticks / _TICKS_A_DOLLAR if ticks is not None else _number(usage.get("estimated_cost"))


def modality_tokens(details: object, side: str) -> dict[str, object]:
    """Tokens by modality, as Google lists them, by their prices: ``"input_{}_tokens"`` with the modality in the braces."""
    found: dict[str, object] = {}
    for item in dicts(details):
        modality = _MODALITIES.get(as_str(item.get("modality")).lower())
        if modality is not None:
            found[side.format(modality)] = item.get("tokenCount", item.get("tokens"))
    return found


def _tier(value: object) -> str:
    """A service tier in one spelling; ``""`` for the standard one. Vertex AI writes ``ON_DEMAND_PRIORITY``."""
    word = as_str(as_dict(value).get("type") if isinstance(value, dict) else value).lower()
    word = word.removeprefix("service_tier_").removeprefix("traffic_type_")
    if word in _STANDARD_TIERS:
        return ""
    return word.removeprefix("on_demand_")


def _number(value: object) -> float | None:
    """A finite number from 0 on, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < math.inf else None
