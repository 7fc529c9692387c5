"""Reads what other programs recorded of model calls: SQL, OpenTelemetry, Langfuse and JSON lines.

Only the figures are read. Texts, users and all other columns and attributes stay where they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_tokenbudget.capture.stage import checked_path
from pytest_tokenbudget.errors import ImportRowsError, TokenBudgetError
from pytest_tokenbudget.records.production import ProductionRow

COLUMNS: dict[str, tuple[str, ...]] = {
    "stage": ("stage", "agent", "step", "node"),
    "model": ("model", "model_name", "response_model"),
    "run": ("run", "run_id", "trace_id", "conversation_id", "session_id"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in"),
    "output_tokens": ("output_tokens", "completion_tokens", "tokens_out"),
    "cached_input_tokens": ("cached_input_tokens", "cached_tokens", "cache_read_input_tokens"),
    "calls": ("calls", "model_calls"),
    "latency": ("latency", "latency_s", "duration_s"),
    "latency_ms": ("latency_ms", "duration_ms", "elapsed_ms"),
    "cost": ("cost", "cost_usd", "total_cost"),
}
"""Names of the columns that are understood, by field; the first that is there is read."""

GENERATING = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""OpenTelemetry's ``gen_ai.operation.name`` of spans that are model calls (semantic conventions for generative AI, read
2026-11-28). Spans of agents and workflows repeat the sums of these and are left out."""


def rows_of_mappings(items: Iterable[Mapping[str, Any]], where: str) -> Iterator[ProductionRow]:
    """Rows whose columns have the names of :data:`COLUMNS`.

    Args:
        items: The rows, a mapping each.
        where: Source, for errors.

    Raises:
        ImportRowsError: If a row has no stage or no figure, or one of them is no number.
    """
    for number, item in enumerate(items, start=1):
        named = {str(key).lower(): value for key, value in item.items()}
        found = {field: _first(named, names) for field, names in COLUMNS.items()}
        place = f"{where}, row {number}"
        if found["stage"] in (None, ""):
            raise ImportRowsError(
                f"{place}: it has no stage (its columns: {', '.join(sorted(named))[:200]})",
                remedy="name the columns stage, model, input_tokens, output_tokens, latency_ms, cost: SELECT step AS stage, ...",
            )
        latency = _number(found["latency"], place, "latency")
        milliseconds = _number(found["latency_ms"], place, "latency_ms")
        yield ProductionRow(
            stage=_stage(found["stage"], place),
            model=str(found["model"] or ""),
            run=str(found["run"] or ""),
            input_tokens=_count(found["input_tokens"], place, "input_tokens"),
            output_tokens=_count(found["output_tokens"], place, "output_tokens"),
            cached_input_tokens=_count(found["cached_input_tokens"], place, "cached_input_tokens"),
            calls=_count(found["calls"], place, "calls") or 1,
            latency=latency if milliseconds is None else milliseconds / 1000,
            cost=_number(found["cost"], place, "cost"),
        )


def rows_of_json_lines(path: Path) -> Iterator[ProductionRow]:
    """Rows of a file with one JSON object a line, with the columns of :data:`COLUMNS`."""
    return rows_of_mappings(_objects(path), str(path))


def rows_of_sql(url: str, query: str) -> Iterator[ProductionRow]:
    """Rows of a query.

    Args:
        url: A database URL of SQLAlchemy, such as ``sqlite:///messages.db``.
        query: A query whose columns have the names of :data:`COLUMNS`.

    Raises:
        ImportRowsError: If the extra ``sql`` or the driver is missing, the query fails, or a row cannot be read.
    """
    try:
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise ImportRowsError("SQLAlchemy is not installed", remedy="pip install 'pytest-tokenbudget[sql]'") from None
    try:
        engine = create_engine(url)
        try:
            with engine.connect().execution_options(stream_results=True, yield_per=1000) as connection:
                result = connection.execute(text(query)).mappings()
                yield from rows_of_mappings((dict(row) for row in result), "the query")
        finally:
            engine.dispose()
    except ImportError as error:
        raise ImportRowsError(
            f"the database driver is missing: {error}", remedy="install it, pip install psycopg"
        ) from None
    except SQLAlchemyError as error:
        # The whole text of the error may hold the URL's password.
        reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0][:300]
        raise ImportRowsError(f"the query cannot be run: {reason}", remedy="check --sql and --query") from None


