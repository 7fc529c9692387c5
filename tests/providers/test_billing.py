"""What an answer says of its price beside plain input and output tokens."""

from __future__ import annotations

import pytest
from wire_samples import sse

from pytest_tokenbudget.records.call import NOTHING_BILLED, BilledUsage, Usage

CHAT = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
RESPONSES = ("/v1/responses", {"model": "m", "input": "Hi"})
GOOGLE = ("/v1beta/models/g:generateContent", {"contents": []})
CONVERSE = ("/model/m/converse", ASK)


def chat(usage: dict, **more: object) -> dict:
    return {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, **usage}, **more}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            chat(
                {
                    "prompt_tokens_details": {"audio_tokens": 4, "image_tokens": 2, "cached_tokens": 1},
                    "completion_tokens_details": {"audio_tokens": 3},
                }
            ),
            {"quantities": (("input_audio_tokens", 4), ("input_image_tokens", 2), ("output_audio_tokens", 3))},
        ),
        (chat({}, service_tier="priority"), {"service_tier": "priority"}),
        (chat({}, service_tier="flex"), {"service_tier": "flex"}),
        (chat({"cost": 0.0123}), {"cost": 0.0123}),
        (chat({"cost": 0}), {"cost": 0}),
        (
            chat({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}),
            {"cost": pytest.approx(0.21)},
        ),
        (chat({"cost": 0.01, "is_byok": True}), {}),
        (
            chat({"cost": {"total_cost": 0.005}, "num_search_queries": 2}),
            {"cost": 0.005, "quantities": (("web_searches", 2),)},
        ),
        (chat({"cost_in_usd_ticks": 6_306_000}), {"cost": pytest.approx(0.0006306)}),
        (chat({"server_tool_use_details": {"web_search_requests": 1}}), {"quantities": (("web_searches", 1),)}),
    ],
)
def test_chat_completions_and_gateways(answered, document, expected):
    """Sound and pictures, tiers, searches, and the cost of OpenRouter, Perplexity and xAI."""
    assert answered(CHAT, ASK, document).billed == BilledUsage(**expected)


@pytest.mark.parametrize("tier", ["default", "auto", "on_demand", "standard", "", None, 7, ["flex"]])
def test_what_is_standard_is_nothing_special(answered, tier):
    """The one object that says nothing, for most answers and for damage."""
    found = answered(CHAT, ASK, chat({"prompt_tokens_details": {"audio_tokens": 0}}, service_tier=tier))
    assert found.billed is NOTHING_BILLED


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -1, True, "1", [], {"total_cost": "x"}])
def test_a_cost_that_is_none_is_not_believed(answered, cost):
    """It would win over every price table."""
    assert answered(CHAT, ASK, chat({"cost": cost})).billed.cost is None


def test_responses_count_their_searches(answered):
    """A search is billed, the opening of a page is not; the tier that served is not the one that was asked for."""
    document = {
        "object": "response",
        "status": "completed",
        "service_tier": "flex",
        "usage": {"input_tokens": 9, "output_tokens": 3},
        "output": [
            {"type": "web_search_call", "action": {"type": "search", "query": "x"}},
            {"type": "web_search_call", "action": {"type": "open_page", "url": "x"}},
            {"type": "file_search_call"},
        ],
    }
    assert answered(*RESPONSES, document).billed == BilledUsage(
        (("storage_searches", 1), ("web_searches", 1)), service_tier="flex"
    )


def test_claude_writes_for_an_hour_and_searches(answered):
    """Each has a price; so have the priority tier, an answer from one country, and a faster one."""
    start = {
        "input_tokens": 9,
        "cache_creation_input_tokens": 700,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 500},
        "service_tier": "priority",
        "inference_geo": "us",
        "speed": "fast",
    }
    body = sse(
        {"type": "message_start", "message": {"id": "a", "model": "c", "content": [], "usage": start}},
        {
            "type": "message_delta",
            "delta": {},
            "usage": {"output_tokens": 3, "server_tool_use": {"web_search_requests": 2}},
        },
    )
    found = answered("/v1/messages", {"max_tokens": 9, **ASK}, body, content_type="text/event-stream")
    assert found.usage == Usage(709, 3, None, 700)
    assert found.billed == BilledUsage((("cache_write_1h_tokens", 500), ("web_searches", 2)), "priority", "us", "fast")
    plain = {
        "type": "message",
        "content": [],
        "usage": {"input_tokens": 9, "inference_geo": "global", "speed": "standard"},
    }
    assert answered("/v1/messages", {"max_tokens": 9, **ASK}, plain).billed is NOTHING_BILLED


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3-pro", 3)])
def test_google_lists_modalities_and_bills_searches_by_generation(answered, model, searches):
    """Up to 2.5 a grounded prompt costs once, from 3 on each search."""
    document = {
        "modelVersion": model,
        "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b", "c"]}}],
        "usageMetadata": {
            "promptTokenCount": 9,
            "candidatesTokenCount": 3,
            "totalTokenCount": 12,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 4}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}],
            "trafficType": "ON_DEMAND_PRIORITY",
        },
    }
    assert answered(*GOOGLE, document).billed == BilledUsage(
        (
            ("cache_audio_read_tokens", 2),
            ("input_audio_tokens", 4),
            ("output_image_tokens", 3),
            ("web_searches", searches),
        ),
        service_tier="priority",
    )


