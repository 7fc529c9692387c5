"""Which format reads what, who answered, and what looks like a model call that none reads."""

from __future__ import annotations

import pytest
from wire_samples import exchange

from pytest_tokenbudget.providers.classify import ReadExchange, polled, read, settled
from pytest_tokenbudget.providers.http_message import parse_request
from pytest_tokenbudget.providers.names import PROVIDERS_BEFORE, current_provider, finish_reason, provider_of
from pytest_tokenbudget.providers.openai_chat import OpenAIChat
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Reading, Usage
from pytest_tokenbudget.records.exchange import Unattributed

FORMATS = builtin_formats()
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}
CHAT = {"model": "m", **MESSAGES}
CLAUDE = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, **MESSAGES}
INPUT = {"model": "m", "input": "Hi"}
PROMPT = {"model": "m", "prompt": "Hi"}

PATHS = [
    ("openai.chat", "/chat/completions", CHAT),
    ("openai.chat", "/v1/chat/completions/", CHAT),
    ("openai.chat", "/openai/deployments/my%20gpt/chat/completions?api-version=2026-01-01", MESSAGES),
    ("openai.chat", "/models/chat/completions?api-version=2024-05-01-preview", CHAT),
    ("openai.chat", "/serving-endpoints/chat/completions", CHAT),
    ("openai.chat", "/serving-endpoints/my-endpoint/invocations", MESSAGES),
    ("openai.chat", "/endpoints/my-endpoint/invocations", MESSAGES),
    ("openai.chat", "/api/v2/cortex/inference:complete", CHAT),
    ("openai.chat", "/v1/account/gateway/groq/chat/completions", CHAT),
    ("openai.chat", "/v1beta/openai/chat/completions", CHAT),
    ("openai.chat", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", CHAT),
    ("openai.chat", "/v1/projects/p/locations/l/publishers/mistralai/models/mistral-9:streamRawPredict", CHAT),
    ("openai.chat", "/v1/completions", CHAT),
    ("openai.chat", "/openai", CHAT),
    ("openai.chat", "/v1/fim/completions", PROMPT),
    ("openai.responses", "/v1/responses", INPUT),
    ("openai.responses", "/openai/v1/responses?api-version=preview", INPUT),
    ("openai.responses", "/serving-endpoints/agent/invocations", {"input": [{"role": "user", "content": "Hi"}]}),
    ("openai.responses.compact", "/v1/responses/compact", INPUT),
    ("openai.completions", "/v1/completions", PROMPT),
    ("openai.completions", "/openai/deployments/d/completions", {"prompt": "Hi"}),
    ("openai.completions", "/serving-endpoints/e/invocations", {"prompt": "Hi"}),
    ("openai.embeddings", "/v1/embeddings", INPUT),
    ("openai.embeddings", "/serving-endpoints/e/invocations", {"input": ["Hi"]}),
    ("anthropic.messages", "/v1/messages?beta=true", {"max_tokens": 9, **CHAT}),
    ("anthropic.messages", "/anthropic/v1/messages", {"max_tokens": 9, **CHAT}),
    ("anthropic.messages", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-9:rawPredict", CLAUDE),
    ("anthropic.messages", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-9:streamRawPredict", CLAUDE),
    ("anthropic.complete", "/v1/complete", {**PROMPT, "max_tokens_to_sample": 9}),
    ("google.generate_content", "/v1beta/models/gemini-9:generateContent", {"contents": []}),
    (
        "google.generate_content",
        "/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent",
        {"contents": []},
    ),
    ("google.generate_content", "/v1internal:generateContent", {"model": "g", "request": {"contents": []}}),
    ("google.interactions", "/v1beta/interactions", INPUT),
    ("google.embed_content", "/v1beta/models/e:batchEmbedContents", {"requests": []}),
    ("google.predict_embed", "/v1/publishers/google/models/e:predict", {"instances": [{"content": "Hi"}]}),
    ("bedrock.converse", "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ainference-profile%2Fx/converse", MESSAGES),
    ("bedrock.converse", "/bedrock/model/m/converse-stream", MESSAGES),
    ("bedrock.invoke", "/model/m/invoke", MESSAGES),
    ("bedrock.invoke", "/model/m/invoke-with-response-stream", MESSAGES),
    ("cohere.chat_v2", "/v2/chat", CHAT),
    ("cohere.chat_v1", "/v1/chat", {"message": "Hi"}),
    ("cohere.embed", "/v2/embed", {"model": "e", "texts": ["Hi"]}),
    ("cohere.generate", "/v1/generate", PROMPT),
    ("writer.chat", "/v1/chat", CHAT),
    ("ollama.chat", "/api/chat", CHAT),
    ("ollama.generate", "/api/generate", PROMPT),
    ("ollama.embed", "/api/embed", INPUT),
    ("ollama.embed", "/api/embeddings", PROMPT),
    ("watsonx.chat", "/ml/v1/text/chat?version=2024-05-01", {"model_id": "m", **MESSAGES}),
    ("watsonx.generation", "/ml/v1/text/generation_stream", {"model_id": "m", "input": "Hi"}),
    ("mistral.conversations", "/v1/conversations", {"inputs": "Hi", "agent_id": "a"}),
    ("cloudflare.run", "/client/v4/accounts/a/ai/run/@cf/meta/llama-9", MESSAGES),
    ("huggingface.text_generation", "/generate_stream", {"inputs": "Hi"}),
    ("sagemaker.invoke", "/endpoints/e/invocations", {"inputs": "Hi"}),
    ("alephalpha.complete", "/complete", {**PROMPT, "maximum_tokens": 9}),
]


@pytest.mark.parametrize(("api", "url", "body"), PATHS, ids=[f"{api} {path}" for api, path, _ in PATHS])
@pytest.mark.parametrize("host", ["https://gateway.example", "http://127.0.0.1:8000/proxy", "<BASE_URL>"])
def test_apis_are_told_apart_by_path_and_body(api: str, url: str, body: dict, host: str):
    """Behind any host and prefix the same format reads the request, also where it failed."""
    found = read(exchange(host + url, body, b"", status=500), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading.api == api


def test_an_endpoint_that_serves_one_model_at_its_root_is_told_by_its_body():
    """Hugging Face's dedicated endpoints have no path: text in ``inputs`` with parameters is what they take."""
    asked = {"inputs": "Hi", "parameters": {"max_new_tokens": 9}}
    found = read(exchange("https://x.endpoints.example/", asked, b'[{"generated_text":"Ho"}]'), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.api, found.reading.output_text) == ("huggingface.text_generation", "Ho")
    assert read(exchange("https://x.endpoints.example/", {"inputs": "Hi"}, b"[[0.1]]"), FORMATS) is None


@pytest.mark.parametrize(
    ("url", "body", "model"),
    [
        ("/openai/deployments/my%20gpt/chat/completions", MESSAGES, "my gpt"),
        ("/serving-endpoints/my-endpoint/invocations", MESSAGES, "my-endpoint"),
        ("/v1/publishers/anthropic/models/claude-9@20260101:rawPredict", CLAUDE, "claude-9@20260101"),
        ("/v1beta/models/gemini-9:generateContent", {"contents": []}, "gemini-9"),
        ("/v1beta/tunedModels/mine-1:generateContent", {"contents": []}, "mine-1"),
        ("/model/us.vendor.m-v1%3A0/converse", MESSAGES, "us.vendor.m-v1:0"),
        ("/ai/run/@cf/meta/llama-9", MESSAGES, "@cf/meta/llama-9"),
    ],
)
def test_the_model_in_the_url_is_known(url: str, body: dict, model: str):
    """Where the body names no model, the path does."""
    found = read(exchange(url, body, b"", status=500), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.model, found.reading.request_model) == (model, model)


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/v1/models", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/messages/count_tokens", CHAT),
        ("POST", "/v1beta/models/g:countTokens", {"contents": [{}]}),
        ("POST", "/v1/publishers/anthropic/models/count-tokens:rawPredict", CHAT),
        ("POST", "/model/m/count-tokens", {"input": {"converse": MESSAGES}}),
        ("POST", "/v1/responses/input_tokens", INPUT),
        ("POST", "/v1/tokenize", {"model": "m", "text": "x"}),
        ("POST", "/tokenize", PROMPT),
        ("POST", "/v1/threads/thread_1/messages", {"role": "user", "content": "Hi"}),
        ("POST", "/v1beta/cachedContents", {"model": "g", "contents": [{}]}),
        (
            "POST",
            "/mcp",
            {"jsonrpc": "2.0", "method": "tools/call", "params": {"messages": []}, "model": "m", "input": "x"},
        ),
        ("POST", "/v1/traces", {"model": "m", "input": "x"}),
        ("POST", "/v1/messages/batches/b/cancel", {}),
        ("GET", "/v1/batches", None),
        ("POST", "/search", {"query": "weather"}),
        ("POST", "/v1/fine_tuning/jobs", {"model": "m", "input": "f"}),
        ("POST", "/api/pull", {"model": "m", "input": "f"}),
        ("POST", "/v2/guard", CHAT),
        ("POST", "/v1/memories/", CHAT),
        ("POST", "/log-request", {**INPUT, "output": "Ho"}),
        ("POST", "/api/v1/ingestion", INPUT),
        ("POST", "/v2/models/forest/infer", {"inputs": [{"name": "x", "data": [1]}]}),
        ("POST", "/guardrails/pii/execute", {"config": {}, "input": {"text": "x"}}),
        ("DELETE", "/v1/responses/resp_1", None),
    ],
)
def test_other_traffic_is_left_alone(method: str, url: str, body: dict | None):
    """Lists, files, token counting, caches, JSON-RPC, telemetry and plain web are neither calls nor suspicious."""
    assert read(exchange(url, body, b'{"ok": true}', method=method), FORMATS) is None


def test_what_amazons_agents_ask_costs_money_and_tells_nothing():
    """Their requests are known by themselves, as none of a language model; nothing is read of the answer."""
    found = read(exchange("/retrieveAndGenerate", {"input": {"text": "x"}}, b'{"ok": true}'), FORMATS)
    assert isinstance(found, ReadExchange)
    assert found.reading == Reading("bedrock.agents", "aws.bedrock", "other")


@pytest.mark.parametrize(
    ("url", "body", "reason"),
    [
        ("/v9/brain", CHAT, "unknown"),
        ("/v9/brain", INPUT, "unknown"),
        ("/v9/models/m/brain", {"contents": [{"x": 1}]}, "unknown"),
        ("/v1/chat/completion", CHAT, "unknown"),
        ("/v1/batches", {"input_file_id": "f", "endpoint": "/v1/chat/completions"}, "batch"),
        ("/v1/messages/batches", {"requests": [{}]}, "batch"),
        ("/v1beta/models/g:batchGenerateContent", {"batch": {"inputConfig": {}}}, "batch"),
        ("/model-invocation-job", {"modelId": "m", "inputDataConfig": {}}, "batch"),
        ("/v1/realtime/sessions", {"model": "m"}, "realtime"),
    ],
)
def test_what_looks_like_a_model_call_is_listed(url: str, body: dict, reason: str):
    """A prompt and a model that no format reads; batch and realtime by their names. The query is left out."""
    found = read(exchange(f"https://api.example{url}?key=secret", body, b"{}"), FORMATS)
    assert found == Unattributed("api.example", url, reason)


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "/v1/images/generations", PROMPT),
        ("POST", "/api/v1/images", PROMPT),
        ("POST", "/v1/image_generation", PROMPT),
        ("POST", "/v1/audio/speech", INPUT),
        ("POST", "/v1/text-to-speech/voice", INPUT),
        ("POST", "/v1/video/generations", PROMPT),
        ("POST", "/hf-inference/models/e/pipeline/feature-extraction", {"inputs": "x"}),
        ("POST", "/v1/moderations", INPUT),
        ("POST", "/v2/rerank", {"model": "r", "query": "q", "documents": []}),
        ("POST", "/v1/ocr", {"model": "o", "document": {}}),
        ("POST", "/v1/threads/runs", {"assistant_id": "a"}),
        ("POST", "/v1/predictions", {"input": {"prompt": "x"}, "version": "v"}),
        ("GET", "/v1/threads/t/runs/r", None),
        ("GET", "/v1/responses/resp_1?stream=true", None),
    ],
)
def test_models_of_other_kinds_are_known_and_not_counted(method: str, url: str, body: dict | None):
    """Images, audio, moderation, ranking, assistants and polls are of the operation ``other``."""
    found = read(exchange(url, body, b"{}", method=method), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.operation, found.reading.problems) == ("other", ())