def rows_of_otel(path: Path) -> Iterator[ProductionRow]:
    """Rows of spans in OTLP's JSON form, one document or one a line.

    The stage of a call is the name of the nearest agent around it (``gen_ai.agent.name``), else ``main``; its run is its trace.

    Raises:
        ImportRowsError: If the file is none of OTLP's.
    """
    spans: dict[str, dict[str, Any]] = {}
    order: list[dict[str, Any]] = []
    for document in _objects(path):
        for span in _spans(document):
            order.append(span)
            spans[str(span.get("spanId", ""))] = span
    if not order:
        raise ImportRowsError(
            f"{path}: it holds no spans", remedy="export traces as OTLP JSON: resourceSpans, scopeSpans, spans"
        )
    for span in order:
        attributes = _attributes(span)
        operation = attributes.get("gen_ai.operation.name")
        if operation not in GENERATING and not (operation is None and "gen_ai.usage.input_tokens" in attributes):
            continue
        place = f"{path}, span {str(span.get('spanId', ''))[:32]}"
        began, ended = (
            _number(span.get("startTimeUnixNano"), place, "start"),
            _number(span.get("endTimeUnixNano"), place, "end"),
        )
        yield ProductionRow(
            stage=_stage(_nearest(span, spans, _agent) or "main", place),
            model=str(attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model") or ""),
            run=str(span.get("traceId", "")),
            input_tokens=_count(attributes.get("gen_ai.usage.input_tokens"), place, "input_tokens"),
            output_tokens=_count(attributes.get("gen_ai.usage.output_tokens"), place, "output_tokens"),
            cached_input_tokens=_count(attributes.get("gen_ai.usage.cache_read.input_tokens"), place, "cached"),
            latency=None if began is None or ended is None else max(0.0, (ended - began) / 1e9),
        )


def rows_of_langfuse(path: Path) -> Iterator[ProductionRow]:
    """Rows of observations that Langfuse exported, as a JSON list, an answer of its API, or a JSON object a line.

    The stage of a generation is the name of the nearest span or agent around it, else its own name; its run is its trace.
    Fields as in Langfuse's public API, "Observations" (read 2026-11-28).

    Raises:
        ImportRowsError: If the file holds no generations.
    """
    observations = [item for document in _objects(path) for item in _observations(document)]
    known = {str(item.get("id", "")): item for item in observations}
    generations = [item for item in observations if str(item.get("type", "")).upper() == "GENERATION"]
    if not generations:
        raise ImportRowsError(
            f"{path}: it holds no observations of the type GENERATION", remedy="export observations as JSON"
        )
    for item in generations:
        place = f"{path}, observation {str(item.get('id', ''))[:40]}"
        usage = item.get("usageDetails") or item.get("usage") or {}
        costs = item.get("costDetails") or {}
        cost = costs.get("total", item.get("calculatedTotalCost")) if isinstance(costs, dict) else None
        usage = usage if isinstance(usage, dict) else {}
        cached = usage.get("input_cached_tokens", usage.get("cache_read_input_tokens"))
        read = _count(usage.get("input", usage.get("promptTokens")), place, "input")
        yield ProductionRow(
            stage=_stage(_nearest_name(item, known) or item.get("name") or "main", place),
            model=str(item.get("model") or ""),
            run=str(item.get("traceId") or ""),
            # Langfuse keeps cached tokens beside the input, not in it.
            input_tokens=None if read is None else read + (_count(cached, place, "cached") or 0),
            output_tokens=_count(usage.get("output", usage.get("completionTokens")), place, "output"),
            cached_input_tokens=_count(cached, place, "cached"),
            latency=_duration(item, place),
            cost=_number(cost, place, "cost"),
        )


READERS: dict[str, Callable[[Path], Iterator[ProductionRow]]] = {
    "otel": rows_of_otel,
    "langfuse": rows_of_langfuse,
    "jsonl": rows_of_json_lines,
}
"""The readers of files, by the name of the option."""


def _first(named: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((named[name] for name in names if named.get(name) is not None), None)


def _stage(value: Any, place: str) -> str:
    text = "/".join(part.strip() for part in str(value).strip().split("/") if part.strip())
    try:
        return checked_path(text.replace(".", "_"))
    except TokenBudgetError as error:
        raise ImportRowsError(f"{place}: {error.message}", remedy="give the rows other stage names") from None


def _number(value: Any, place: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not 0 <= found < 1e300:
        raise ImportRowsError(
            f"{place}: {name} is no number from 0: {str(value)[:60]!r}", remedy="leave it out, or fix the rows"
        )
    return found


def _count(value: Any, place: str, name: str) -> int | None:
    found = _number(value, place, name)
    return None if found is None else round(found)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file: one document (an object, or a list of them) or one object a line."""
    remedy = "give a JSON file, or one with a JSON object a line"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRowsError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}", remedy=remedy
        ) from None
    try:
        documents: list[Any] = [json.loads(text)]
    except RecursionError:
        raise ImportRowsError(f"{path}: is nested too deeply", remedy=remedy) from None
    except ValueError:
        documents = [_line(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for document in documents:
        for item in document if isinstance(document, list) else [document]:
            if not isinstance(item, dict):
                raise ImportRowsError(
                    f"{path}: holds {type(item).__name__} where an object should stand", remedy=remedy
                )
            yield item


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ImportRowsError(
            f"{path}, line {number}: is no JSON: {error}", remedy="give a JSON object a line"
        ) from None


def _spans(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in _dicts(document.get("resourceSpans")):
        for scope in _dicts(resource.get("scopeSpans")):
            yield from _dicts(scope.get("spans"))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span; OTLP writes each value under the name of its type."""
    found = {}
    for item in _dicts(span.get("attributes")):
        value = item.get("value")
        if isinstance(value, dict):
            found[str(item.get("key"))] = next((inner for inner in value.values()), None)
    return found


def _agent(span: Mapping[str, Any]) -> str:
    return str(_attributes(span).get("gen_ai.agent.name") or "")


def _nearest(
    span: dict[str, Any], spans: Mapping[str, dict[str, Any]], name: Callable[[Mapping[str, Any]], str]
) -> str:
    """The first name on the way from a span to its root."""
    seen: set[int] = set()
    current: dict[str, Any] | None = span
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if found := name(current):
            return found
        current = spans.get(str(current.get("parentSpanId") or ""))
    return ""


def _observations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    for key in ("data", "observations"):
        if isinstance(document.get(key), list):
            return _dicts(document[key])
    return [dict(document)]


def _nearest_name(item: Mapping[str, Any], known: Mapping[str, dict[str, Any]]) -> str:
    """The name of the nearest span, agent or chain around an observation."""
    seen: set[int] = set()
    current = known.get(str(item.get("parentObservationId") or ""))
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if str(current.get("type", "")).upper() in ("SPAN", "AGENT", "CHAIN") and current.get("name"):
            return str(current["name"])
        current = known.get(str(current.get("parentObservationId") or ""))
    return ""


def _duration(item: Mapping[str, Any], place: str) -> float | None:
    began, ended = item.get("startTime"), item.get("endTime")
    if isinstance(began, str) and isinstance(ended, str):
        try:
            return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
        except (ValueError, TypeError):
            pass
    return _number(item.get("latency"), place, "latency")
