"""Responses that are given locally to aiohttp."""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectionTimeoutError",
    "read_timeout": "SocketTimeoutError",
    "protocol_error": "ServerDisconnectedError",
    "read_error": "ClientOSError",
}
_LIMIT = 2**16
"""aiohttp's own size of a reader's buffer."""


async def play(
    module: ModuleType, session: Any, method: str, url: str, answer: LocalAnswer, options: dict[str, Any]
) -> Any:
    """The response of ``aiohttp`` to a request.

    Args:
        module: ``aiohttp``.
        session: The session that sends it.
        method: HTTP method.
        url: Its URL.
        answer: The answer.
        options: What the session was asked with; ``raise_for_status`` is heeded.

    Raises:
        Exception: The module's own error where the answer is none, or where its status is to be raised.
    """
    if not answer.status:
        raise getattr(module, _FAULTS.get(answer.fault or "connect_error", "ClientConnectionError"))(answer.says)
    response = _response(module, session, method, url, answer)
    wanted = options.get("raise_for_status")
    wanted = getattr(session, "_raise_for_status", False) if wanted is None else wanted
    if callable(wanted):
        await wanted(response)
    elif wanted:
        response.raise_for_status()
    return response


def _response(module: ModuleType, session: Any, method: str, url: str, answer: LocalAnswer) -> Any:
    import asyncio

    from aiohttp.helpers import TimerNoop
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    headers = CIMultiDict(answer.plain_headers)
    asked = URL(url)
    given = {
        "writer": None,
        "continue100": None,
        "timer": TimerNoop(),
        "request_info": module.RequestInfo(asked, method, CIMultiDictProxy(CIMultiDict()), asked),
        "traces": [],
        "loop": asyncio.get_running_loop(),
        "session": session,
        "stream_writer": SimpleNamespace(output_size=0),
    }
    # Which of these there are differs from version to version.
    known = signature(module.ClientResponse.__init__).parameters
    response = module.ClientResponse(method, asked, **{name: value for name, value in given.items() if name in known})
    response.version = module.HttpVersion11
    response.status = answer.status
    response.reason = answer.reason
    response._headers = CIMultiDictProxy(headers)
    response._raw_headers = tuple((name.encode(), value.encode()) for name, value in headers.items())
    response.content = _reader_class(module)(answer)
    return response


@lru_cache(maxsize=2)
def _reader_class(module: ModuleType) -> Callable[[LocalAnswer], Any]:
    """The class of a body that comes piece by piece, each when it is due: one of aiohttp's."""
    import asyncio

    from aiohttp.base_protocol import BaseProtocol

    class Local(module.StreamReader):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, answer: LocalAnswer) -> None:
            loop = asyncio.get_running_loop()
            super().__init__(BaseProtocol(loop), _LIMIT, loop=loop)
            self._answer = answer
            self._next = 0
            self._end_if_all()

        async def _wait(self, func_name: str) -> None:
            """Whoever reads waits here for more: the next piece comes."""
            answer, number = self._answer, self._next
            if number >= len(answer.chunks):
                return
            if answer.before_chunk_async is not None:
                await answer.before_chunk_async(number)
            self._next += 1
            self.feed_data(answer.chunks[number])
            self._end_if_all()

        def _end_if_all(self) -> None:
            if self._next < len(self._answer.chunks):
                return
            fault = self._answer.fault
            if fault is None:
                self.feed_eof()
            else:
                name = "SocketTimeoutError" if fault.endswith("timeout") else "ClientPayloadError"
                self.set_exception(getattr(module, name)(self._answer.says))

    return Local
