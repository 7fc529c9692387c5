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

SPAN_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    "cached_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
    "cost": ("gen_ai.usage.cost", "operation.cost", "llm.cost.total"),
}
"""Attributes of spans that are model calls: OpenTelemetry's conventions for generative AI of now and before, what instrumentations
add to them (Sentry, Pydantic AI), and OpenInference's; read 2026-11-28. The first that is there is read."""

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
        _see_that_file_exists(engine.url.get_backend_name(), engine.url.database)
        try:
            with engine.connect().execution_options(stream_results=True, yield_per=1000) as connection:
                result = connection.execute(text(query))
                if not result.returns_rows:
                    raise ImportRowsError("the query returns no rows", remedy="write a SELECT; nothing was changed")
                yield from rows_of_mappings((dict(row) for row in result.mappings()), "the query")
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


def _see_that_file_exists(backend: str, database: str | None) -> None:
    """See that the file of an SQLite database is there: SQLite would make an empty one.

    Raises:
        ImportRowsError: If it is not.
    """
    names_a_file = backend == "sqlite" and database and database != ":memory:" and not database.startswith("file:")
    if names_a_file and not Path(str(database)).exists():
        raise ImportRowsError(f"{database}: there is no such database", remedy="check --sql sqlite:///FILE")


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
    calls = [span for span in order if _is_call(_attributes(span))]
    # A framework and the SDK below it may both tell of one call: the outer span repeats the inner one.
    outer = {id(holder) for span in calls for holder in _around(span, spans, "parentSpanId")}
    for span in calls:
        if id(span) in outer:
            continue
        attributes = _attributes(span)
        found = {field: _first(attributes, names) for field, names in SPAN_ATTRIBUTES.items()}
        place = f"{path}, span {str(span.get('spanId', ''))[:32]}"
        read = _count(found["input_tokens"], place, "input_tokens")
        if read is None and _has_failed(span):
            continue
        began, ended = (
            _number(span.get("startTimeUnixNano"), place, "start"),
            _number(span.get("endTimeUnixNano"), place, "end"),
        )
        yield ProductionRow(
            stage=_stage(next(filter(None, map(_agent, (span, *_around(span, spans, "parentSpanId")))), "main"), place),
            model=str(found["model"] or ""),
            run=str(span.get("traceId", "")),
            input_tokens=read,
            output_tokens=_count(found["output_tokens"], place, "output_tokens"),
            cached_input_tokens=_count(found["cached_input_tokens"], place, "cached"),
            latency=None if began is None or ended is None else max(0.0, (ended - began) / 1e9),
            cost=_number(found["cost"], place, "cost"),
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
    generations = [item for item in observations if str(item.get("type", "")).upper() in ("GENERATION", "EMBEDDING")]
    if not generations:
        raise ImportRowsError(
            f"{path}: it holds no observations of the type GENERATION", remedy="export observations as JSON"
        )
    for item in generations:
        place = f"{path}, observation {str(item.get('id', ''))[:40]}"
        usage, costs = item.get("usageDetails") or item.get("usage"), item.get("costDetails")
        read, cached = _langfuse_tokens(item, usage, "input", place)
        written, _ = _langfuse_tokens(item, usage, "output", place)
        if read is None and str(item.get("level", "")).upper() == "ERROR":
            continue
        costs = costs if isinstance(costs, dict) else {}
        parts = [_number(value, place, "cost") or 0.0 for name, value in costs.items() if name != "total"]
        cost = costs.get("total", sum(parts) if parts else _first(item, ("calculatedTotalCost", "totalCost")))
        yield ProductionRow(
            stage=_stage(_nearest_name(item, known) or item.get("name") or "main", place),
            model=str(item.get("model") or item.get("providedModelName") or ""),
            run=str(item.get("traceId") or ""),
            input_tokens=read,
            output_tokens=written,
            cached_input_tokens=cached,
            latency=_duration(item, place),
            cost=_number(cost, place, "cost"),
        )


_LANGFUSE_WHOLE = {
    "input": ("input", "input_tokens", "prompt_tokens", "promptTokens"),
    "output": ("output", "output_tokens", "completion_tokens", "completionTokens"),
}


def _langfuse_tokens(item: Mapping[str, Any], usage: object, side: str, place: str) -> tuple[int | None, int | None]:
    """All tokens of one side, and those of them that came from a cache.

    Langfuse keeps the kinds of tokens beside the side's own number, not in it: ``input_cached_tokens``,
    ``cache_read_input_tokens``, ``output_reasoning_tokens``.
    """
    named = usage if isinstance(usage, dict) else {}
    whole = _count(_first(named, _LANGFUSE_WHOLE[side]), place, side)
    if whole is None:
        whole = _count(_first(item, (f"{side}Usage", _LANGFUSE_WHOLE[side][-1])), place, side)
    kinds = {name: value for name, value in named.items() if side in name and name not in _LANGFUSE_WHOLE[side]}
    tokens = {
        name: _count(value, place, name) or 0 for name, value in kinds.items() if not name.lower().endswith("cost")
    }
    cached = [tokens[name] for name in tokens if "cache" in name and "creation" not in name and "write" not in name]
    if whole is None and not tokens:
        return None, None
    return (whole or 0) + sum(tokens.values()), sum(cached) if cached else None


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


def _is_call(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span is a model call, by its operation, by OpenInference's kind, or else by its tokens."""
    operation, kind = attributes.get("gen_ai.operation.name"), attributes.get("openinference.span.kind")
    if operation is not None or kind is not None:
        return operation in GENERATING or str(kind).upper() in ("LLM", "EMBEDDING")
    return _first(attributes, SPAN_ATTRIBUTES["input_tokens"]) is not None


def _has_failed(span: Mapping[str, Any]) -> bool:
    """Tell whether a span ended with an error; an attempt that failed is no call."""
    status = span.get("status")
    return isinstance(status, dict) and status.get("code") in (2, "2", "STATUS_CODE_ERROR")


def _around(item: Mapping[str, Any], known: Mapping[str, dict[str, Any]], parent: str) -> Iterator[dict[str, Any]]:
    """The spans or observations around one, from the inside out; ``parent`` is the field that names the next."""
    seen: set[int] = set()
    current = known.get(str(item.get(parent) or ""))
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = known.get(str(current.get(parent) or ""))


def _agent(span: Mapping[str, Any]) -> str:
    return str(_attributes(span).get("gen_ai.agent.name") or "")


def _observations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    for key in ("data", "observations"):
        if isinstance(document.get(key), list):
            return _dicts(document[key])
    return [dict(document)]


def _nearest_name(item: Mapping[str, Any], known: Mapping[str, dict[str, Any]]) -> str:
    """The name of the nearest span, agent or chain around an observation."""
    around = _around(item, known, "parentObservationId")
    kinds = ("SPAN", "AGENT", "CHAIN")
    return next(
        (str(one["name"]) for one in around if str(one.get("type", "")).upper() in kinds and one.get("name")), ""
    )


def _duration(item: Mapping[str, Any], place: str) -> float | None:
    began, ended = item.get("startTime"), item.get("endTime")
    if isinstance(began, str) and isinstance(ended, str):
        try:
            return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
        except (ValueError, TypeError):
            pass
    return _number(item.get("latency"), place, "latency")
