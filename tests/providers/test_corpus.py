"""The whole corpus of recorded exchanges is read as it is labelled; skipped where it is not present."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wire_samples import exchange

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.names import finish_reason
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange, Unattributed

ROOT = Path(os.environ.get("TOKENBUDGET_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
CORPUS = ROOT / "open" / "exchanges.jsonl.gz"
FORMATS = builtin_formats()
FIGURES = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")

pytestmark = pytest.mark.skipif(not CORPUS.is_file(), reason=f"the corpus of recorded exchanges is not at {CORPUS}")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def recorded(row: dict[str, Any]) -> Exchange:
    request = row["request_body"]
    body = row.get("response_body") or ""
    data = (
        base64.b64decode(row["response_body_b64"]) if row.get("response_body_b64") else body.encode("utf-8", "replace")
    )
    headers = {
        side: tuple((k.lower(), v) for k, v in row[f"{side}_headers"].items()) for side in ("request", "response")
    }
    return exchange(
        row["url"],
        request if isinstance(request, dict) else None,
        data,
        method=row["method"],
        status=row["status"],
        request_headers=headers["request"],
        response_headers=headers["response"],
        **({"request_body": request.encode()} if isinstance(request, str) else {}),
    )


def label_is_wrong(row: dict[str, Any], field: str) -> bool:
    """Labels that contradict the recorded bytes: there the wire is right.

    Cohere's ``tokens.reasoning_tokens`` is on the wire and not in the label; a tool call of Nova's is in the answer and
    not in the label; an account's number was replaced in the label and not in the URL.
    """
    if field == "reasoning_tokens" and row["api"] == "cohere.chat_v2":
        return "reasoning_tokens" in (row["expected"]["usage_raw"] or {}).get("tokens", {})
    if field == "tool_calls" and row["api"] == "bedrock.invoke":
        return '"toolUse"' in row["response_body"] and row["expected"]["tool_calls"] == []
    return field == "model" and "arn%3A" in row["url"]


def differences(row: dict[str, Any]) -> Iterator[str]:
    """What is read otherwise than labelled."""
    found = read(recorded(row), FORMATS)
    if row["is_llm_call"] is False:
        # what Amazon's agents take is known to cost money; their answers tell no figures
        is_call = isinstance(found, ReadExchange) and found.reading != Reading("bedrock.agents", "aws.bedrock", "other")
        if is_call or (isinstance(found, Unattributed) and found.reason not in ("batch", "realtime")):
            yield f"not left alone: {found}"
        return
    if found is None or isinstance(found, Unattributed):
        yield f"not recognised: {found}"
        return
    reading, expected = found.reading, row["expected"]
    said = {name: getattr(reading.usage, name) for name in FIGURES}
    if row["is_llm_call"] or row["kind"] == "embedding":
        said |= {"model": reading.model or None, "tool_calls": list(reading.tool_calls)}
    for name, value in said.items():
        if value != expected[name] and not label_is_wrong(row, name):
            yield f"{name}: {value!r}, labelled {expected[name]!r}"
    if row["is_llm_call"] is None and reading.operation != ("embeddings" if row["kind"] == "embedding" else "other"):
        yield f"operation: {reading.operation}"
    if row["status"] >= 400 and reading.error is None:
        yield "no error"
    reason = expected["finish_reason"]
    reason = reason[0] if isinstance(reason, list) else reason
    if reason is not None and reading.finish_reason != finish_reason(reason):
        yield f"finish reason: {reading.finish_reason}, labelled {reason}"


def test_every_exchange_is_read_as_labelled(rows):
    """Usage, model, tool calls and finish reason of every call; nothing of what is no call. Prints a table (``-s``)."""
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    for row in rows:
        key = (row["provider"], row["api"])
        total[key] += 1
        found = list(differences(row))
        right[key] += not found
        wrong.extend(f"{row['id']}: {line}" for line in found)
    lines = [f"{provider:14}{api:34}{right[provider, api]:5} of {n:5}" for (provider, api), n in sorted(total.items())]
    table = "\n".join([*lines, f"{'all':48}{right.total():5} of {total.total():5}"])
    print(f"\n{table}")
    assert not wrong, "\n".join([table, *wrong])


def test_every_prompt_is_read(rows):
    """Each request of a text API becomes a prompt that holds every text which the user, the agent and the tools wrote."""
    missing: list[str] = []
    for row in rows:
        found = read(recorded(row), FORMATS) if row["is_llm_call"] else None
        if not isinstance(found, ReadExchange) or not isinstance(row["request_body"], dict):
            continue
        held = repr(found.classified.prompt()).replace("\\", "")
        wrote = _texts(row["request_body"].get("messages", row["request_body"].get("contents", [])))
        missing.extend(
            f"{row['id']}: {text[:60]!r}" for text in wrote if repr(text)[1:-1].replace("\\", "") not in held
        )
    assert not missing, "\n".join(missing)


def _texts(value: object, key: str = "") -> Iterator[str]:
    """What stands under ``text`` or ``content``, at any depth."""
    if isinstance(value, dict):
        if value.get("type") not in ("image", "image_url", "web_search_tool_result", "code_execution_tool_result"):
            for name, inner in value.items():
                yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str) and value and key in ("text", "content"):
        yield value
