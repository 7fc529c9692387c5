"""Advice on the provider's cache: prefixes that break, that are not served, and that are too short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_tokenbudget.explain.stage_evidence import SuiteStage
from pytest_tokenbudget.records.advice import Advice, CallEvidence, StageEvidence

MINIMUM_PREFIX = {"openai": 1024, "azure.ai.openai": 1024, "anthropic": 1024, "gcp.gemini": 2048, "deepseek": 64}
"""Shortest prefix, in tokens, that a provider caches: OpenAI "Prompt caching", Anthropic "Prompt caching", Gemini "Context
caching", DeepSeek "Context caching"; read 2026-11-28. Larger minimums of single models are not known here."""

DEFAULT_MINIMUM_PREFIX = 1024
"""The shortest prefix for providers that the table does not know."""


def broken_prefixes(stage: SuiteStage) -> Iterator[Advice]:
    """Pieces that differ from call to call in front of unchanged ones, so that no cache can serve these."""
    tokens, text, part, broken_in = 0, "", "system", []
    for each in stage.opened:
        broken = each.test.breaks.get(stage.path)
        behind = broken.tokens if broken is not None and broken.part in ("system", "tools") else 0
        varying = _varying_system(each.stage)
        if not _can_be_cached(each.calls) or not behind + varying:
            continue
        tokens += behind + varying
        if varying:
            text = "the system prompt differs in each call (a time or an identifier in it?): {} tokens cannot come from a cache"
        elif broken is not None and not text:
            part, text = broken.part, broken.text
        broken_in.append(each)
    if tokens:
        nodeids, calls = [each.test.nodeid for each in broken_in], [call for each in broken_in for call in each.calls]
        advice = stage.saving(
            "cache_broken", tokens, "likely", text.replace("{}", f"{tokens:,}"), tests=nodeids, part=part
        )
        yield replace(advice, cost=_cache_worth(tokens, calls))


def _varying_system(stage: StageEvidence) -> int:
    """Tokens of a system prompt that has the same size in each call and never the same text, after the first call."""
    found = [part for part in stage.parts if part.part == "system"]
    if len(found) != 1 or found[0].calls < 2 or found[0].repeated_tokens:
        return 0
    part = found[0]
    is_alike = part.largest * part.calls <= 1.1 * part.tokens
    return part.tokens * (part.calls - 1) // part.calls if is_alike else 0


def _can_be_cached(calls: Sequence[CallEvidence]) -> bool:
    """The calls of a stage are long enough, on average, for the provider to cache their beginning."""
    read = [call.input_tokens or 0 for call in calls]
    return sum(read) / len(read) >= MINIMUM_PREFIX.get(calls[0].provider, DEFAULT_MINIMUM_PREFIX)


def unused_cache(stage: SuiteStage) -> Iterator[Advice]:
    """Stable prefixes that the provider did not serve from its cache, and those that are too short for it."""
    missed, short, minimum, looked_at = 0, 0, 0, []
    for each in stage.opened:
        calls, fresh = each.calls, each.stage.fresh_input_tokens
        known = all(call.cached_input_tokens is not None for call in calls)
        if each.test.traffic == "scripted" or fresh is None or len(calls) < 2 or not known:
            continue
        stable = sum(part.tokens for part in each.stage.parts) - fresh
        minimum = MINIMUM_PREFIX.get(calls[0].provider, DEFAULT_MINIMUM_PREFIX)
        prefix = stable // (len(calls) - 1)
        if prefix >= minimum:
            missed += max(0, stable - sum(call.cached_input_tokens or 0 for call in calls))
        elif prefix >= minimum // 2:
            short = max(short, prefix)
        looked_at.append(each)
    nodeids = [each.test.nodeid for each in looked_at]
    if missed:
        text = f"{missed:,} tokens of prefixes that did not change were read at the full price, not from the cache"
        cost = _cache_worth(missed, [call for each in looked_at for call in each.calls])
        yield replace(stage.saving("cache_unused", missed, "likely", text, tests=nodeids, part="calls"), cost=cost)
    elif short:
        text = f"the stable prefix has {short:,} tokens; this provider caches from {minimum:,}"
        yield stage.note("cache_too_short", "calls", text, nodeids)


def _cache_worth(tokens: int, calls: Sequence[CallEvidence]) -> float | None:
    """USD that the cache would save for tokens that are read at the full price."""
    gains = [
        call.input_price - call.cached_price
        for call in calls
        if call.input_price is not None and call.cached_price is not None
    ]
    return tokens * sum(gains) / len(gains) if gains else None
