"""What providers really send, against what one would expect."""

from __future__ import annotations

import json

import pytest
from wire_samples import event_message, eventstream, in_chunk_bytes, ndjson, sse

from pytest_tokenbudget.records.call import Usage

CHAT = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True}
HI = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}], "model": "m-1"}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "m-1"}


def usage(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def test_more_cached_than_read_is_kept_as_sent(answered):
    """Azure's Grok reports more cached than prompt tokens: no correction, the wire is the wire."""
    said = usage(23, 110, prompt_tokens_details={"cached_tokens": 190})
    found = answered(CHAT, ASK, {"choices": [], "usage": said})
    assert found.usage == Usage(23, 110, 190)


def test_read_and_written_cache_may_both_be_the_prompt(answered):
    """OpenRouter reports cache read and write each at nearly the whole prompt."""
    said = usage(100, 10, prompt_tokens_details={"cached_tokens": 98, "cache_write_tokens": 97})
    assert answered(CHAT, ASK, {"choices": [], "usage": said}).usage == Usage(100, 10, 98, 97)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 7}, 5),
        ({"cached_tokens": 5}, 5),
        ({"num_cached_tokens": 5}, 5),
        ({"cache_read_input_tokens": 5}, 5),
        ({"prompt_token_details": {"cached_tokens": 5}}, 5),
        ({"prompt_tokens_details": None}, None),
    ],
)
def test_cached_tokens_have_many_names(answered, extra, expected):
    """DeepSeek, Together, Mistral, Databricks and Writer each have a word of their own."""
    assert answered(CHAT, ASK, {"choices": [], "usage": usage(12, 3, **extra)}).usage.cached_input_tokens == expected


def test_reasoning_outside_the_completion_shows_in_the_total(answered):
    """Gemini's OpenAI endpoint leaves thinking out of ``completion_tokens``: the total tells."""
    said = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert answered(CHAT, ASK, {"choices": [], "usage": said}).usage == Usage(35, 74, reasoning_tokens=62)


def test_reasoning_beside_the_completion_is_not_added_twice(answered):
    """xAI's chat names the reasoning that its completion leaves out."""
    said = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}
    said["completion_tokens_details"] = {"reasoning_tokens": 30}
    assert answered(CHAT, ASK, {"choices": [], "usage": said}).usage == Usage(10, 35, reasoning_tokens=30)


def test_audio_outside_the_prompt_shows_in_the_total(answered):
    """Mistral leaves audio out of ``prompt_tokens``."""
    said = {"prompt_tokens": 9, "completion_tokens": 201, "total_tokens": 585}
    said["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 375}
    assert answered(CHAT, ASK, {"choices": [], "usage": said}).usage == Usage(384, 201, 0)


def test_usage_in_every_chunk_counts_once(answered):
    """DeepSeek and Perplexity send growing usage with every chunk, Databricks one of nulls: the last number counts."""
    nulls = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    body = sse(
        {**HI, "usage": nulls}, {**HI, "usage": usage(7, 1)}, {**END, "usage": usage(7, 2)}, {**HI, "usage": nulls}
    )
    assert answered(CHAT, STREAM, body).usage == Usage(7, 2)


def test_groq_keeps_usage_apart(answered):
    """Without ``include_usage`` Groq sends usage in ``x_groq``; with it, both, which is one usage."""
    apart = {**END, "x_groq": {"id": "r", "usage": usage(12, 26)}}
    assert answered(CHAT, STREAM, sse(HI, apart)).usage == Usage(12, 26)
    assert answered(CHAT, STREAM, sse(HI, apart, {"choices": [], "usage": usage(12, 27)})).usage == Usage(12, 27)


def test_moonshot_puts_usage_into_the_choice(answered):
    """Usage may stand in the last choice."""
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage(4, 5)}]}
    assert answered(CHAT, STREAM, sse(HI, last)).usage == Usage(4, 5)


def test_a_stream_without_usage_is_unknown_and_not_zero(answered):
    """OpenAI sends no usage unless asked."""
    found = answered(CHAT, STREAM, sse(HI, HI, END, "[DONE]"))
    assert (found.usage, found.output_text, found.finish_reason, found.problems) == (Usage(), "HiHi", "stop", ())


def test_comments_crlf_and_a_missing_done_change_nothing(answered):
    """OpenRouter's keep-alive comments, CR LF, and streams that just end."""
    body = b": OPENROUTER PROCESSING\n\n" + sse(HI, {**END, "usage": usage(1, 2)})
    for variant in (body, body.replace(b"\n", b"\r\n"), body.replace(b"\n", b"\r"), body.rstrip(b"\n")):
        found = answered(CHAT, STREAM, variant)
        assert (found.usage, found.finish_reason, found.problems) == (Usage(1, 2), "stop", ())


