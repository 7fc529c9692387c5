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
    sessions = (module.Session, module.AsyncSession)
    return (
        *(Watched(kind, "request", _requesting) for kind in sessions),
        *(Watched(kind, "ws_connect", _connecting) for kind in sessions),
    )


def _requesting(original: Callable[..., Any], session: Any, method: Any, url: Any, *args: Any, **options: Any) -> Any:
    _notice(session, url)
    return original(session, method, url, *args, **options)


def _connecting(original: Callable[..., Any], session: Any, url: Any, *args: Any, **options: Any) -> Any:
    _notice(session, url)
    return original(session, url, *args, **options)


def _notice(session: Any, url: Any) -> None:
    """Tell the recorders of the connection that a request needs; one of them may refuse it."""
    parts = urlsplit(str(url))
    if not parts.hostname:
        parts = urlsplit(str(getattr(session, "base_url", None) or ""))
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme in ("http", "ws") else 443)
    for recorder in ACTIVE.recorders if host else ():
        recorder.connections.check(host, port, opened_by)
        if recorder.recording:
            recorder.connections.note(host, port, opened_by)
