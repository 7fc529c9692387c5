"""Advice on the provider's cache: prefixes that break, that are not served, and that are too short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_tokenbudget.explain.stage_evidence import stage_paths, tests_of_stage
from pytest_tokenbudget.records.advice import Advice, CallEvidence, StageEvidence, TestEvidence

MINIMUM_PREFIX = {"openai": 1024, "azure.ai.openai": 1024, "anthropic": 1024, "gcp.gemini": 2048, "deepseek": 64}
"""Shortest prefix, in tokens, that a provider caches: OpenAI "Prompt caching", Anthropic "Prompt caching", Gemini "Context
caching", DeepSeek "Context caching"; read 2026-11-28. Larger minimums of single models are not known here."""

DEFAULT_MINIMUM_PREFIX = 1024
"""The shortest prefix for providers that the table does not know."""


def broken_prefixes(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Pieces that differ from call to call in front of unchanged ones, so that no cache can serve these."""
    for path in stage_paths(tests):
        tokens, text, nodeids, calls_of = 0, "", [], []
        part = "system"
        for test, stage, calls in tests_of_stage(tests, path):
            broken = test.breaks.get(path)
            behind = broken.tokens if broken is not None and broken.part in ("system", "tools") else 0
            varying = _varying_system(stage)
            if not _can_be_cached(calls) or not behind + varying:
                continue
            tokens += behind + varying
            if varying:
                text = "the system prompt differs in each call (a time or an identifier in it?): {} tokens cannot come from a cache"
            elif broken is not None and not text:
                part, text = broken.part, broken.text
            nodeids.append(test.nodeid)
            calls_of += calls
        if tokens:
            cost = _cache_worth(tokens, calls_of)
            shown = text.replace("{}", f"{tokens:,}")
            yield Advice("cache_broken", path, part, "", tokens, cost, None, 0.0, "likely", shown, tuple(nodeids))


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


def unused_cache(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Stable prefixes that the provider did not serve from its cache, and those that are too short for it."""
    live = [test for test in tests if test.traffic != "scripted"]
    for path in stage_paths(live):
        missed, short, calls_of, nodeids = 0, 0, [], []
        minimum = 0
        for test, stage, calls in tests_of_stage(live, path):
            known = [call for call in calls if call.cached_input_tokens is not None]
            if stage.fresh_input_tokens is None or len(calls) < 2 or len(known) < len(calls):
                continue
            read = sum(part.tokens for part in stage.parts)
            stable = read - stage.fresh_input_tokens
            served = sum(call.cached_input_tokens or 0 for call in calls)
            minimum = MINIMUM_PREFIX.get(calls[0].provider, DEFAULT_MINIMUM_PREFIX)
            each = stable // (len(calls) - 1)
            if each >= minimum:
                missed += max(0, stable - served)
            elif each >= minimum // 2:
                short = max(short, each)
            calls_of += calls
            nodeids.append(test.nodeid)
        if missed:
            text = f"{missed:,} tokens of prefixes that did not change were read at the full price, not from the cache"
            cost = _cache_worth(missed, calls_of)
            yield Advice("cache_unused", path, "calls", "", missed, cost, None, 0.0, "likely", text, tuple(nodeids))
        elif short:
            text = f"the stable prefix has {short:,} tokens; this provider caches from {minimum:,}"
            yield Advice("cache_too_short", path, "calls", "", 0, None, None, 0.0, "possible", text, tuple(nodeids))


def _cache_worth(tokens: int, calls: Sequence[CallEvidence]) -> float | None:
    """USD that the cache would save for tokens that are read at the full price."""
    gains = [
        call.input_price - call.cached_price
        for call in calls
        if call.input_price is not None and call.cached_price is not None
    ]
    return tokens * sum(gains) / len(gains) if gains else None
