"""botocore's own HTTP session, which carries Amazon Bedrock's calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.local_urllib3 import play_botocore
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.raw_body import RawBody
from pytest_tokenbudget.capture.requests_session import PreparedLibrary
from pytest_tokenbudget.capture.sending import sending


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The method of ``botocore.httpsession`` to watch."""
    library = PreparedLibrary(client)
    return (Watched(module.URLLib3Session, "send", lambda send: _send(library, send)),)


def _send(library: PreparedLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, request: Any) -> Any:
        if not ACTIVE.recorders:
            return original(self, request)
        streamed = bool(getattr(request, "stream_output", False))
        on_its_way = sending(library, self, request, streamed=streamed)
        if on_its_way is None:
            return original(self, request)
        on_its_way.begin()
        try:
            answer = None if on_its_way.plain else on_its_way.ask()
            if answer is None:
                response = original(self, request)
            else:
                response = play_botocore(request, answer, streamed=streamed)
        except BaseException as error:
            on_its_way.failed(error)
            raise
        finally:
            on_its_way.end()
        on_its_way.arrived(response.status_code, response.headers)
        if streamed:
            response.raw = RawBody(response.raw, on_its_way.drafts)
        else:
            on_its_way.whole(response.content or b"")
        return response

    return send
