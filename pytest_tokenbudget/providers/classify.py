"""What a request is, and what its exchange tells: one way for capture, ``stop_at``, replay, scripts and the report.

A response in background mode (and an Assistants run, and a prediction of Replicate) is asked for in one exchange and answered
in a later one: the POST is the call, and answers ``queued`` and no usage; the numbers come with a GET of the same id, which is
no call of its own. Here they are put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pytest_tokenbudget.providers.http_message import Request, request_of, split_url
from pytest_tokenbudget.providers.loose import arrival, as_dict, as_list, as_str, header
from pytest_tokenbudget.providers.names import by_suffix, is_model_host, provider_of
from pytest_tokenbudget.providers.wire_format import Endpoint, FormatGroup, Kind, WireFormat
from pytest_tokenbudget.records.call import Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange, Headers, Unattributed
from pytest_tokenbudget.records.prompt import Prompt

UNKNOWN_BODY = 1024 * 1024
"""Bytes that are kept of a body that may be the answer to a model call, though no format says so."""

_MODEL_KEYS = ("model", "model_id", "modelId", "model_name", "modelName", "deployment", "engine")
_PROMPT_KEYS = ("messages", "prompt", "contents", "input", "inputs", "message", "inputText", "chat_history")
_MODEL_PATH = re.compile(r"/(models?|deployments|engines|serving-endpoints)/[^/]+")
_NO_MODEL_CALL = re.compile(
    r"compute_?tokens|/traces|/spans|/logs?(/|$|-request)|/feedback|/telemetry|/ingest|/events?(/|$)|/track|/metrics"
    r"|/datasets?(/|$)|/experiments?(/|$)|/guard(rails?)?(/|$)|/memor(y|ies)(/|$)|/infer$",
    re.IGNORECASE,
)
"""Telemetry, evaluation and guards carry prompts and models in their bodies, and are no model calls."""

_MEDIA = ("image/", "audio/", "video/", "application/zip", "application/gzip", "application/pdf", "application/x-tar")
_TEXTS = ("json", "event-stream", "ndjson", "eventstream", "text/plain")


@dataclass(slots=True)
class Classified:
    """A request with its kind.

    Attributes:
        kind: Its kind.
        request: The request.
        format: The format that knows it, ``None`` where none does.
        endpoint: The endpoint of that format.
        provider: Who answers (OpenTelemetry's ``gen_ai.provider.name``); ``""`` where no format knows it.
        problem: Why the format could not say, where it failed.
    """

    kind: Kind
    request: Request
    format: WireFormat | None = None
    endpoint: Endpoint | None = None
    provider: str = ""
    problem: str = ""
    _prompt: tuple[Prompt | None] | None = field(default=None, repr=False, compare=False)

    @property
    def api(self) -> str:
        """Name of the API, ``"unknown"`` where no format knows it."""
        return "unknown" if self.format is None else _api_of(self.format, self.request)

    def prompt(self) -> Prompt | None:
        """Read what is asked, once, when it is first asked for; ``None`` where it cannot be read."""
        if self._prompt is None:
            try:
                self._prompt = (None if self.format is None else self.format.prompt(self.request),)
            except Exception:
                # A body may be nested too deeply, and a project's format may fail; without a prompt there is no count.
                self._prompt = (None,)
        return self._prompt[0]


def classify(request: Request, formats: Sequence[WireFormat]) -> Classified:
    """Say what a request is.

    Args:
        request: The request.
        formats: The formats; the first endpoint that matches decides.

    Returns:
        Its kind, with the format that knows it. Where no format does: ``unknown`` for a JSON POST with a prompt and a model,
        in the body or in the path, else ``other``. Never raises.
    """
    failed = None
    for found in matches(request, formats):
        if not found.problem:
            return found
        failed = failed or found
    return failed or Classified("unknown" if _looks_like_a_model_call(request) else "other", request)


def matches(request: Request, formats: Sequence[WireFormat]) -> Iterator[Classified]:
    """Give every kind that formats take a request for, in their order: an answer may show that the first was wrong."""
    for wire_format, endpoint in _candidates(request.method, request.path, formats):
        try:
            if endpoint.when is not None and not endpoint.when(request):
                continue
            maker = getattr(wire_format, "provider", "") or _api_of(wire_format, request).partition(".")[0]
            provider = _provider(request.host, request.port, request.path, maker, tuple(formats))
        except Exception as error:
            name = getattr(wire_format, "api", type(wire_format).__name__)
            problem = f"{name} failed: {type(error).__name__}"
            yield Classified("unknown", request, wire_format, endpoint, problem=problem)
            continue
        yield Classified(endpoint.kind, request, wire_format, endpoint, provider)


@lru_cache(maxsize=1024)
def _provider(host: str, port: int | None, path: str, maker: str, formats: tuple[WireFormat, ...]) -> str:
    return provider_of(host, port, path, maker=maker, hosts=_hosts_of(host, formats))


def serves_models(host: str, formats: Sequence[WireFormat]) -> bool:
    """Tell whether a host is one that a format declares (without port, in lower case)."""
    return is_model_host(host, _hosts_of(host, formats))


def body_limit(method: str, url: str, response_headers: Headers, formats: Sequence[WireFormat]) -> int | None:
    """Bytes that are worth keeping of a request's and its answer's bodies, told without looking into them.

    Args:
        method: HTTP method.
        url: The whole URL.
        response_headers: Response headers.
        formats: The formats.

    Returns:
        ``None`` for all of a model call; a bound for what may be one or stands beside one; 0 for all other traffic.
    """
    path = split_url(url).path.rstrip("/")
    kinds = {endpoint.kind for _, endpoint in _candidates(method.upper(), path, formats)}
    content_type = header(response_headers, "content-type").lower()
    if kinds & {"call", "paid"} and not content_type.startswith(_MEDIA):
        return None
    if kinds or (method.upper() == "POST" and (not content_type or any(word in content_type for word in _TEXTS))):
        return UNKNOWN_BODY
    return 0


def _candidates(method: str, path: str, formats: Sequence[WireFormat]) -> Iterator[tuple[WireFormat, Endpoint]]:
    """The endpoints with such a method and path; a group is imported when nothing before it was what was looked for."""
    for wire_format in formats:
        group = wire_format.formats if isinstance(wire_format, FormatGroup) else (wire_format,)
        yield from _endpoints(method, path, group)


@lru_cache(maxsize=1024)
def _endpoints(method: str, path: str, formats: tuple[WireFormat, ...]) -> tuple[tuple[WireFormat, Endpoint], ...]:
    """The endpoints with such a method and path.

    A format that was written for version 0.1 of this package has ``recognises`` in the place of endpoints.
    """
    found: list[tuple[WireFormat, Endpoint]] = []
    for one in formats:
        endpoints: tuple[Endpoint, ...] | None = getattr(one, "endpoints", None)
        if endpoints is None:
            endpoints = (Endpoint("call", "", one.recognises, methods=()),)  # type: ignore[attr-defined]  # as said
        found += [
            (one, endpoint)
            for endpoint in endpoints
            if (not endpoint.methods or method in endpoint.methods) and re.search(endpoint.path, path) is not None
        ]
    return tuple(found)


def _api_of(wire_format: WireFormat, request: Request) -> str:
    api_of = getattr(wire_format, "api_of", None)
    return str(wire_format.api if api_of is None else api_of(request))


def _hosts_of(host: str, formats: Sequence[WireFormat]) -> dict[str, str]:
    """Suffix of a host -> provider, of the formats up to the first that knows a host; a group is imported for names alone."""
    found = _hosts(tuple([one for one in formats if not isinstance(one, FormatGroup)]))
    if not host.rpartition(".")[2].isalpha() or "." not in host or by_suffix(host, found) is not None:
        return found
    return _hosts(tuple(formats))


@lru_cache(maxsize=16)
def _hosts(formats: tuple[WireFormat, ...]) -> dict[str, str]:
    """Suffix of a host -> provider, of all formats; the first that names a host wins."""
    found: dict[str, str] = {}
    for wire_format in formats:
        for host, provider in getattr(wire_format, "hosts", ()):
            found.setdefault(host, provider)
    return found


def _looks_like_a_model_call(request: Request) -> bool:
    """MCP and A2A (JSON-RPC), telemetry and the like are none, whatever they carry."""
    body = request.body
    if request.method != "POST" or body is None or "jsonrpc" in body or _NO_MODEL_CALL.search(request.path):
        return False
    if not any(isinstance(body.get(key), str | list | dict) and body[key] for key in _PROMPT_KEYS):
        return False
    if any(as_str(body.get(key)) for key in _MODEL_KEYS) or _MODEL_PATH.search(request.path):
        return True
    return any(as_str(as_dict(item).get("role")) for item in as_list(body.get("messages")))


_PENDING = frozenset({"queued", "in_progress"})
_LISTED = frozenset({"batch", "realtime", "unknown"})


@dataclass(frozen=True, slots=True)
class ReadExchange:
    """An exchange that a format knows.

    Attributes:
        reading: What it read.
        ttft: Time to the chunk in which the event ended that first carried generated content, s since the start;
            ``None`` where the answer was not streamed or carried none.
        classified: What the request is; it gives the prompt.
    """

    reading: Reading
    ttft: float | None
    classified: Classified


def read(exchange: Exchange, formats: Sequence[WireFormat]) -> ReadExchange | Unattributed | None:
    """Read one exchange.

    Args:
        exchange: The exchange.
        formats: The formats; the first that knows the request reads it.

    Returns:
        The reading of a model call, whether it succeeded or not, or of what completes or costs like one; traffic that looks
        like a model call and that no format reads; ``None`` for everything else. Never raises, whatever the server sent: a
        format that fails makes its exchange unattributed, with the failure as the reason.
    """
    request = request_of(exchange)
    first: Classified | None = None
    for found in matches(request, formats):
        if found.problem or found.format is None or found.endpoint is None:
            return _unattributed(found, found.problem)
        first = first or found
        if not found.endpoint.is_read:
            if found.kind in _LISTED:
                return _unattributed(found, found.kind)
            break
        try:
            reading = _read_answer(found.format, found, exchange)
        except Exception as error:
            return _unattributed(found, f"{found.api} failed: {type(error).__name__}")
        if reading is None:
            continue
        if found.kind != "call" and reading.operation != "other":
            reading = replace(reading, operation="other", problems=())
        content_at = reading.first_content_at if reading.stream else None
        arrived = None if content_at is None else arrival(exchange, content_at)
        return ReadExchange(reading, None if arrived is None else arrived - exchange.started, found)
    else:
        unknown = classify(request, ())
        if unknown.kind in _LISTED:
            return _unattributed(unknown, unknown.kind)
    if first is not None and first.kind == "paid":
        # its answer tells nothing (an agent's run), but it costs money
        return ReadExchange(Reading(first.api, first.provider, "other"), None, first)
    return None


def _read_answer(wire_format: WireFormat, found: Classified, exchange: Exchange) -> Reading | None:
    """Read an answer; a format that reads in a way of its own may leave the provider empty."""
    if type(wire_format).read is WireFormat.read:
        return wire_format.read_answer(found.request, exchange, found.provider)
    reading = wire_format.read(found.request, exchange)
    return reading if reading is None or reading.provider else replace(reading, provider=found.provider)


def _unattributed(found: Classified, reason: str) -> Unattributed:
    return Unattributed(host=found.request.host, path=found.request.url.path, reason=reason)


def polled(exchanges: Iterable[Exchange], formats: Sequence[WireFormat]) -> dict[str, Reading]:
    """The answers that polls brought: response id -> the last reading that has usage."""
    found: dict[str, Reading] = {}
    for exchange in exchanges:
        if exchange.method != "GET":
            continue
        path = split_url(exchange.url).path.rstrip("/")
        if any(endpoint.reads for _, endpoint in _candidates("GET", path, formats)):
            seen = read(exchange, formats)
            if isinstance(seen, ReadExchange) and seen.reading.usage != Usage():
                found[seen.reading.id] = seen.reading
    return found


def settled(reading: Reading, polls: Mapping[str, Reading]) -> Reading:
    """A reading with what a later poll brought (see :func:`polled`), where it was still pending."""
    is_open = reading.finish_reason in _PENDING or (reading.operation == "other" and reading.usage == Usage())
    later = polls.get(reading.id) if is_open and reading.id else None
    if later is None:
        return reading
    return replace(
        reading,
        model=later.model or reading.model,
        usage=later.usage,
        billed=later.billed,
        tool_calls=later.tool_calls,
        server_tool_calls=later.server_tool_calls,
        finish_reason=later.finish_reason,
        output_text=later.output_text,
        error=later.error,
    )
