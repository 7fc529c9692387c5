"""What must not get into a cassette: headers, query keys, the project's own patterns, and whatever looks like a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pytest_tokenbudget.errors import CassetteError, SettingsError
from pytest_tokenbudget.records.exchange import Headers

KEPT_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})
"""Response headers that a client acts on; all others are dropped, and all request headers are."""

KEPT_QUERY = frozenset({"alt", "api-version", "stream"})
REDACTED = "[redacted]"

_LOOKS_LIKE_A_KEY = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"|\bAIza[0-9A-Za-z_-]{30,}"  # Google
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}"
    r"|\bgsk_[A-Za-z0-9]{20,}|\bhf_[A-Za-z0-9]{30,}|\bxai-[A-Za-z0-9]{20,}|\bpplx-[A-Za-z0-9]{20,}"
    r"|\bA(?:KIA|SIA)[0-9A-Z]{16}\b"  # Amazon
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bBearer\s+[A-Za-z0-9._~+/-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a JWT
)


def compile_patterns(lines: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """The project's own patterns (``tokenbudget_redact``).

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


def kept_headers(headers: Headers) -> Headers:
    """The response headers that are kept."""
    return tuple((name.lower(), value) for name, value in headers if name.lower() in KEPT_HEADERS)


def clean_url(url: str) -> str:
    """A URL without user, password and query keys."""
    parts = urlsplit(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name in KEPT_QUERY])
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def redacted(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """The text of a cassette without what the project's patterns match."""
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    return text


def refuse_keys(text: str, name: str) -> None:
    """Refuse to write what looks like a credential.

    Raises:
        CassetteError: If anything does; it names the line and the beginning of the match, never all of it.
    """
    match = _LOOKS_LIKE_A_KEY.search(text)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        raise CassetteError(
            f"{name}: not written: line {line} holds what looks like a key ({match[0][:8]}...)",
            remedy="tokenbudget_redact = a regular expression that matches it",
        )
