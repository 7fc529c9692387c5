"""Dialects that differ from the one that they are taken for, and servers' own APIs beside OpenAI's."""

from __future__ import annotations

import json

import pytest
from wire_samples import exchange, sse

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Usage

FORMATS = builtin_formats()
CHAT = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True}
RUN = "/client/v4/accounts/a/ai/run/@cf/meta/llama-9"
COUNTED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(**delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_audio_without_a_count_of_its_own_is_part_of_the_prompt(answered):
    """Mistral's streams tell the seconds of audio and leave its tokens to the total."""
    said = {"prompt_audio_seconds": 0, "prompt_tokens": 16, "completion_tokens": 2, "total_tokens": 393}
    assert answered(CHAT, STREAM, sse({"choices": [], "usage": said})).usage == Usage(391, 2)


def test_a_total_that_no_reasoning_explains_changes_nothing(answered):
    """Cerebras' total holds what a stop sequence cut off; the completion does not, and nothing was reasoned."""
    said = {"prompt_tokens": 79, "completion_tokens": 2, "total_tokens": 83}
    said["completion_tokens_details"] = {"reasoning_tokens": 0}
    assert answered(CHAT, ASK, {"choices": [], "usage": said}).usage == Usage(79, 2, reasoning_tokens=0)


def test_a_server_side_tool_that_is_announced_and_then_answered_is_one(answered):
    """Groq streams each tool of its own twice at the same index, the second time with what it gave."""
    begun = {"index": 0, "type": "function", "name": "browser.search", "arguments": "{}"}
    done = {**begun, "type": "browser_search", "output": "found"}
    more = {"index": 1, "type": "python", "arguments": "{}"}
    body = sse(chunk(executed_tools=[begun]), chunk(executed_tools=[done]), chunk(executed_tools=[more]), chunk())
    assert answered(CHAT, STREAM, body).server_tool_calls == ("browser.search", "python")
    whole = {"choices": [{"message": {"content": "Hi", "executed_tools": [done, more]}}]}
    assert answered(CHAT, ASK, whole).server_tool_calls == ("browser.search", "python")


def test_parallel_calls_whose_index_is_null_are_told_apart_by_their_place(answered):
    """Writer sends ``index: null`` with every call."""
    calls = [{"index": None, "id": None, "function": {"name": name, "arguments": "{}"}} for name in ("look", "book")]
    assert answered(CHAT, ASK, {"choices": [{"message": {"tool_calls": calls}}]}).tool_calls == ("look", "book")


def test_streamed_arguments_of_a_function_call_are_no_calls_of_their_own(answered):
    """Gemini 3 can stream a call's arguments in parts that have no name."""
    parts = [
        {"name": "look", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.city", "stringValue": "Paris", "willContinue": True}], "willContinue": True},
        {},
        {"name": "book", "args": {"day": 1}},
    ]
    chunks = [{"candidates": [{"content": {"parts": [{"functionCall": part}]}}]} for part in parts]
    found = answered("/v1/models/g:streamGenerateContent?alt=sse", {"contents": []}, sse(*chunks))
    assert (found.tool_calls, found.output_text) == (("look", "book"), 'lookParisbook{"day":1}')


def test_tools_that_xai_runs_itself_are_counted_apart(answered):
    """They come as calls of custom tools that nobody offered."""
    output = [{"type": "custom_tool_call", "name": name} for name in ("x_keyword_search", "mine")]
    found = answered("/v1/responses", {"model": "m", "input": "Hi"}, {"object": "response", "output": output})
    assert (found.tool_calls, found.server_tool_calls) == (("mine",), ("x_keyword_search",))


def test_cohere_of_old_counts_in_token_count(answered):
    """Before ``meta.tokens`` there was ``token_count``; billed units are smaller."""
    counted = {"prompt_tokens": 1376, "response_tokens": 78, "total_tokens": 1454, "billed_tokens": 101}
    body = {"text": "Hi", "token_count": counted, "meta": {"billed_units": {"input_tokens": 23, "output_tokens": 78}}}
    assert answered("/v1/chat", {"message": "Hi"}, body).usage == Usage(1376, 78)


def test_watsonx_of_old_has_its_paths_the_other_way_round(answered):
    """``/generation/text`` became ``/text/generation``."""
    body = {"model_id": "w", "results": [{"generated_text": "2", "generated_token_count": 2, "input_token_count": 7}]}
    found = answered("/ml/v1-beta/generation/text?version=2024", {"model_id": "w", "input": "1+1"}, body)
    assert (found.api, found.usage) == ("watsonx.generation", Usage(7, 2))


def test_a_prompt_that_the_gateway_keeps_is_a_chat(answered):
    """Portkey fills variables into messages of its own."""
    asked = {"variables": {"city": "Paris"}, "stream": False}
    body = {"model": "m-1", "choices": [{"message": {"content": "Hi"}}], "usage": COUNTED}
    found = answered("/v1/prompts/pp-weather-1/completions", asked, body)
    assert (found.api, found.model, found.usage) == ("openai.chat", "m-1", Usage(7, 3))


@pytest.mark.parametrize(
    ("asked", "body", "operation", "tools"),
    [
        (ASK, {"result": {"response": {"fruit": True}, "usage": COUNTED}}, "chat", ()),
        (ASK, {"result": {"tool_calls": [{"name": "look", "arguments": {}}], "usage": COUNTED}}, "chat", ("look",)),
        (
            ASK,
            {"result": {"tool_calls": [{"function": {"name": "look", "arguments": "{}"}}], "usage": COUNTED}},
            "chat",
            ("look",),
        ),
        (ASK, {"result": {"choices": [{"message": {"content": "Hi"}}], "usage": COUNTED}}, "chat", ()),
        (
            {"input": "Hi"},
            {"result": {"object": "response", "output": [], "usage": {"input_tokens": 7, "output_tokens": 3}}},
            "chat",
            (),
        ),
        ({"prompt": "Hi"}, {"result": {"response": "Ho", "usage": COUNTED}}, "text_completion", ()),
    ],
    ids=["json", "flat call", "call", "chat completion", "response", "prompt"],
)
def test_cloudflare_runs_models_of_several_dialects(answered, asked, body, operation, tools):
    """Its own, and OpenAI's two inside its frame."""
    found = answered(RUN, asked, body)
    assert (found.api, found.operation, found.tool_calls) == ("cloudflare.run", operation, tools)
    assert (found.usage, found.problems) == (Usage(7, 3), ())


def test_cloudflare_streams_a_call_in_pieces(answered):
    """The name comes once, then arguments at the same index."""
    events = [{"function": {"name": "look"}, "index": 0}, {"function": {"arguments": "{}"}, "index": 0}]
    body = sse(*({"tool_calls": [event]} for event in events), {"response": "", "usage": COUNTED}, "[DONE]")
    found = answered(RUN, STREAM, body)
    assert (found.tool_calls, found.usage) == (("look",), Usage(7, 3))


def test_a_picture_is_no_call(answered):
    """The same path runs models of images, which take a prompt as well."""
    found = answered(
        RUN.replace("meta/llama-9", "black-forest-labs/flux"), {"prompt": "cat"}, {"result": {"image": "/9"}}
    )
    assert (found.operation, found.problems) == ("other", ())


def test_llamacpp_tells_what_it_evaluated_and_predicted(answered):
    """Its own completions, whole and streamed; what the slot still held is a part of the prompt."""
    last = {
        "content": "",
        "model": "l",
        "stop": True,
        "stop_type": "limit",
        "tokens_evaluated": 9,
        "tokens_predicted": 4,
        "timings": {"cache_n": 8},
    }
    pieces = [{"content": "Hi", "stop": False, "tokens_evaluated": 9, "tokens_predicted": 1}]
    for asked, body in (
        ({"prompt": "x"}, {**last, "content": "Hi"}),
        ({"prompt": "x", "stream": True}, sse(*pieces, last)),
    ):
        found = answered("/completion", asked, body)
        assert (found.api, found.usage, found.finish_reason) == ("llamacpp.completion", Usage(9, 4, 8), "length")
    assert answered("/infill", {"input_prefix": "a", "input_suffix": "b"}, last).model == "l"


def test_sglang_counts_each_prompt_of_a_request(answered):
    """Every event repeats the counts so far; several prompts are added up."""
    meta = {
        "id": "1",
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "cached_tokens": 1,
        "finish_reason": {"type": "stop"},
    }
    early = {"text": "H", "meta_info": {**meta, "completion_tokens": 1, "finish_reason": None}}
    done = {"text": "Hi", "meta_info": meta}
    found = answered("/generate", {"text": "x", "stream": True}, sse(early, done, "[DONE]"))
    assert (found.api, found.usage, found.finish_reason) == ("sglang.generate", Usage(5, 2, 1), "stop")
    both = [done, {"text": "Ho", "meta_info": {**meta, "id": "2"}}]
    assert answered("/generate", {"text": ["x", "y"]}, both).usage == Usage(10, 4, 2)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("/v1/chat", {"message": "Hi"}),
        ("/v1/chat", ASK),
        ("/api/chat", ASK),
        ("/api/generate", {"model": "m", "prompt": "Hi"}),
        ("/completion", {"prompt": "Hi"}),
        ("/generate", {"text": "Hi"}),
    ],
)
def test_an_applications_own_endpoint_is_no_call(url: str, asked: dict):
    """An agent that is tested through its web API answers JSON of its own at paths that model servers have too."""
    for body in (json.dumps({"reply": "Hello!"}).encode(), sse({"delta": "Hel"}, {"delta": "lo"})):
        assert not isinstance(read(exchange(url, asked, body), FORMATS), ReadExchange)
    assert isinstance(read(exchange(url, asked, b""), FORMATS), ReadExchange)


def test_a_chat_that_has_no_version_in_its_path_is_not_coheres():
    """``/chat`` with a message is what every second web application has."""
    assert read(exchange("/chat", {"message": "Hi"}, b'{"reply":"Hello!"}'), FORMATS) is None
