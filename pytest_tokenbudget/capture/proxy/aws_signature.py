"""Signs requests to AWS anew: their signature holds host and path, and the proxy has others than the upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_tokenbudget.errors import SettingsError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.proxy.http1 import Pairs
    from pytest_tokenbudget.capture.proxy.loopback_server import ServerRequest
    from pytest_tokenbudget.capture.proxy.upstreams import Upstream

SIGNED = "AWS4-HMAC-SHA256"
"""The beginning of a signed request's ``Authorization`` (AWS Signature Version 4, read 2026-11-28)."""


def signed(request: ServerRequest, upstream: Upstream, target: str, headers: Pairs) -> Pairs:
    """The headers with a signature for the upstream, by the credentials that botocore finds here; or our error."""
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.session import get_session
    except ImportError:
        raise _error("botocore is not installed") from None
    credentials = get_session().get_credentials()
    if credentials is None:
        raise _error("botocore finds no credentials here")
    # Credential=KEY/20261128/us-east-1/bedrock/aws4_request
    scope = request.head.get("authorization").partition("Credential=")[2].partition(",")[0].split("/")
    region, service = (scope[2], scope[3]) if len(scope) >= 4 else ("us-east-1", "bedrock")
    old = ("authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "host")
    kept = [(name, value) for name, value in headers if name.lower() not in old]
    aws = AWSRequest(request.method, f"{upstream.origin}{target}", dict(kept), request.body)
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(aws)
    return [("host", upstream.host_header), *((str(name), str(value)) for name, value in aws.headers.items())]


def _error(problem: str) -> SettingsError:
    return SettingsError(
        f"llm_proxy: a request to AWS cannot be signed for its own host: {problem}",
        remedy="pip install botocore, or use a key of Amazon Bedrock (AWS_BEARER_TOKEN_BEDROCK)",
    )
