"""This module alone says what a request is, for capture, ``stop_at``, replay, scripts and the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pytest_tokenbudget.providers.body import header
from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str
from pytest_tokenbudget.providers.names import by_suffix, is_model_host, provider_of
from pytest_tokenbudget.providers.request import Request, split_url
from pytest_tokenbudget.providers.wire_format import Endpoint, FormatGroup, Kind, WireFormat
from pytest_tokenbudget.records.exchange import Headers
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
            self._prompt = (self._read_prompt(),)
        return self._prompt[0]

    def _read_prompt(self) -> Prompt | None:
        if self.format is None:
            return None
        try:
            return self.format.prompt(self.request)
        except Exception:
            # A body may be nested too deeply, and a project's format may fail; without a prompt there is no count.
            return None


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
    kinds = possible_kinds(method, url, formats)
    content_type = header(response_headers, "content-type").lower()
    if kinds & {"call", "paid"} and not content_type.startswith(_MEDIA):
        return None
    if kinds or (method.upper() == "POST" and (not content_type or any(word in content_type for word in _TEXTS))):
        return UNKNOWN_BODY
    return 0


def possible_kinds(method: str, url: str, formats: Sequence[WireFormat]) -> set[Kind]:
    """Tell what a request may be, by method and path alone."""
    path = split_url(url).path.rstrip("/")
    return {endpoint.kind for _, endpoint in _candidates(method.upper(), path, formats)}


def may_be_polled(method: str, url: str, formats: Sequence[WireFormat]) -> bool:
    """Tell by method and path whether a request may ask for the answer to an earlier one."""
    path = split_url(url).path.rstrip("/")
    return any(endpoint.reads for _, endpoint in _candidates(method.upper(), path, formats))


def _candidates(method: str, path: str, formats: Sequence[WireFormat]) -> Iterator[tuple[WireFormat, Endpoint]]:
    """The endpoints with such a method and path; a group is imported when nothing before it was what was looked for."""
    for wire_format in formats:
        group = wire_format.formats if isinstance(wire_format, FormatGroup) else (wire_format,)
        yield from _endpoints(method, path, group)


@lru_cache(maxsize=1024)
def _endpoints(method: str, path: str, formats: tuple[WireFormat, ...]) -> tuple[tuple[WireFormat, Endpoint], ...]:
    """The endpoints with such a method and path."""
    return tuple(
        (wire_format, endpoint)
        for wire_format in formats
        for endpoint in _endpoints_of(wire_format)
        if (not endpoint.methods or method in endpoint.methods) and re.search(endpoint.path, path) is not None
    )


def _endpoints_of(wire_format: WireFormat) -> tuple[Endpoint, ...]:
    """A format's endpoints; one that was written for version 0.1 of this package has ``recognises`` in their place."""
    endpoints: tuple[Endpoint, ...] | None = getattr(wire_format, "endpoints", None)
    if endpoints is None:
        return (Endpoint("call", "", wire_format.recognises, methods=()),)  # type: ignore[attr-defined]  # as said
    return endpoints


def _api_of(wire_format: WireFormat, request: Request) -> str:
    api_of = getattr(wire_format, "api_of", None)
    return str(wire_format.api if api_of is None else api_of(request))


def _hosts_of(host: str, formats: Sequence[WireFormat]) -> dict[str, str]:
    """Suffix of a host -> provider, of the formats up to the first that knows a host; a group is imported for names alone."""
    found = _hosts(tuple(one for one in formats if not isinstance(one, FormatGroup)))
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
