"""The providers' usage objects in the normal form of tokens.

Sources: the providers' API references and recorded traffic, as of 2026-11. Unknown stays ``None``; 0 is what the
provider said. The providers' own contradictions (more cached than read) are kept as sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_tokenbudget.providers.loose import added, as_dict, as_list, count, first_count
from pytest_tokenbudget.records.call import Usage


def openai_chat(usage: dict[str, Any]) -> Usage:
    """Chat and text completions of OpenAI and all who speak its dialect.

    ``prompt_tokens`` includes cached ones and ``completion_tokens`` includes reasoning. Two exceptions show in
    ``total_tokens``: Mistral leaves audio out of the prompt (and does not always tell its tokens), and Gemini's and xAI's
    endpoints leave reasoning out of the completion. A total that is larger for another reason (Cerebras counts what a stop
    sequence cut off) changes nothing.
    """
    details = as_dict(usage.get("prompt_tokens_details")) or as_dict(usage.get("prompt_token_details"))
    written = as_dict(usage.get("completion_tokens_details"))
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    # Writer's spelling, which is 0 for models that cannot reason
    spelled = as_dict(usage.get("completion_token_details")).get("reasoning_tokens") or None
    reasoning = first_count(written.get("reasoning_tokens"), usage.get("reasoning_tokens"), spelled)
    if prompt is not None and completion is not None and total is not None and total > prompt + completion:
        beyond = total - prompt - completion
        heard = count(usage.get("prompt_audio_seconds")) is not None
        if heard or beyond == count(details.get("audio_tokens")):
            prompt += beyond
        elif reasoning is None or reasoning == beyond:
            completion += beyond
            reasoning = beyond
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=first_count(
            details.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
            usage.get("cached_tokens"),
            usage.get("num_cached_tokens"),
            usage.get("cache_read_input_tokens"),
        ),
        cache_write_tokens=first_count(
            details.get("cache_write_tokens"),
            details.get("cache_creation_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        reasoning_tokens=reasoning,
    )


def openai_responses(usage: dict[str, Any]) -> Usage:
    """The Responses API: input includes cached tokens, output includes reasoning."""
    details = as_dict(usage.get("input_tokens_details")) or as_dict(usage.get("input_token_details"))
    written = as_dict(usage.get("output_tokens_details")) or as_dict(usage.get("output_token_details"))
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
        cache_write_tokens=count(details.get("cache_write_tokens")),
        reasoning_tokens=count(written.get("reasoning_tokens")),
    )


def openai_embeddings(usage: dict[str, Any]) -> Usage:
    """Embeddings; Voyage sends ``total_tokens`` only, which is the input."""
    read = first_count(usage.get("prompt_tokens"), usage.get("input_tokens"), usage.get("total_tokens"))
    details = as_dict(usage.get("prompt_tokens_details"))
    return Usage(
        input_tokens=read,
        output_tokens=count(usage.get("completion_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
    )


def anthropic(usage: dict[str, Any]) -> Usage:
    """Anthropic: input leaves out what the cache read and wrote, output includes thinking."""
    read, cached = count(usage.get("input_tokens")), count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(usage.get("output_tokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=count(as_dict(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def google(usage: dict[str, Any]) -> Usage:
    """``usageMetadata``: the prompt includes cached tokens; tool prompts and thoughts come on top.

    Protobuf leaves out zeros: without ``candidatesTokenCount`` nothing was written. Where neither the prompt nor the
    total is told, nothing is known.
    """
    prompt, total = count(usage.get("promptTokenCount")), count(usage.get("totalTokenCount"))
    if prompt is None and total is None:
        return Usage()
    thoughts = count(usage.get("thoughtsTokenCount"))
    written = added(count(usage.get("candidatesTokenCount")), thoughts)
    output = 0 if written is None and total is not None else written
    tools = count(usage.get("toolUsePromptTokenCount"))
    read = added(prompt, tools)
    if prompt is None and total is not None:
        read = max(0, total - (output or 0))
    return Usage(
        input_tokens=read,
        output_tokens=output,
        cached_input_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


def google_interactions(usage: dict[str, Any]) -> Usage:
    """The Interactions API: tool prompts and thoughts come on top."""
    thoughts = count(usage.get("total_thought_tokens"))
    return Usage(
        input_tokens=added(count(usage.get("total_input_tokens")), count(usage.get("total_tool_use_tokens"))),
        output_tokens=added(count(usage.get("total_output_tokens")), thoughts),
        cached_input_tokens=count(usage.get("total_cached_tokens")),
        reasoning_tokens=thoughts,
    )


def bedrock(usage: dict[str, Any]) -> Usage:
    """Converse and Nova: input leaves out what the cache read and wrote.

    ``...TokenCount`` is Nova's spelling, which is 0 in every answer, also where nothing can be cached: only a number above
    0 says something.
    """
    read = count(usage.get("inputTokens"))
    cached = first_count(usage.get("cacheReadInputTokens"), usage.get("cacheReadInputTokenCount") or None)
    written = first_count(usage.get("cacheWriteInputTokens"), usage.get("cacheWriteInputTokenCount") or None)
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(usage.get("outputTokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )


def cohere(usage: dict[str, Any]) -> Usage:
    """Cohere: ``tokens`` is what the model read and wrote; ``billed_units`` leaves out the template."""
    tokens = as_dict(usage.get("tokens"))
    return Usage(
        input_tokens=count(tokens.get("input_tokens")),
        output_tokens=count(tokens.get("output_tokens")),
        cached_input_tokens=count(usage.get("cached_tokens")),
        reasoning_tokens=count(tokens.get("reasoning_tokens")),
    )


def cohere_counted(counted: dict[str, Any]) -> Usage:
    """Cohere's chat before 2024, which counted in ``token_count``."""
    return Usage(input_tokens=count(counted.get("prompt_tokens")), output_tokens=count(counted.get("response_tokens")))


