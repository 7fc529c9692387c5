"""Responses that are given locally to requests and to botocore, which both read from a response of urllib3."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import cache
from typing import Any

from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer

_REQUESTS_FAULTS: dict[Fault, str] = {"connect_timeout": "ConnectTimeout", "read_timeout": "ReadTimeout"}
_BOTOCORE_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectTimeoutError",
    "read_timeout": "ReadTimeoutError",
    "connect_error": "EndpointConnectionError",
}


def play_requests(module: Any, request: Any, answer: LocalAnswer, options: dict[str, Any], *, streamed: bool) -> Any:
    """The response of ``requests`` to one of its prepared requests, its hooks run, its body read unless streamed.

    Raises:
        Exception: The module's own error where the answer is none.
    """
    if not answer.status:
        name = _REQUESTS_FAULTS.get(answer.fault or "connect_error", "ConnectionError")
        raise getattr(module.exceptions, name)(answer.says, request=request)
    response = module.adapters.HTTPAdapter().build_response(request, raw_response(answer, request.url))
    response = module.hooks.dispatch_hook("response", request.hooks, response, **options)
    if not streamed:
        response.content  # noqa: B018  # reads it, as the session does
    return response


def play_botocore(request: Any, answer: LocalAnswer, *, streamed: bool) -> Any:
    """The response of botocore's HTTP session.

    Raises:
        Exception: botocore's own error where the answer is none.
    """
    from botocore import exceptions
    from botocore.awsrequest import AWSResponse

    if not answer.status:
        name = _BOTOCORE_FAULTS.get(answer.fault or "connect_error", "ConnectionClosedError")
        raise getattr(exceptions, name)(endpoint_url=request.url, request=request, error=answer.says)
    raw = raw_response(answer, request.url)
    response = AWSResponse(request.url, raw.status, raw.headers, raw)
    if not streamed:
        response.content  # noqa: B018  # the same
    return response


def raw_response(answer: LocalAnswer, url: str) -> Any:
    """A response of urllib3 whose body comes piece by piece, each when it is due."""
    return _local_class()(answer, url)


@cache
def _local_class() -> Callable[[LocalAnswer, str], Any]:
    """The class, made when it is first needed: it is one of urllib3's, which is not imported before."""
    import io

    from urllib3 import HTTPHeaderDict
    from urllib3.exceptions import ProtocolError, ReadTimeoutError
    from urllib3.response import HTTPResponse

    class Local(HTTPResponse):
        def __init__(self, answer: LocalAnswer, url: str) -> None:
            super().__init__(
                body=io.BytesIO(),
                headers=HTTPHeaderDict(answer.plain_headers),
                status=answer.status,
                reason=answer.reason,
                preload_content=False,
                request_url=url,
            )
            self._pieces = self._played(answer, url)
            self._rest = b""

        def _played(self, answer: LocalAnswer, url: str) -> Iterator[bytes]:
            for number, chunk in enumerate(answer.chunks):
                if answer.before_chunk is not None:
                    answer.before_chunk(number)
                yield chunk
            if answer.fault is None:
                return
            if answer.fault.endswith("timeout"):
                raise ReadTimeoutError(None, url, answer.says)  # type: ignore[arg-type]  # there is no pool
            raise ProtocolError(answer.says)

        def _more(self) -> bytes:
            rest, self._rest = self._rest, b""
            return rest or next(self._pieces, b"")

        def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes, None, None]:
            while piece := self.read1(amt):
                yield piece

        read_chunked = stream

        def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
            piece = self._more()
            if amt is not None and amt >= 0:
                piece, self._rest = piece[:amt], piece[amt:]
            if not piece:
                self.close()
            return piece

        def read(
            self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False
        ) -> bytes:
            data = b""
            while amt is None or amt < 0 or len(data) < amt:
                piece = self.read1(None if amt is None or amt < 0 else amt - len(data))
                if not piece:
                    break
                data += piece
            return data

    return Local
