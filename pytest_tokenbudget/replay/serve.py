"""Serves a scripted model over HTTP on the loopback, for clients that are not Python."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.local_answer import Answerer
from pytest_tokenbudget.capture.proxy.loopback_server import LoopbackServer, ServerRequest, play_answer
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.remote import begin_remote
from pytest_tokenbudget.errors import TokenBudgetError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder

_KIND = "script"


class Served:
    """A running server; a context manager.

    Chunks are sent one by one, each when it is due on the script's clock. What it is asked is recorded with the running
    sample, in the stage that was opened last: a client in another process cannot say which is its own.

    Args:
        model: The scripted model that answers.
    """

    def __init__(self, model: Answerer) -> None:
        self._model = model
        self._server: LoopbackServer | None = None
        self.port = 0

    @property
    def host_url(self) -> str:
        """Give the server's URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Give a base URL for SDKs of OpenAI's shape."""
        return f"{self.host_url}/v1"

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Served:
        """Start it on a free port."""
        self._server = LoopbackServer(self._respond)
        self.port = self._server.port
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _respond(self, request: ServerRequest) -> bool:
        outgoing = request.outgoing(self.host_url + request.target)
        recorder = self._recorder()
        builder: ExchangeBuilder | None = None
        try:
            if recorder is None:
                answer = self._model.answer(outgoing)
            else:
                builder, answer = begin_remote(recorder, outgoing)
        except TokenBudgetError as problem:
            return request.answer(400, str(problem), kind=_KIND)
        if answer is None:
            if recorder is not None and builder is not None:
                recorder.forget(builder)
            path = request.target.partition("?")[0]
            return request.answer(404, f"{request.method} {path} is no model call", kind=_KIND)
        return play_answer(request, answer, builder)

    def _recorder(self) -> Recorder | None:
        """Find the recorder of what this script answers, if there is one."""
        mine = [one for one in ACTIVE.recorders if isinstance(one, Recorder) and one.answerer is self._model]
        return next((one for one in mine if one.recording), None)
