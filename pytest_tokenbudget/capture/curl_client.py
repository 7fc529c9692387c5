"""curl_cffi: its connections are opened in C, where Python sees no socket, so its requests are noticed and refused here."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.network import opened_by
from pytest_tokenbudget.capture.patching import Watched


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of the sessions of ``curl_cffi.requests.session`` that send."""
    del client
    return (
        Watched(module.Session, "request", _noticed),
        Watched(module.AsyncSession, "request", _noticed),
        Watched(module.Session, "ws_connect", _noticed_socket),
        Watched(module.AsyncSession, "ws_connect", _noticed_socket),
    )


def _noticed(original: Callable[..., Any]) -> Callable[..., Any]:
    def request(self: Any, method: Any, url: Any, *args: Any, **options: Any) -> Any:
        _notice(self, url)
        return original(self, method, url, *args, **options)

    return request


def _noticed_socket(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, url: Any, *args: Any, **options: Any) -> Any:
        _notice(self, url)
        return original(self, url, *args, **options)

    return connect


def _notice(session: Any, url: Any) -> None:
    """Tell the recorders of the connection that a request needs.

    Raises:
        ConnectionNotAllowed: If the run may not reach its host.
    """
    parts = urlsplit(str(url))
    if not parts.hostname:
        parts = urlsplit(str(getattr(session, "base_url", None) or ""))
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme in ("http", "ws") else 443)
    for recorder in ACTIVE.recorders if host else ():
        recorder.connections.check(host, port, opened_by)
        if recorder.recording:
            recorder.connections.note(host, port, opened_by)