def test_an_event_of_several_data_lines_is_one_document(answered):
    """Lines of one event are joined."""
    body = b'event: x\nid: 1\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":1,\ndata:"completion_tokens":2}}\n\n'
    assert answered(CHAT, STREAM, body).usage == Usage(1, 2)


def test_events_without_a_blank_line_between_them_are_read(answered):
    """Some servers forget the blank line."""
    body = sse(HI, {**END, "usage": usage(1, 2)}).replace(b"\n\n", b"\n")
    assert answered(CHAT, STREAM, body).usage == Usage(1, 2)


def test_a_cut_stream_says_so(answered):
    """What came before the cut is kept, and the cut is a problem in words."""
    body = sse(HI, HI)
    found = answered(CHAT, STREAM, body[:-30])
    assert found.output_text == "Hi"
    assert found.problems == ("the stream was cut inside an event",)


def test_an_error_inside_a_200_is_an_error(answered):
    """A stream that breaks off with an ``error`` event has the status 200 all the same."""
    body = sse(HI) + b'event: error\ndata: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    assert answered(CHAT, STREAM, body).error == "server_error: overloaded"
    bare = sse(HI) + b'event: error\ndata: {"message":"overloaded"}\n\n'
    assert answered(CHAT, STREAM, bare).error == "overloaded"


def test_an_error_after_the_finish_does_not_undo_the_call(answered):
    """OpenRouter complains of a reached limit after finish reason and usage: the tokens were spent."""
    last = {**HI, "usage": usage(43, 10), "error": {"code": 400, "message": "Token limit reached"}}
    found = answered(CHAT, STREAM, sse(HI, {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}, last))
    assert (found.error, found.usage, found.finish_reason) == (None, Usage(43, 10), "length")
    assert found.problems == ("the answer ends with an error: 400: Token limit reached",)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "no", "type": "invalid_request_error"}}, "invalid_request_error: no"),
        ({"error": "model not found"}, "model not found"),
        ({"detail": "Invalid API Key"}, "Invalid API Key"),
        ({"code": "invalid-argument", "error": "Incorrect key"}, "Incorrect key"),
        (b"<html><h1>Bad gateway</h1></html>", "http 502: <html><h1>Bad gateway</h1></html>"),
        (b"", "http 502"),
    ],
)
def test_a_failed_request_has_an_error_and_no_tokens(answered, body, expected):
    """Every shape of error becomes one line; tokens are unknown, the model is the one that was asked for."""
    found = answered(CHAT, ASK, body, status=502)
    assert (found.error, found.usage, found.model) == (expected, Usage(), "m")


def test_anthropic_delta_wins_over_start(answered):
    """With server tools the input grows during the stream; fields that the delta leaves null stay."""
    start = {
        "type": "message_start",
        "message": {"model": "c", "usage": {"input_tokens": 727, "cache_read_input_tokens": 5}},
    }
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 1595}}
    delta["usage"] |= {"cache_read_input_tokens": None, "output_tokens": 9}
    asked = {"model": "c", "max_tokens": 5, "messages": [], "stream": True}
    assert answered("/v1/messages", asked, sse(start, delta)).usage == Usage(1600, 9, 5)


def test_anthropic_iterations_are_left_to_the_top_level(answered):
    """The numbers of the top level are the provider's sum; passes that it leaves out are left out."""
    said = {"input_tokens": 20, "output_tokens": 3, "iterations": [{"input_tokens": 900, "output_tokens": 90}]}
    body = {"type": "message", "content": [], "usage": said}
    assert answered("/v1/messages", {"model": "c", "max_tokens": 1, "messages": []}, body).usage == Usage(20, 3)


def test_anthropic_complete_has_no_usage(answered):
    """The old completions tell nothing."""
    body = {"type": "completion", "completion": " Hi", "stop_reason": "max_tokens", "model": "claude-2.1"}
    found = answered("/v1/complete", {"model": "claude-2", "prompt": "x", "max_tokens_to_sample": 3}, body)
    assert (found.api, found.usage, found.output_text, found.finish_reason) == (
        "anthropic.complete",
        Usage(),
        " Hi",
        "length",
    )


GEMINI = "/v1beta/models/gemini-9:streamGenerateContent"


