"""The upstream servers of the proxy, and the environment variables that send an SDK to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.network import origin_of
from pytest_tokenbudget.errors import SettingsError


class Known(NamedTuple):
    """An API that has a name of its own.

    Attributes:
        url: Its base URL in the form in which its SDKs take it; ``""`` where each user has another.
        variables: The environment variables in which its SDKs look for a base URL.
    """

    url: str
    variables: tuple[str, ...]


# Each SDK's page on its base URL, and litellm's, read 2026-11-28.
KNOWN: Mapping[str, Known] = {
    "openai": Known("https://api.openai.com/v1", ("OPENAI_BASE_URL", "OPENAI_API_BASE")),
    "anthropic": Known("https://api.anthropic.com", ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")),
    "gemini": Known("https://generativelanguage.googleapis.com", ("GOOGLE_GEMINI_BASE_URL",)),
    "vertex": Known("https://aiplatform.googleapis.com", ("GOOGLE_VERTEX_BASE_URL",)),
    "azure": Known("", ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE")),
    "bedrock": Known("", ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME",)),
    "cohere": Known("https://api.cohere.com", ("CO_API_URL",)),
    "deepseek": Known("https://api.deepseek.com", ("DEEPSEEK_API_BASE",)),
    "groq": Known("https://api.groq.com", ("GROQ_BASE_URL",)),
    "mistral": Known("https://api.mistral.ai/v1", ("MISTRAL_API_BASE",)),
    "ollama": Known("http://127.0.0.1:11434", ("OLLAMA_HOST", "OLLAMA_API_BASE")),
    "openrouter": Known("https://openrouter.ai/api/v1", ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE")),
    "together": Known("https://api.together.xyz/v1", ("TOGETHER_BASE_URL",)),
    "xai": Known("https://api.x.ai/v1", ("XAI_API_BASE",)),
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server to forward to.

    Attributes:
        name: The first part of the path of what is to go to it.
        scheme: ``http`` or ``https``.
        host: Its host.
        port: Its port.
        path: The path of its base URL, without a slash at its end.
    """

    name: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Its URL without a path."""
        return origin_of(self.scheme, self.host, self.port)

    @property
    def host_header(self) -> str:
        """Give the value of the ``Host`` header."""
        return self.origin.partition("://")[2]


def upstream_of(name: str, url: str) -> Upstream:
    """An upstream from its base URL; raises ``SettingsError`` where the name or the URL is none."""
    if not name or not all(char.isalnum() or char in "-_." for char in name) or name in ("-", "stage"):
        raise SettingsError(
            f"llm_proxy: {name!r} is no name of an upstream", remedy='llm_proxy.upstream("gateway", "https://...")'
        )
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"llm_proxy: the upstream {name!r} has no URL of a server: {url!r}",
            remedy=f'llm_proxy.upstream("{name}", "https://gateway.example.com/v1")',
        )
    return Upstream(name, parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def upstreams_from(environment: Mapping[str, str] = os.environ) -> dict[str, Upstream]:
    """The known upstreams: where the environment sends an SDK already, else the provider itself."""
    found: dict[str, Upstream] = {}
    for name, known in KNOWN.items():
        for url in (
            *(environment.get(variable, "") for variable in known.variables),
            known.url or _regional(name, environment),
        ):
            if url and "://" in url:
                try:
                    found[name] = upstream_of(name, url)
                except SettingsError:
                    continue
                break
    return found


def _regional(name: str, environment: Mapping[str, str]) -> str:
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return f"https://bedrock-runtime.{region}.amazonaws.com" if name == "bedrock" and region else ""
