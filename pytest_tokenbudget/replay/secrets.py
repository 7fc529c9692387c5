"""What may not be in a cassette: credentials are left out, patterns are redacted, and what still looks like a key is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pytest_tokenbudget.errors import CassetteError, SettingsError
from pytest_tokenbudget.records.exchange import Headers

REDACTED = "[redacted]"

KEPT_QUERY = ("alt", "api-version", "stream")
KEPT_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
KEPT_HEADER_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "x-amzn-bedrock-")
"""Response headers that clients act on. All others, and all request headers, are left out."""

_START = r"(?<![A-Za-z0-9_-])"
KEYS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        # OpenAI, Anthropic, OpenRouter, DeepSeek and others; a long name in words with dashes has no digits.
        (
            "sk-...",
            _START + r"sk-(?![xX]{6})(?:(?:[a-z]+-)*[A-Za-z0-9_]{20,}|(?=(?:[A-Za-z_-]*[0-9]){2})[A-Za-z0-9_-]{20,})",
        ),
        ("Google", _START + r"(?:AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,})"),
        ("GitHub", _START + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("GitLab", _START + r"glpat-[A-Za-z0-9_-]{20,}"),
        ("AWS", _START + r"(?:AKIA|ASIA|AROA)(?![0-9A-Z]{0,9}EXAMPLE)[0-9A-Z]{16}(?![0-9A-Za-z])"),
        ("AWS", r"(?i:secret_?access_?key)\W{1,6}(?=[A-Za-z/+]*[0-9])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
        ("Amazon Bedrock", _START + r"ABSK[A-Za-z0-9+/]{80,}"),
        ("Slack", _START + r"(?:xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,})"),
        ("Slack", r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}"),
        ("Groq, xAI, Hugging Face or Replicate", _START + r"(?:gsk_|xai-|hf_|r8_)[A-Za-z0-9]{30,}"),
        ("Perplexity or NVIDIA", _START + r"(?:pplx-|nvapi-)[A-Za-z0-9_-]{30,}"),
        ("Stripe", _START + r"[rs]k_live_[A-Za-z0-9]{20,}"),
        ("Twilio or SendGrid", _START + r"(?:SK[0-9a-f]{32}(?![0-9a-f])|SG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{30,})"),
        ("npm or PyPI", _START + r"(?:npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{40,})"),
        ("key", r"(?i:api[-_ ]?key|client[-_]secret)\W{1,6}(?=(?:[A-Za-z_-]*[0-9]){4})[A-Za-z0-9_-]{24,}"),
        ("bearer token", r"(?i:\bbearer)\s+(?=[A-Za-z0-9._~+/-]*[0-9])[A-Za-z0-9._~+/-]{20,}"),
        ("JSON web token", _START + r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    )
)


def kept_headers(headers: Headers) -> Headers:
    """The response headers that a cassette keeps."""
    return tuple(
        (name.lower(), value)
        for name, value in headers
        if name.lower() in KEPT_HEADERS or name.lower().startswith(KEPT_HEADER_PREFIXES)
    )


def bare_url(url: str) -> str:
    """A URL without user and fragment, and with those query keys only that say which API is called."""
    try:
        parts = urlsplit(url)
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name in KEPT_QUERY])
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
    except ValueError:
        return url.partition("?")[0].partition("#")[0]


def compile_patterns(lines: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """A project's own patterns (``tokenbudget_redact``).

    Raises:
        SettingsError: If one is no regular expression.
    """
    patterns = []
    for line in lines:
        try:
            patterns.append(re.compile(line))
        except re.error as error:
            raise SettingsError(
                f"tokenbudget_redact: {line!r} is no regular expression: {error}",
                remedy=r"tokenbudget_redact = acct-\d+",
            ) from None
    return tuple(patterns)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces what matches a project's patterns."""

    patterns: tuple[re.Pattern[str], ...] = ()

    def text(self, text: str) -> str:
        """A text, redacted."""
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value, redacted in each of its strings."""
        if not self.patterns:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        return value

    def chunk(self, chunk: bytes) -> bytes:
        """A chunk of an answer, redacted; bytes that are no text stay."""
        if not self.patterns:
            return chunk
        try:
            return self.text(chunk.decode("utf-8")).encode("utf-8")
        except UnicodeDecodeError:
            return chunk

    def left(self, text: str) -> str | None:
        """The pattern that matches in a text, ``None`` for none."""
        return next((pattern.pattern for pattern in self.patterns if pattern.search(text)), None)

    def spread(self, said: str, wire: str) -> str | None:
        """The pattern that matches what a model said, but not in one piece on the wire; ``None`` for none."""
        for pattern in self.patterns:
            for match in pattern.finditer(said):
                if not any(json.dumps(match[0], ensure_ascii=way)[1:-1] in wire for way in (False, True)):
                    return pattern.pattern
        return None


def refuse_keys(texts: Iterable[tuple[str, str]]) -> None:
    """Refuse texts in which something looks like a key.

    Args:
        texts: Where each stands, in words, and the text.

    Raises:
        CassetteError: If one does; the message names the place and shows only the key's first characters.
    """
    for where, text in texts:
        for name, pattern in KEYS:
            found = pattern.search(text)
            if found is not None:
                raise CassetteError(
                    f"the cassette is not written: {where} holds what looks like a key ({name}: {found[0][:8]}...)",
                    remedy="keep it out of prompts, or add a pattern to tokenbudget_redact that matches it",
                )