def test_gemini_prompt_count_changes_in_the_stream(answered):
    """The last chunk's usage counts, also where the prompt shrank."""
    first = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 8}}
    last = {"candidates": [], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 9}}
    assert answered(GEMINI, {"contents": []}, sse(first, last)).usage == Usage(7, 2)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"promptTokenCount": 8, "totalTokenCount": 8}, Usage(8, 0)),
        (
            {"promptTokenCount": 87, "thoughtsTokenCount": 78, "totalTokenCount": 165},
            Usage(87, 78, reasoning_tokens=78),
        ),
        ({"candidatesTokenCount": 18, "thoughtsTokenCount": 58}, Usage()),
        ({"trafficType": "ON_DEMAND"}, Usage()),
        ({}, Usage()),
    ],
)
def test_gemini_leaves_out_zeros_and_sometimes_everything(answered, said, expected):
    """Protobuf leaves out zeros; usage with neither prompt nor total says nothing."""
    path = "/v1beta/models/gemini-9:generateContent"
    assert answered(path, {"contents": []}, {"candidates": [], "usageMetadata": said}).usage == expected


def test_a_blocked_prompt_is_filtered_content(answered):
    """Gemini says so in ``promptFeedback`` and sends no candidate."""
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    assert (
        answered(GEMINI.replace("stream", "").replace("G", "g"), {"contents": []}, body).finish_reason
        == "content_filter"
    )


def test_a_cut_json_array_keeps_what_came(answered):
    """Gemini's array without its end still tells what its whole items told."""
    items = [{"candidates": [{"content": {"parts": [{"text": "ä"}]}}], "usageMetadata": {"promptTokenCount": 8}}] * 2
    body = json.dumps(items, ensure_ascii=False).encode()[:-20]
    found = answered(GEMINI, {"contents": []}, body)
    assert (found.usage, found.output_text, found.problems) == (Usage(8), "ä", ("the JSON array was cut",))


def test_responses_in_background_have_no_usage_yet(answered):
    """The POST answers ``queued``: unknown tokens, and no problem."""
    body = {"id": "resp_1", "object": "response", "status": "queued", "model": "m-1", "output": [], "usage": None}
    found = answered("/v1/responses", {"model": "m", "input": "x", "background": True}, body)
    assert (found.usage, found.finish_reason, found.id, found.problems) == (Usage(), "queued", "resp_1", ())


def test_incomplete_responses_have_a_reason(answered):
    """``incomplete`` is told apart by its details."""
    body = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    assert answered("/v1/responses", {"model": "m", "input": "x"}, body).finish_reason == "length"


def test_compaction_is_a_call(answered):
    """``/responses/compact`` has usage like any other."""
    body = {"object": "response.compaction", "output": [], "usage": {"input_tokens": 156, "output_tokens": 190}}
    found = answered("/v1/responses/compact", {"model": "m", "input": []}, body)
    assert (found.api, found.operation, found.usage) == ("openai.responses.compact", "chat", Usage(156, 190))


def test_cohere_bills_less_than_it_reads(answered):
    """``tokens`` counts, ``billed_units`` leaves out the template; embeddings know billed units only."""
    meta = {
        "billed_units": {"input_tokens": 6, "output_tokens": 33},
        "tokens": {"input_tokens": 501, "output_tokens": 35},
    }
    assert answered("/v1/chat", {"message": "x"}, {"text": "y", "meta": meta}).usage == Usage(501, 35)
    body = {"embeddings": {}, "meta": {"billed_units": {"input_tokens": 2, "image_tokens": 0}}}
    found = answered("/v2/embed", {"model": "e", "texts": ["x"]}, body)
    assert (found.operation, found.usage) == ("embeddings", Usage(2))


def test_voyage_sends_a_total_only(answered):
    """The total of an embedding is its input."""
    found = answered("/v1/embeddings", {"model": "v", "input": "x"}, {"data": [], "usage": {"total_tokens": 12}})
    assert (found.operation, found.usage) == ("embeddings", Usage(12))


def test_ollama_leaves_out_a_cached_prompt(answered):
    """``prompt_eval_count`` is missing where the prompt was cached: unknown, not 0."""
    lines = ndjson(
        {"response": "a", "done": False}, {"response": "", "done": True, "done_reason": "stop", "eval_count": 58}
    )
    assert answered("/api/generate", {"model": "l", "prompt": "x"}, lines).usage == Usage(None, 58)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"inputTextTokenCount": 18, "results": [{"tokenCount": 51, "outputText": "x"}]}, Usage(18, 51)),
        ({"generation": "x", "prompt_token_count": 9, "generation_token_count": 4, "stop_reason": "stop"}, Usage(9, 4)),
        ({"output": {"message": {"content": []}}, "usage": {"inputTokens": 5, "outputTokens": 6}}, Usage(5, 6)),
        ({"choices": [], "usage": usage(3, 4)}, Usage(3, 4)),
        ({"outputs": [{"text": "x", "stop_reason": "length"}]}, Usage(70, 80)),
    ],
    ids=["titan", "llama", "nova", "openai", "headers"],
)
def test_bedrock_models_answer_in_their_own_dialects(answered, document, expected):
    """InvokeModel's answer is read by its shape; where it tells nothing, Bedrock's headers do."""
    headers = (("x-amzn-bedrock-input-token-count", "70"), ("x-amzn-bedrock-output-token-count", "80"))
    path = "/model/vendor.model-v1%3A0/invoke"
    found = answered(path, {"prompt": "x"}, document, response_headers=headers)
    assert (found.usage, found.model) == (expected, "vendor.model-v1:0")


