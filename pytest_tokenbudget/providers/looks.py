"""Is this a model call that no format reads?"""

from __future__ import annotations

import re

from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str
from pytest_tokenbudget.providers.provider import host_of
from pytest_tokenbudget.records.exchange import Unattributed

_MODEL_KEYS = ("model", "model_id", "modelId", "model_name", "modelName", "deployment", "engine")
_PROMPT_KEYS = ("messages", "prompt", "contents", "input", "inputs", "message", "inputText", "chat_history")
_NO_CALL = re.compile(
    r"(count[-_]?tokens|compute_?tokens|input_tokens|tokenize|detokenize|apply-template"
    r"|/cachedContents|/cached_contents|/traces|/spans|/logs?(/|$|-request)|/feedback|/telemetry|/ingest|/events?(/|$)"
    r"|/track|/metrics|/datasets?(/|$)|/experiments?(/|$)|/evals(/|$)|/fine[-_]tuning|/finetun"
    r"|/guard(rails?)?(/|$)|/memor(y|ies)(/|$)|/infer$"
    r"|/api/(pull|push|show|create|copy|delete)|/files|/conversations$|/assistants|/threads|/vector_stores"
    r"|/batches/[^/]+/cancel|/responses/[^/]+/cancel)",
    re.IGNORECASE,
)
_BATCH = re.compile(
    r"/batches(/[^/]+/requests)?$|/batch/jobs$|/batch_jobs$|batchGenerateContent$|asyncBatchEmbedContent$"
    r"|/batchPredictionJobs$|/model-invocation-jobs?$|/batch-inference$",
)
_BATCH_KEYS = (
    "requests",
    "batch",
    "batch_requests",
    "input_file_id",
    "input_files",
    "inputDataConfig",
    "inputConfig",
    "completion_window",
)
_REALTIME = re.compile(r"/realtime(/|$)|BidiGenerateContent|invoke-with-bidirectional-stream")


def unattributed(request: Request) -> Unattributed | None:
    """Say whether a request looks like a model call.

    Batch and realtime endpoints are named as such. Otherwise it is a JSON POST with a prompt and a model, in the body or
    in the path. MCP and A2A (JSON-RPC), token counting, caches, files, telemetry and the like are no model calls.

    Args:
        request: A request that no format recognises.

    Returns:
        The traffic with the reason, ``None`` for anything that is no model call.
    """
    reason = _reason(request)
    if reason is None:
        return None
    return Unattributed(host=host_of(request.url), path=request.url.path, reason=reason)


def _reason(request: Request) -> str | None:
    path = request.path
    realtime = _REALTIME.search(path) is not None
    if realtime and (request.method == "POST" or _upgrades(request)):
        return "realtime"
    body = request.body
    if request.method != "POST" or body is None or "jsonrpc" in body:
        return None
    if _BATCH.search(path) and any(key in body for key in _BATCH_KEYS):
        return "batch"
    if _NO_CALL.search(path):
        return None
    return "unknown" if _has_prompt(request) and _has_model(request) else None


def _upgrades(request: Request) -> bool:
    return request.url.scheme in ("ws", "wss") or request.headers.get("upgrade", "").lower() == "websocket"


def _has_prompt(request: Request) -> bool:
    body = request.body or {}
    return any(isinstance(body.get(key), str | list | dict) and body[key] for key in _PROMPT_KEYS)


def _has_model(request: Request) -> bool:
    body = request.body or {}
    if any(as_str(body.get(key)) for key in _MODEL_KEYS):
        return True
    if re.search(r"/(models?|deployments|engines|serving-endpoints)/[^/]+", request.path):
        return True
    return any(as_str(as_dict(item).get("role")) for item in as_list(body.get("messages")))