def cohere_billed(meta: dict[str, Any]) -> Usage:
    """Cohere's embeddings and older endpoints, which know ``billed_units`` only."""
    units = as_dict(meta.get("billed_units"))
    return Usage(
        input_tokens=added(count(units.get("input_tokens")), count(units.get("image_tokens"))),
        output_tokens=count(units.get("output_tokens")),
    )


def titan(document: dict[str, Any]) -> Usage:
    """Amazon Titan: input in the document, output in its results (a list, or the stream's own total)."""
    results = [count(as_dict(item).get("tokenCount")) for item in as_list(document.get("results"))]
    return Usage(
        input_tokens=count(document.get("inputTextTokenCount")),
        output_tokens=first_count(added(*results), document.get("totalOutputTextTokenCount")),
    )


def llama(document: dict[str, Any]) -> Usage:
    """Meta Llama on Bedrock."""
    return Usage(
        input_tokens=count(document.get("prompt_token_count")),
        output_tokens=count(document.get("generation_token_count")),
    )


def llamacpp(document: dict[str, Any]) -> Usage:
    """llama.cpp: all of the prompt counts as evaluated, also what ``cache_n`` took over from the request before."""
    return Usage(
        input_tokens=count(document.get("tokens_evaluated")),
        output_tokens=count(document.get("tokens_predicted")),
        cached_input_tokens=count(as_dict(document.get("timings")).get("cache_n")),
    )


def sglang(answers: Iterable[dict[str, Any]]) -> Usage:
    """SGLang's ``meta_info`` of each prompt of a request."""
    answers = list(answers)
    names = ("prompt_tokens", "completion_tokens", "cached_tokens")
    read, written, cached = (added(*(count(meta.get(name)) for meta in answers)) for name in names)
    return Usage(input_tokens=read, output_tokens=written, cached_input_tokens=cached)


def invocation_metrics(metrics: dict[str, Any]) -> Usage:
    """``amazon-bedrock-invocationMetrics`` of the last chunk of a stream."""
    cached = count(metrics.get("cacheReadInputTokenCount"))
    written = count(metrics.get("cacheWriteInputTokenCount"))
    read = count(metrics.get("inputTokenCount"))
    return Usage(
        input_tokens=None if read is None else added(read, cached, written),
        output_tokens=count(metrics.get("outputTokenCount")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )
