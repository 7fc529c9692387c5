"""botocore's own HTTP session, which carries Amazon Bedrock's calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.httpx_family import ended_by, inside
from pytest_tokenbudget.capture.raw_body import tee_raw
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.requests_session import PreparedSource, refuse


def patch(module: ModuleType, label: str, recorder: Recorder) -> Callable[[], None]:
    """Watch ``botocore.httpsession``; gives back a function that takes the watch away."""
    send = module.URLLib3Session.send

    def watched(self: Any, request: Any) -> Any:
        around = inside.get()
        if recorder in around or not recorder.recording:
            return send(self, request)
        streamed = bool(getattr(request, "stream_output", False))
        source = PreparedSource(request)
        refuse(recorder, label, source, streamed=streamed)
        pending = recorder.begin(label, source, streamed=streamed)
        token = inside.set((*around, recorder))
        try:
            response = send(self, request)
        except BaseException as error:
            pending.finish(ended_by(error, "failed"), error)
            raise
        finally:
            inside.reset(token)
        source.answered = response
        if streamed:
            source.whole = False
            tee_raw(response.raw, pending)
        else:
            pending.finish("complete")
        return response

    module.URLLib3Session.send = watched

    def undo() -> None:
        module.URLLib3Session.send = send

    return undo