def test_a_poll_completes_its_background_response():
    """The POST has no usage; what the last GET of the same id says is put into it."""
    pending = b'{"object":"response","id":"resp_1","status":"queued","output":[],"usage":null}'
    done = (
        b'{"object":"response","id":"resp_1","status":"completed","model":"m-1","usage":{"input_tokens":5,"output_tokens":6},'
        b'"output":[{"type":"function_call","name":"look"}]}'
    )
    asked = exchange("/v1/responses", {**INPUT, "background": True}, pending)
    polls = [exchange("/v1/responses/resp_1", None, body, method="GET") for body in (pending, done)]
    found = polled([asked, *polls], FORMATS)
    first = read(asked, FORMATS)
    assert isinstance(first, ReadExchange)
    whole = settled(first.reading, found)
    assert (whole.usage, whole.tool_calls, whole.finish_reason, whole.model) == (Usage(5, 6), ("look",), "stop", "m-1")
    assert settled(whole, found) == whole


def test_formats_of_a_user_are_asked_first():
    """The first format that recognises a request reads it."""

    class Mine:
        api = "mine"

        def recognises(self, request):
            return request.path == "/v1/chat/completions" and request.headers["content-type"] == "application/json"

        def read(self, request, exchange):
            return OpenAIChat().read(request, exchange)

        def prompt(self, request):
            return None

    mine = Mine()
    found = read(exchange("/v1/chat/completions", CHAT, b'{"choices":[]}'), [mine, *FORMATS])
    assert isinstance(found, ReadExchange)
    assert found.classified.format is mine


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://my.openai.azure.com/openai", "azure.ai.openai"),
        ("https://my.services.ai.azure.com/models", "azure.ai.inference"),
        ("https://my.services.ai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://generativelanguage.googleapis.com/v1beta", "gcp.gemini"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/model", "aws.bedrock"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1", "aws.bedrock"),
        ("https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/model", "aws.bedrock"),
        ("https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints", "sagemaker"),
        ("https://adb-1.1.azuredatabricks.net/serving-endpoints", "databricks"),
        ("https://router.huggingface.co/together/v1", "huggingface"),
        ("https://API.X.AI/v1", "x_ai"),
        ("https://notx.ai/v1", "anthropic"),
        ("https://openai.com.evil.example/v1", "anthropic"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:8000/v1", "anthropic"),
        ("http://[::1/v1", "anthropic"),
    ],
)
def test_the_provider_is_the_host_or_else_the_dialect(url: str, provider: str):
    """A known host names its provider, an unknown one the dialect that it speaks."""
    hosts = {host: name for wire_format in FORMATS for host, name in wire_format.hosts}
    asked = parse_request("POST", url)
    assert provider_of(asked.host, asked.port, asked.path, maker="anthropic", hosts=hosts) == provider