def test_bedrock_streams_end_with_metrics(answered):
    """Titan's stream has its numbers in ``amazon-bedrock-invocationMetrics``."""
    last = {"outputText": "x", "completionReason": "LENGTH"}
    last["amazon-bedrock-invocationMetrics"] = {"inputTokenCount": 18, "outputTokenCount": 51}
    body = eventstream(in_chunk_bytes({"outputText": "a"}), in_chunk_bytes(last))
    found = answered("/model/amazon.titan/invoke-with-response-stream", {"inputText": "x"}, body)
    assert (found.usage, found.finish_reason) == (Usage(18, 51), "length")


def test_bedrock_headers_leave_out_the_cache(answered):
    """The body's numbers win over the headers', which leave out cached tokens."""
    said = {"input_tokens": 4, "cache_creation_input_tokens": 18131, "output_tokens": 50}
    headers = (("x-amzn-bedrock-input-token-count", "4"),)
    found = answered(
        "/model/anthropic.c/invoke", {"messages": []}, {"type": "message", "usage": said}, response_headers=headers
    )
    assert found.usage == Usage(18135, 50, None, 18131)


def test_an_exception_in_an_event_stream_is_an_error(answered):
    """Bedrock breaks off with an exception message under the status 200."""
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    body = eventstream(("messageStart", {"role": "assistant"})) + event_message(headers, {"message": "slow down"})
    found = answered("/model/m/converse-stream", {"messages": []}, body)
    assert found.error == "throttlingException: slow down"


def test_sagemaker_streams_pieces_of_another_stream(answered):
    """The payloads of its event stream are cut anywhere, also inside an event."""
    body = sse(HI, {**END, "usage": usage(4, 5)})
    parts = [body[start : start + 17] for start in range(0, len(body), 17)]
    stream = b"".join(event_message({":event-type": "PayloadPart"}, part) for part in parts)
    found = answered("/endpoints/e/invocations-response-stream", STREAM, stream)
    assert (found.api, found.usage, found.stream, found.problems) == ("openai.chat", Usage(4, 5), True, ())
    assert 0 < found.first_content_at < len(stream)


def test_only_the_first_of_several_choices_gives_the_reason(answered):
    """With ``n`` above 1 the reasons may differ."""
    choices = [{"index": 0, "text": "a", "finish_reason": "length"}, {"index": 1, "text": "b", "finish_reason": "stop"}]
    assert answered("/v1/completions", {"model": "m", "prompt": "x"}, {"choices": choices}).finish_reason == "length"


def test_legacy_function_calls_are_tool_calls(answered):
    """``function_call`` of old, whole and streamed."""
    body = {
        "choices": [
            {"message": {"function_call": {"name": "add", "arguments": "{}"}}, "finish_reason": "function_call"}
        ]
    }
    found = answered(CHAT, ASK, body)
    assert (found.tool_calls, found.finish_reason) == (("add",), "tool_call")
    pieces = [{"name": "add", "arguments": ""}, {"arguments": "{"}, {"arguments": "}"}]
    chunks = [{"choices": [{"index": 0, "delta": {"function_call": piece}}]} for piece in pieces]
    assert answered(CHAT, STREAM, sse(*chunks)).tool_calls == ("add",)


def test_parallel_calls_without_an_index_are_told_apart_by_id(answered):
    """Gemini's OpenAI endpoint gives every streamed call the place 0; others repeat the name in each piece."""
    calls = [{"index": 0, "id": str(n), "function": {"name": "look", "arguments": "{}"}} for n in range(2)]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in calls]
    assert answered(CHAT, STREAM, sse(*chunks)).tool_calls == ("look", "look")
    again = [{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{"}}] * 3
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in again]
    assert answered(CHAT, STREAM, sse(*chunks)).tool_calls == ("look",)


def test_writer_streams_values(answered):
    """Writer's completions stream ``value`` and tell no usage."""
    found = answered(
        "/v1/completions", {"model": "p", "prompt": "x", "stream": True}, sse({"value": "Su"}, {"value": "re"})
    )
    assert (found.output_text, found.usage, found.problems) == ("Sure", Usage(), ())


def test_an_answer_of_another_shape_is_said(answered):
    """A 200 that is no completion is a call with unknown tokens and a problem."""
    found = answered(CHAT, ASK, {"pathname": "/x"})
    assert (found.usage, found.model, found.problems) == (
        Usage(),
        "m",
        ("the answer has not the shape of openai.chat",),
    )
