"""Sixty shapes of secrets, and sixty texts that look alike and are none.

All values are made here by chance. Prefixes stand apart from what follows, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string

_CHANCE = random.Random(20260301)
ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
DIGITS = string.digits
BASE64 = ALNUM + "+/"
URL64 = ALNUM + "-_"


def made(length: int, alphabet: str = ALNUM) -> str:
    """Characters by chance, the first and the last of them letters or digits."""
    ends = [one for one in alphabet if one.isalnum()]
    return _CHANCE.choice(ends) + "".join(_CHANCE.choices(alphabet, k=length - 2)) + _CHANCE.choice(ends)


def _b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _json64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _block(kind: str, lines: int = 12) -> str:
    body = "\n".join(made(64, BASE64) for _ in range(lines))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def _json_web_token() -> str:
    payload = {"sub": made(12), "email": "jane@" + "corp.test", "exp": 1793000000}
    return f"{_json64({'alg': 'RS256', 'typ': 'JWT'})}.{_json64(payload)}.{made(86, URL64)}"


SECRETS: dict[str, str] = {
    "OpenAI, of a user": "sk-" + made(48),
    "OpenAI, typed by hand": "sk-" + "proj-AbCdEfGhIjKlMnOpQrStUvWx1234567890",
    "OpenAI, in sequence": "sk-" + "abcdefghijklmnopqrstuvwx",
    "OpenAI, of a project": "sk-" + "proj-" + made(74, URL64) + "T3Blbk" + "FJ" + made(74, URL64),
    "OpenAI, of a service account": "sk-" + "svcacct-" + made(90, URL64),
    "OpenAI, of an administrator": "sk-" + "admin-" + made(60, URL64),
    "Anthropic": "sk-" + "ant-" + "api03-" + made(92, URL64) + "AA",
    "Anthropic, of an administrator": "sk-" + "ant-" + "admin01-" + made(92, URL64) + "AA",
    "OpenRouter": "sk-" + "or-v1-" + made(64, HEX),
    "DeepSeek": "sk-" + made(32, HEX),
    "Langfuse": "sk-" + "lf-" + "-".join(made(size, HEX) for size in (8, 4, 4, 4, 12)),
    "Google API": "AI" + "za" + made(35, URL64),
    "Google, of a session": "ya" + "29." + made(120, URL64),
    "Google, to refresh": "1/" + "/0" + made(60, URL64),
    "Google, of an OAuth client": "GOC" + "SPX-" + made(28, URL64),
    "Google, of a service account": json.dumps({"type": "service_account", "private_key": _block("PRIVATE " + "KEY")}),
    "AWS, id": "AK" + "IA" + made(16, UPPER),
    "AWS, id of a session": "AS" + "IA" + made(16, UPPER),
    "AWS": "aws_secret_access_key = " + made(40, BASE64),
    "Amazon Bedrock": "AB" + "SK" + made(128, BASE64),
    "Azure Storage": "DefaultEndpointsProtocol=https;AccountName=prod;Account" + "Key=" + made(86, BASE64) + "==",
    "Azure OpenAI": "api-key: " + made(32, HEX),
    "Azure, of an application": made(3) + "8Q" + "~" + made(34),
    "GitHub, of a user": "gh" + "p_" + made(36),
    "GitHub, of a server": "gh" + "s_" + made(36),
    "GitHub, fine-grained": "github_" + "pat_" + made(22) + "_" + made(59),
    "GitLab": "gl" + "pat-" + made(20, URL64),
    "Slack, of a bot": "xo" + "xb-" + made(12, DIGITS) + "-" + made(13, DIGITS) + "-" + made(24),
    "Slack, of an app": "xa" + "pp-1-" + made(11, UPPER) + "-" + made(13, DIGITS) + "-" + made(64, HEX),
    "Slack, a hook": "https://hooks.slack"
    + ".com/services/"
    + "T"
    + made(8, UPPER)
    + "/B"
    + made(10, UPPER)
    + "/"
    + made(24),
    "Discord, of a bot": _b64("7" + made(17, DIGITS)) + "." + made(6) + "." + made(38, URL64),
    "Discord, a hook": "https://discord" + ".com/api/webhooks/" + made(18, DIGITS) + "/" + made(68, URL64),
    "Telegram": made(10, DIGITS) + ":" + "AA" + made(33, URL64),
    "Groq": "gs" + "k_" + made(52),
    "xAI": "xa" + "i-" + made(80),
    "Hugging Face": "h" + "f_" + made(34, string.ascii_letters),
    "Replicate": "r" + "8_" + made(37),
    "Perplexity": "pp" + "lx-" + made(48),
    "NVIDIA": "nv" + "api-" + made(64, URL64),
    "LangSmith": "lsv2_" + "pt_" + made(32, HEX) + "_" + made(10, HEX),
    "Pinecone": "pc" + "sk_" + made(6) + "_" + made(58),
    "Voyage": "p" + "a-" + made(43, URL64),
    "Tavily": "tv" + "ly-" + "dev-" + made(32),
    "Cerebras": "cs" + "k-" + made(48, LOWER),
    "Fireworks": "f" + "w_" + made(24),
    "Databricks": "da" + "pi" + made(32, HEX),
    "DigitalOcean": "do" + "p_v1_" + made(64, HEX),
    "Shopify": "sh" + "pat_" + made(32, HEX),
    "Stripe, live": "sk" + "_live_" + made(99),
    "Stripe, test": "sk" + "_test_" + made(24),
    "Stripe, restricted": "rk" + "_live_" + made(24),
    "Twilio": "S" + "K" + made(32, HEX),
    "SendGrid": "S" + "G." + made(22, URL64) + "." + made(43, URL64),
    "Mailgun": "key" + "-" + made(32, HEX),
    "npm": "np" + "m_" + made(36),
    "PyPI": "py" + "pi-AgEI" + "cHlwaS5vcmc" + made(140, URL64),
    "Docker Hub": "dck" + "r_pat_" + made(27, URL64),
    "HashiCorp Vault": "hv" + "s." + made(90, URL64),
    "Grafana": "gl" + "sa_" + made(32) + "_" + made(8, HEX),
    "Sentry": "sntr" + "ys_" + made(140, BASE64),
    "Notion": "nt" + "n_" + made(46),
    "Linear": "lin_" + "api_" + made(40),
    "age": "AGE-SECRET-" + "KEY-1" + made(58, UPPER),
    "JSON web token": _json_web_token(),
    "bearer": "Authorization: Bearer " + made(40),
    "basic": "Authorization: Basic " + _b64("billing-service:" + made(18)),
    "URL with a password": "postgresql://billing:" + made(16) + "@db.internal.corp.test:5432/billing",
    "key of a name": '{"openai_api_key": "' + made(40, LOWER) + '"}',
    "token of a name": "export GATEWAY_ACCESS_TOKEN=" + made(36),
    "password of a name": "db_password: '" + made(20, ALNUM + "!#%+-") + "9Q'",
    "RSA": _block("RSA PRIVATE " + "KEY"),
    "OpenSSH": _block("OPENSSH PRIVATE " + "KEY"),
    "PGP": _block("PGP PRIVATE " + "KEY BLOCK").replace("BLOCK-----\n", "BLOCK-----\nVersion: 1\n\n", 1),
}
"""Secrets by the name of their kind."""

_PROSE = "the quick brown fox books a meeting with the cat on monday morning and moves it to tuesday "

NEAR_MISSES: dict[str, str] = {
    "scikit-learn": "use sk-learn_random_forest_classifier_v2 for it",
    "package with dashes": "a task-oriented, risk-averse sk-learn-contrib-and-something-else-with-a-long-name",
    "OpenAI, in docs": "set OPENAI_API_KEY=sk-... in your shell",
    "OpenAI, crossed out": "sk-" + "x" * 48,
    "OpenAI, a placeholder": "sk-" + "your-openai-api-key-goes-here",
    "OpenAI, of a test": "sk-" + "test-dummy-key-for-unit-tests-1",
    "Anthropic, in docs": "sk-" + "ant-api03-your-key-here",
    "Google, crossed out": "AI" + "za" + "X" * 35,
    "bearer, a placeholder": "Authorization: Bearer YOUR_ACCESS_TOKEN_HERE_12",
    "bearer, a variable": "Authorization: Bearer $OPENAI_API_KEY",
    "bearer, in angle brackets": "Authorization: Bearer <your-token-from-the-dashboard>",
    "bearer, in prose": "the bearer authentication2024 scheme of our partner",
    "bearer, a template": "Bearer {{secrets.PRODUCTION_ACCESS_TOKEN_1}}",
    "basic, in prose": "Basic authentication is required for this endpoint",
    "basic, in docs": "Authorization: Basic " + _b64("username:password"),
    "basic, Aladdin": "Authorization: Basic " + _b64("Aladdin:open sesame"),
    "name of a key": "api_key: my-production-service-key-2024-v1",
    "name of a secret": "secret_name: prod-database-credentials-rotation-2024-q3",
    "key, a placeholder": "api_key=YOUR_API_KEY_GOES_HERE_PLEASE",
    "key, from the environment": 'client = OpenAI(api_key=os.environ["OPENAI_API_KEY_PRODUCTION_2"])',
    "key, of a shell": "api-key: ${AZURE_OPENAI_API_KEY_EASTUS2}",
    "key, described": '{"api_key": {"type": "string", "description": "The API key of the service"}}',
    "key of a dictionary": '{"primary_key": "customer_order_line_item_id_2"}',
    "key of a cache": "cache_key: calendar/2026-03-17/jane.doe/week-view/v3",
    "token of a page": '{"next_page_token": "' + made(40, URL64) + '"}',
    "tokens, counted": '{"max_tokens": 4096, "prompt_tokens": 123456789012345678901234}',
    "tokens, described": "token: a piece of text that the tokenizer has in its vocabulary",
    "password, hidden": "password: ************************",
    "password, asked for": "password: please-enter-your-password-here-1",
    "password, a rule": "Passwords: at least 12 characters, one digit and one of !#%+-",
    "AWS, of the docs": "AKIAIOSFODNN7" + "EXAMPLE",
    "AWS, secret of the docs": "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "ARN": "arn:aws:iam::123456789012:role/AgentExecutionRole-PRODUCTION2026",
    "JSON web token of jwt.io": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "public key": _block("PUBLIC KEY"),
    "certificate": _block("CERTIFICATE"),
    "private key with dots": "-----BEGIN RSA PRIVATE " + "KEY-----\n...\n-----END RSA PRIVATE KEY-----",
    "private key, cut": "-----BEGIN PRIVATE " + "KEY-----\nMIIEvQIBADANBg...\n-----END PRIVATE KEY-----",
    "private key, in prose": "A file that begins with -----BEGIN OPENSSH PRIVATE " + "KEY----- must not be committed.",
    "public key of ssh": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + made(43, BASE64) + " jane@laptop",
    "URL without a password": "ssh://git@github.com/owner/name.git",
    "URL of the docs": "postgresql://user:password@localhost:5432/mydb",
    "URL with a variable": "redis://default:${REDIS_PASSWORD}@cache.internal:6379/0",
    "URL with a time": "https://example.com/at/12:30@noon",
    "id of a chat": '{"id": "chatcmpl-' + made(29) + '", "system_fingerprint": "fp_' + made(10, HEX) + '"}',
    "id of a call": "call_" + made(24),
    "id of a use": "toolu_01" + made(22),
    "id of a response": "resp_" + made(48, HEX),
    "id of a request": '{"x-request-id": "req_' + made(32, HEX) + '"}',
    "id of a vector store": "vs_" + made(32, HEX) + ", file-" + made(22),
    "uuid": "session 3f2b8c1e-9a4d-4e6f-8b7a-1c2d3e4f5a6b",
    "commit": "fixed in " + hashlib.sha1(b"commit").hexdigest(),
    "digest": "sha256:" + hashlib.sha256(b"digest").hexdigest(),
    "integrity": "sha512-" + _b64(hashlib.sha512(b"lock").digest()),
    "signature of a thought": '{"type": "thinking", "signature": "' + _b64(random.Random(4).randbytes(400)) + '"}',
    "encrypted thought": '{"encrypted_content": "gAAAAAB' + made(600, URL64) + '=="}',
    "image": "data:image/png;base64," + _b64(random.Random(2).randbytes(200_000)),
    "image, URL-safe": base64.urlsafe_b64encode(random.Random(3).randbytes(200_000)).decode(),
    "times": "from 1234567890:AAPL to 0987654321:MSFT",
    "library": "from hf_hub_download_with_revision_and_cache import gsk_helper_functions_for_tests",
    "name of a variable": "npm_config_registry_with_a_very_long_name_indeed=1",
    "address of a coin": "0x" + made(40, HEX),
    "dates": "pa-2026-03-17-and-2026-03-18-and-2026-03-19-and-2026",
    "prose": _PROSE * 30,
    "key of a song": "key: C sharp minor, tempo 120, four four time signature",
    "access token, described": "access_token: obtained-from-the-identity-provider-v2-endpoint",
    "secret, a path": "client_secret: /run/secrets/calendar/client_secret_v2",
}
"""Texts that are harmless, by what they are."""
