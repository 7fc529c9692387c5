"""What may not stand in a cassette, and what may although it looks odd."""

from __future__ import annotations

import base64
import hashlib
import random
import string

import pytest

from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.replay.secrets import bare_url, kept_headers, refuse_keys

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def _by_chance(length, alphabet=LETTERS, seed=1):
    return "".join(random.Random(seed).choices(alphabet, k=length))


# Made up here, and put together so that nobody's scanner takes them for real ones.
KEYS = {
    "openai": "sk-" + _by_chance(48),
    "openai, of a project": "sk-proj-" + _by_chance(8) + "-" + _by_chance(70),
    "anthropic": "sk-ant-" + "api03-" + _by_chance(5) + "-" + _by_chance(80) + "-AA",
    "openrouter": "sk-or-v1-" + _by_chance(64, HEX),
    "google": "AIza" + _by_chance(35),
    "google, of a user": "ya29." + _by_chance(60),
    "aws": "AKIA" + _by_chance(16, string.ascii_uppercase),
    "aws, secret": 'aws_secret_access_key = "' + _by_chance(40),
    "bedrock": "ABSK" + _by_chance(120),
    "github": "ghp_" + _by_chance(36),
    "gitlab": "glpat-" + _by_chance(20),
    "slack": "xoxb-" + _by_chance(12, string.digits) + "-" + _by_chance(24),
    "slack, a hook": "https://hooks.slack.com/services/T0000/B0000/" + _by_chance(24),
    "stripe": "sk_live_" + _by_chance(24),
    "npm": "npm_" + _by_chance(36),
    "azure": "api-key: " + _by_chance(32, HEX),
    "json web token": "eyJ" + _by_chance(30) + ".eyJ" + _by_chance(60) + "." + _by_chance(43),
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "bearer": "Authorization: Bearer " + _by_chance(40),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("text", ["{}", '{{"value":"{}"}}', "use key={} for it"])
def test_keys_are_refused(key, text):
    """Wherever they stand; the message shows no more than their beginning."""
    with pytest.raises(CassetteError, match="looks like a key") as caught:
        refuse_keys([("the answer of call 1", text.format(key))])
    assert key[9:] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(random.Random(2).randbytes(200_000)).decode(),
        base64.urlsafe_b64encode(random.Random(3).randbytes(200_000)).decode(),
        hashlib.sha256(b"x").hexdigest(),
        "call_" + _by_chance(24),
        "resp_" + _by_chance(48, HEX),
        "a task-oriented, risk-averse sk-learn-contrib-and-something-else-with-a-long-name",
        "set OPENAI_API_KEY=sk-... or api_key=YOUR_API_KEY_GOES_HERE_PLEASE",
        "sk-" + "x" * 40,
        "AKIAIOSFODNN7" + "EXAMPLE",
        "Authorization: Bearer $OPENAI_API_KEY",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_harmless_texts_are_kept(text):
    """Images, digests, ids, words with dashes and the placeholders of documentation."""
    refuse_keys([("the request of call 1", text)])


def test_only_what_clients_act_on_is_kept_of_headers_and_urls():
    """No user, no key, no signature, no organization."""
    assert bare_url("https://u:p@h.example/v1/x?key=AIza&api-version=1&X-Amz-Signature=1#f") == (
        "https://h.example/v1/x?api-version=1"
    )
    headers = (("Set-Cookie", "a"), ("openai-organization", "org-1"), ("Content-Type", "text/plain"))
    assert kept_headers(headers) == (("content-type", "text/plain"),)
