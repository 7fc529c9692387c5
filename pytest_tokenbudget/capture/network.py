"""Which request really goes to a network: below all clients, whatever writes to a socket says so.

A client's transport may be of any class, and a tool for tests may stand in the place of any of them. So what decides
is not who answers, but whether bytes were written to a socket for this request.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.in_flight import current_request
from pytest_tokenbudget.capture.patching import Watched


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``socket`` and ``ssl`` that write."""
    del client
    if module.__name__ == "ssl":
        return (Watched(module.SSLSocket, "send", _noting),)
    # asyncio writes with these too; where a loop does not (uvloop, Windows), the client's own connection shows it.
    return tuple(
        Watched(module.socket, name, _noting) for name in ("send", "sendall", "sendmsg") if name in dir(module.socket)
    )


def _noting(send: Callable[..., Any]) -> Callable[..., Any]:
    def noted(self: Any, data: Any, *args: Any, **options: Any) -> Any:
        request = current_request()
        # An event loop wakes itself up with one byte.
        if request is not None and len(data) > 1:
            request.carried = True
        return send(self, data, *args, **options)

    return noted