def test_bedrock_tells_the_life_of_a_cache_entry(answered):
    """``cacheDetails`` splits the written tokens by their life."""
    document = {
        "output": {"message": {"content": [{"text": "Hi"}]}},
        "stopReason": "end_turn",
        "serviceTier": {"type": "flex"},
        "performanceConfig": {"latency": "optimized"},
        "usage": {
            "inputTokens": 9,
            "outputTokens": 3,
            "cacheWriteInputTokens": 700,
            "cacheDetails": [{"inputTokens": 200, "ttl": "5m"}, {"inputTokens": 500, "ttl": "1h"}],
        },
    }
    assert answered(*CONVERSE, document).billed == BilledUsage(
        (("cache_write_1h_tokens", 500),), service_tier="flex", speed="optimized"
    )


def test_cohere_takes_money_for_less_than_it_reads(answered):
    """The template's tokens are counted and not billed."""
    document = {
        "id": "a",
        "message": {"content": []},
        "usage": {
            "tokens": {"input_tokens": 501, "output_tokens": 35},
            "billed_units": {"input_tokens": 6, "output_tokens": 33},
        },
    }
    found = answered("/v2/chat", ASK, document)
    assert found.usage == Usage(501, 35)
    assert found.billed == BilledUsage((("billed_input_tokens", 6), ("billed_output_tokens", 33)))


@pytest.mark.parametrize(
    ("path", "body", "document", "usage", "quantities"),
    [
        (
            "/v1/images/generations",
            {"model": "gpt-image-1", "prompt": "x"},
            {
                "data": [],
                "usage": {"input_tokens": 50, "output_tokens": 4000, "input_tokens_details": {"image_tokens": 40}},
            },
            Usage(50, 4000),
            (("input_image_tokens", 40), ("output_image_tokens", 4000)),
        ),
        ("/v1/audio/transcriptions", None, {"text": "x", "usage": {"type": "duration", "seconds": 4}}, Usage(), (("input_audio_seconds", 4),)),
        (
            "/v1/audio/transcriptions",
            None,
            {"text": "x", "usage": {"type": "tokens", "input_tokens": 37, "output_tokens": 9, "input_token_details": {"audio_tokens": 37}}},
            Usage(37, 9),
            (("input_audio_tokens", 37),),
        ),
        ("/v2/rerank", {"model": "r", "query": "q", "documents": []}, {"meta": {"billed_units": {"search_units": 1}}}, Usage(), (("rerank_searches", 1),)),
        ("/v1/ocr", {"model": "o", "document": {}}, {"pages": [], "usage_info": {"pages_processed": 3}}, Usage(), (("input_document_pages", 3),)),
        (
            "/v1/models/meta/llama-9/predictions",
            {"input": {"prompt": "x"}},
            {"id": "p", "status": "succeeded", "metrics": {"input_token_count": 9, "output_token_count": 3}},
            Usage(9, 3),
            (),
        ),
    ],
)  # fmt: skip
def test_paid_requests_that_are_no_calls_tell_their_usage(answered, path, body, document, usage, quantities):
    """Images, transcription, ranking, text recognition and predictions."""
    found = answered(path, body, document)
    assert (found.operation, found.usage, found.billed.quantities) == ("other", usage, quantities)


def test_a_failed_request_costs_nothing(answered):
    """Whatever its body says."""
    assert answered(CHAT, ASK, chat({"cost": 1}), status=500).billed is NOTHING_BILLED