def test_mistral_is_a_dialect_with_a_name():
    """At its own host chat completions are Mistral's."""
    found = read(exchange("https://api.mistral.ai/v1/chat/completions", CHAT, b'{"choices":[]}'), FORMATS)
    assert isinstance(found, ReadExchange)
    assert (found.reading.api, found.reading.provider) == ("mistral.chat", "mistral_ai")


@pytest.mark.parametrize(
    ("word", "normal"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("COMPLETE", "stop"),
        ("completed", "stop"),
        ("stop_sequence", "stop"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("ERROR_LIMIT", "length"),
        ("abort", "error"),
        ("incomplete:max_output_tokens", "length"),
        ("tool_use", "tool_call"),
        ("TOOL_CALL", "tool_call"),
        ("function_call", "tool_call"),
        ("SAFETY", "content_filter"),
        ("block:MODEL_ARMOR", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("Pause_Turn", "pause_turn"),
        (1, "stop"),
        (2, "length"),
        (99, None),
        (True, None),
        (None, None),
        ("", None),
        ([], None),
    ],
)
def test_finish_reasons_have_one_word(word: object, normal: str | None):
    """OpenTelemetry's words where there is one, else the provider's own in lower case."""
    assert finish_reason(word) == normal


def test_names_of_before_have_a_name_of_now():
    """One table tells what a baseline of version 0.1 calls by another name; what it does not know stays as it is."""
    assert {current_provider(before) for before in PROVIDERS_BEFORE} == set(PROVIDERS_BEFORE.values())
    assert current_provider("bedrock") == "aws.bedrock"
    assert current_provider("openai") == "openai"
    assert current_provider("gcp.gemini") == "gcp.gemini"


@pytest.mark.parametrize(
    ("asked", "poll", "usage"),
    [
        (
            ("/v1/threads/t/runs", {"assistant_id": "a"}, b'{"object":"thread.run","id":"run_1","usage":null}'),
            ("/v1/threads/t/runs/run_1", b'{"id":"run_1","usage":{"prompt_tokens":663,"completion_tokens":53}}'),
            Usage(663, 53),
        ),
        (
            ("/v1/predictions", {"version": "v", "input": {"prompt": "x"}}, b'{"id":"p1","status":"starting"}'),
            ("/v1/predictions/p1", b'{"id":"p1","metrics":{"input_token_count":9,"output_token_count":3}}'),
            Usage(9, 3),
        ),
    ],
)
def test_polls_complete_what_is_no_call_too(asked, poll, usage):
    """An Assistants run and a prediction tell their tokens when they are done."""
    path, body, answer = asked
    begun = exchange(path, body, answer)
    polls = polled([begun, exchange(poll[0], None, poll[1], method="GET")], FORMATS)
    first = read(begun, FORMATS)
    assert isinstance(first, ReadExchange)
    assert settled(first.reading, polls).usage == usage
